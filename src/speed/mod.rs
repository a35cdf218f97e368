//! The speed of this machine: measured bandwidth and products, and the bytes and operations that a run needs.

mod bandwidth;
mod peak;
mod profile;

use std::ops::AddAssign;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::processor::Processor;
use crate::provider::GraphPlacement;
use crate::runtime::Runtime;

/// The measured speed of this machine, with the threads of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MachineSpeed {
    /// Bytes per second that all threads together read from memory beyond the caches.
    pub bytes_per_second: f64,
    /// Operations per second of a product of float32 by ONNX Runtime.
    pub float32: f64,
    /// Operations per second of a product of 8-bit integers: the fastest of the kernels for weights of 8 and of 4 bits.
    pub int8: f64,
}

impl MachineSpeed {
    /// Measures the machine; takes about a second, and 256 MiB of memory.
    ///
    /// # Errors
    /// ONNX Runtime cannot run the products, or there is no memory for the buffer.
    pub fn measure(runtime: &Runtime) -> Result<Self> {
        let failed =
            |e: ort::Error| Error::new(ErrorKind::Graph, format!("the product to measure fails: {}", e.message()));
        let peak = |graph| runtime.peak(graph).map_err(failed);
        let mut int8 = peak(peak::EIGHT_BITS)?.max(peak(peak::FOUR_BITS)?);
        // on other processors the sums of this product may saturate, so that packages do not use it
        if Processor::get().vnni().is_some() {
            int8 = int8.max(peak(peak::ROWS)?);
        }
        let bytes_per_second = bandwidth::measure(runtime.threads())?;
        Ok(Self { bytes_per_second, float32: peak(peak::FLOAT32)?, int8 })
    }

    /// Returns the minimum time for `operations`, in seconds.
    pub fn seconds_of(&self, operations: &Operations) -> f64 {
        operations.float32 as f64 / self.float32 + operations.int8 as f64 / self.int8
    }

    /// Returns the minimum time to read `bytes`, in seconds.
    pub fn seconds_to_read(&self, bytes: u64) -> f64 {
        bytes as f64 / self.bytes_per_second
    }
}

/// The multiplications and additions of products, convolutions and attention, by the data type in which they are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Operations in float32.
    pub float32: u64,
    /// Operations in 8-bit integers.
    pub int8: u64,
}

impl AddAssign for Operations {
    fn add_assign(&mut self, other: Self) {
        self.float32 += other.float32;
        self.int8 += other.int8;
    }
}

/// Counts the operations of `work` on the graphs of `model`, which is loaded once more for the count. Returns `None` if a graph
/// runs on another provider than the CPU.
///
/// The shapes come from ONNX Runtime's profile of each node. Operators other than products, convolutions and attention are not
/// counted.
///
/// # Errors
/// As for [`Model::load_with`], or the errors of `work`.
pub fn count_operations(model: &Model, work: impl FnOnce(&Model) -> Result<()>) -> Result<Option<Operations>> {
    if !is_on_cpu(model) {
        return Ok(None);
    }
    let io = |e| Error::new(ErrorKind::Io, "the record of a run cannot be kept").with_source(e);
    let folder = tempfile::tempdir().map_err(io)?;
    let recorded = model.recorded(folder.path())?;
    work(&recorded)?;
    // the records are written when the graphs are dropped
    drop(recorded);
    operations_in(folder.path()).map(Some).map_err(io)
}

fn operations_in(folder: &Path) -> std::io::Result<Operations> {
    let mut all = Operations::default();
    for entry in std::fs::read_dir(folder)? {
        all += profile::operations(&std::fs::read(entry?.path())?)?;
    }
    Ok(all)
}

/// Returns the bytes that a step of `rows` rows reads in `graphs`: their weights as stored, and keys and values of `context`
/// positions of each row. Tables of which a step looks up some rows do not count. Returns `None` if a graph runs on another
/// provider than the CPU.
///
/// # Errors
/// A graph's file cannot be read.
pub fn bytes_of_step<'g>(
    model: &Model,
    graphs: impl IntoIterator<Item = &'g str>,
    rows: usize,
    context: usize,
) -> Result<Option<u64>> {
    if !is_on_cpu(model) {
        return Ok(None);
    }
    let placements = model.placements();
    let mut bytes = model.language_model().cache_bytes(rows, context);
    for graph in graphs {
        if let Some(placed) = placements.iter().find(|placed| placed.graph == graph) {
            bytes += model.package().bytes_of_weights(&placed.file)?;
        }
    }
    Ok(Some(bytes))
}

fn is_on_cpu(model: &Model) -> bool {
    model.placements().iter().all(GraphPlacement::is_on_cpu)
}
