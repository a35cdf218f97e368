//! The peak speed of products, measured with ONNX Runtime's kernels on graphs of `scripts/peak_graphs.py`.

use std::time::Instant;

use ort::session::Session;
use ort::value::Tensor;

use crate::runtime::Runtime;

pub(super) const FLOAT32: &[u8] = include_bytes!("float32.onnx");
pub(super) const EIGHT_BITS: &[u8] = include_bytes!("eight_bits.onnx");
pub(super) const FOUR_BITS: &[u8] = include_bytes!("four_bits.onnx");
pub(super) const ROWS: &[u8] = include_bytes!("rows.onnx");

/// The sizes of the product: rows, inputs and outputs.
const ROW_COUNT: usize = 512;
const INPUTS: usize = 1024;
const OUTPUTS: usize = 4096;
const RUNS: usize = 6;

impl Runtime {
    /// Returns the operations per second of the product in `graph`: the best of [`RUNS`] runs, after a warm-up run.
    pub(super) fn peak(&self, graph: &[u8]) -> ort::Result<f64> {
        let mut session = self.load_graph(graph, self.cpu_route()?)?;
        run(&mut session)?;
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            best = best.min(run(&mut session)?);
        }
        Ok((2 * ROW_COUNT * INPUTS * OUTPUTS) as f64 / best)
    }
}

/// Runs `session` and returns the duration in seconds.
fn run(session: &mut Session) -> ort::Result<f64> {
    let input = Tensor::from_array(([ROW_COUNT, INPUTS], vec![0.25_f32; ROW_COUNT * INPUTS]))?;
    let start = Instant::now();
    session.run(ort::inputs! { "input" => input })?;
    Ok(start.elapsed().as_secs_f64())
}
