//! The check of products of unsigned and signed bytes on the CPU. Without VNNI, ONNX Runtime's kernels for AVX2 add two
//! products in 16 bits, where large products saturate without an error.

use ort::session::Session;
use ort::value::Tensor;

/// A product by weights of signed bytes, written by `scripts/product_check_graph.py`.
pub(super) const GRAPH: &[u8] = include_bytes!("product_check.onnx");

const DEPTH: usize = 70;
const COLUMNS: usize = 67;
/// Rows of the runs: kernels take one row, a few or many at a time.
const ROWS: [usize; 4] = [1, 2, 7, 64];
/// The byte that stands for zero.
const ZERO: i32 = 128;

/// Runs `session`, of [`GRAPH`], and returns whether its numbers are right to the last bit.
pub(super) fn is_right(session: &mut Session) -> ort::Result<bool> {
    for rows in ROWS {
        let a: Vec<_> = (0..rows).flat_map(|row| (0..DEPTH).map(move |depth| byte(row, depth))).collect();
        let mut outputs = session.run(ort::inputs! { "a" => Tensor::from_array(([rows, DEPTH], a))? })?;
        let output = outputs.remove("product").ok_or_else(|| ort::Error::new("no product"))?;
        if output.try_extract_tensor::<f32>()?.1 != product(rows, |a, b| a + b) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a byte near the largest, or in some rows near the smallest.
fn byte(row: usize, depth: usize) -> u8 {
    let small = ((7 * row + depth / 4) % 3) as u8;
    if row % 5 == 4 { small } else { 255 - small }
}

fn weight(depth: usize, column: usize) -> i32 {
    match (5 * (depth / 2) + 3 * column) % 4 {
        0 => 127,
        1 => -128,
        2 => 126,
        _ => -127,
    }
}

/// Returns the product of `rows` rows, in which `add` adds neighbours. All numbers are exact in float32.
fn product(rows: usize, add: impl Fn(i32, i32) -> i32) -> Vec<f32> {
    let cell = |row: usize, column: usize| {
        let one = |depth| i32::from(byte(row, depth)) * weight(depth, column);
        let sum: i32 = (0..DEPTH).step_by(2).map(|depth| add(one(depth), one(depth + 1))).sum();
        let offset: i32 = (0..DEPTH).map(|depth| ZERO * weight(depth, column)).sum();
        let scale = 0.5 * (1 << (column % 3)) as f32;
        (sum - offset) as f32 * scale
    };
    (0..rows).flat_map(|row| (0..COLUMNS).map(move |column| cell(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Processor;
    use crate::runtime::{Runtime, RuntimeOptions};

    /// The product is exact on processors with VNNI. It is wrong with AVX2 alone, whose kernels add pairs in 16 bits; kernels
    /// of SSE and Arm do not.
    #[test]
    fn products_are_exact_with_vnni() {
        let runtime = Runtime::start(&RuntimeOptions::default()).unwrap();
        let mut session = runtime.load_graph(GRAPH, runtime.cpu_route().unwrap()).unwrap();
        let is_right = is_right(&mut session).unwrap();
        let processor = Processor::get();
        let is_exact = processor.vnni().is_some() || !processor.features.contains(&"AVX2");
        assert_eq!(is_right, is_exact, "{processor}");
    }

    /// Saturation shows in every column, and in a run of any size.
    #[test]
    fn saturated_sums_differ_in_every_column() {
        let saturating = |a: i32, b: i32| (a + b).clamp(i32::from(i16::MIN), i32::from(i16::MAX));
        for rows in ROWS {
            let [right, wrong] = [product(rows, |a, b| a + b), product(rows, saturating)];
            let columns = |numbers: &[f32]| numbers.iter().take(COLUMNS).copied().collect::<Vec<_>>();
            assert!(columns(&right).iter().zip(columns(&wrong)).all(|(right, wrong)| *right != wrong));
        }
    }
}
