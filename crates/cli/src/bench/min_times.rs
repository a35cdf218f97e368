//! The limits of the hardware: the minimum time in which this machine can do the work of a figure.

use std::cell::OnceCell;

use ualm::internal::{MachineSpeed, bytes_of_step, count_operations};
use ualm::{Model, Result};

use super::figure::Figure;

/// The limits of this machine. Its speed is measured when the first figure needs it, since the measurement takes memory
/// that must not be attributed to a clip.
pub struct MinTimes {
    is_requested: bool,
    speed: OnceCell<MachineSpeed>,
}

impl MinTimes {
    /// Creates the limits of this machine; without `is_requested` every limit is `None`.
    pub fn new(is_requested: bool) -> Self {
        Self { is_requested, speed: OnceCell::new() }
    }

    /// Returns the minimum time for the operations of `work`, in seconds; `None` if the CPU does not do all of them.
    pub fn of(&self, model: &Model, work: impl FnOnce(&Model) -> Result<()>) -> Result<Option<f64>> {
        if !self.is_requested {
            return Ok(None);
        }
        let Some(operations) = count_operations(model, work)? else { return Ok(None) };
        Ok(Some(self.measured(model)?.seconds_of(&operations)))
    }

    /// Returns the minimum time for a step on `rows` rows after `context` positions, in seconds; `None` if its graphs do
    /// not run on the CPU. `figure` has the names of the graphs.
    pub fn of_step(&self, model: &Model, figure: &Figure, rows: usize, context: usize) -> Result<Option<f64>> {
        if !self.is_requested {
            return Ok(None);
        }
        let Some(bytes) = bytes_of_step(model, figure.parts.keys().map(String::as_str), rows, context)? else {
            return Ok(None);
        };
        Ok(Some(self.measured(model)?.seconds_to_read(bytes)))
    }

    /// Returns the speed if it was measured.
    pub fn speed(&self) -> Option<&MachineSpeed> {
        self.speed.get()
    }

    fn measured(&self, model: &Model) -> Result<MachineSpeed> {
        if let Some(speed) = self.speed.get() {
            return Ok(*speed);
        }
        let speed = MachineSpeed::measure(model.runtime())?;
        Ok(*self.speed.get_or_init(|| speed))
    }
}

/// Formats the speed as a line.
pub fn line(speed: &MachineSpeed) -> String {
    let billions = [speed.bytes_per_second, speed.float32, speed.int8].map(|speed| speed / 1e9);
    let [bytes, float32, int8] = billions;
    format!(
        "limits: memory {bytes:.1} GB/s; products {float32:.0} GOP/s in float32, {int8:.0} GOP/s in 8 bits, as measured here\n"
    )
}
