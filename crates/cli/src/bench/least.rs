//! The least time that this machine takes for the work of a figure.

use std::cell::OnceCell;

use ualm::internal::{MachineSpeed, bytes_of_step, count_operations};
use ualm::{Model, Result};

use super::figure::Figure;

/// The least times of this machine, whose speed is measured when the first figure needs it: the measurement takes memory,
/// which must not count as a clip's.
pub struct LeastTimes {
    is_asked_for: bool,
    speed: OnceCell<MachineSpeed>,
}

impl LeastTimes {
    /// Creates the times of this machine; none of any work unless they are asked for.
    pub fn new(is_asked_for: bool) -> Self {
        Self { is_asked_for, speed: OnceCell::new() }
    }

    /// Returns the least seconds for the operations of `work`; `None` where the processor does not do them all.
    pub fn of(&self, model: &Model, work: impl FnOnce(&Model) -> Result<()>) -> Result<Option<f64>> {
        if !self.is_asked_for {
            return Ok(None);
        }
        let Some(operations) = count_operations(model, work)? else { return Ok(None) };
        Ok(Some(self.measured(model)?.seconds_of(&operations)))
    }

    /// Returns the least seconds of the step of `figure`, which is made on `rows` rows after `context` positions; `None` where
    /// its graphs do not run on the processor.
    pub fn of_step(&self, model: &Model, figure: &Figure, rows: usize, context: usize) -> Result<Option<f64>> {
        if !self.is_asked_for {
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

/// Returns the line that tells the speed.
pub fn line(speed: &MachineSpeed) -> String {
    let billions = [speed.bytes_per_second, speed.float32, speed.int8].map(|speed| speed / 1e9);
    let [bytes, float32, int8] = billions;
    format!(
        "limits: memory {bytes:.1} GB/s; products {float32:.0} GOP/s in float32, {int8:.0} GOP/s in 8 bits, as measured here\n"
    )
}
