//! The check of arithmetic in float16. Some devices lack it, and give an error only when a graph runs.

use ort::session::Session;
use ort::value::Tensor;

/// A product in float16, written by `scripts/float16_check_graph.py`.
pub(super) const GRAPH: &[u8] = include_bytes!("float16_check.onnx");

const ROWS: usize = 4;
const WIDTH: usize = 32;
/// The largest difference that passes as rounding; the numbers of the product are up to 30.
const TOLERANCE: f32 = 0.1;

/// Runs `session`, of [`GRAPH`], and returns whether its numbers are right.
pub(super) fn is_right(session: &mut Session) -> ort::Result<bool> {
    let numbers = |step: usize| (0..ROWS * WIDTH).map(|i| ((i * step) % 17) as f32 / 8.0 - 1.0).collect::<Vec<_>>();
    let [a, b] = [numbers(5), numbers(7)];
    let mut outputs = session.run(ort::inputs! {
        "a" => Tensor::from_array(([ROWS, WIDTH], a.clone()))?, "b" => Tensor::from_array(([WIDTH, ROWS], b.clone()))?,
    })?;
    let output = outputs.remove("product").ok_or_else(|| ort::Error::new("no product"))?;
    let found = output.try_extract_tensor::<f32>()?.1;
    let column = |index: usize| b.iter().skip(index).step_by(ROWS);
    let dot = |row: &[f32], index| row.iter().zip(column(index)).map(|(a, b)| a * b).sum::<f32>();
    let expected: Vec<_> = a.chunks_exact(WIDTH).flat_map(|row| (0..ROWS).map(move |index| dot(row, index))).collect();
    Ok(found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE))
}
