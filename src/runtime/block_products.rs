//! Tests of ONNX Runtime's products by weights that are quantized in blocks, on the processor at hand: its kernels differ from one to
//! another, and one that saturates says nothing.

use ort::session::Session;
use ort::value::Tensor;

use super::{Runtime, RuntimeOptions};

/// Products by weights of 4 and 8 bits, written by `scripts/block_products_graph.py`.
const GRAPH: &[u8] = include_bytes!("block_products.onnx");

const DEPTH: usize = 256;
const COLUMNS: usize = 67;
/// Rows of the runs: kernels take one row, a few or many at a time.
const ROWS: [usize; 4] = [1, 2, 7, 64];
/// Each row holds zero and one other number, which every way of quantizing to 8 bits keeps.
const LEVELS: [f32; 4] = [127.0, -63.5, 1.0, -1000.0];
/// The largest error, by the rounding of scales, relative to the sum of magnitudes.
const TOLERANCE: f64 = 1e-5;

fn activation(row: usize, depth: usize) -> f32 {
    if (row + depth / 3) % 4 == 3 { 0.0 } else { LEVELS[row % LEVELS.len()] }
}

fn weight(bits: u32, depth: usize, column: usize) -> f32 {
    let most = 1 << (bits - 1);
    [most - 1, -most, most - 2, 1 - most][(5 * (depth / 2) + 3 * column) % 4] as f32
}

/// Returns the products of a row and a column, and their magnitudes, each with the column's scale.
fn products(bits: u32, row: usize, column: usize) -> (f64, f64) {
    let scale = f64::from(1 << (column % 3));
    let all = (0..DEPTH).map(|depth| scale * f64::from(activation(row, depth) * weight(bits, depth, column)));
    all.fold((0.0, 0.0), |(sum, size), one| (sum + one, size + one.abs()))
}

#[test]
fn products_by_blocks_are_right_on_this_processor() {
    let runtime = Runtime::start(&RuntimeOptions::default()).unwrap();
    let mut session = Session::builder(&runtime.environment).unwrap().commit_from_memory(GRAPH).unwrap();
    for rows in ROWS {
        let a: Vec<_> = (0..rows).flat_map(|row| (0..DEPTH).map(move |depth| activation(row, depth))).collect();
        let outputs = session.run(ort::inputs! { "a" => Tensor::from_array(([rows, DEPTH], a)).unwrap() }).unwrap();
        for (bits, block) in [(4, 32), (4, 128), (8, 32)] {
            let found = outputs[format!("{bits} bits of {block}").as_str()].try_extract_tensor::<f32>().unwrap().1;
            for (at, found) in found.iter().enumerate() {
                let (row, column) = (at / COLUMNS, at % COLUMNS);
                let (expected, size) = products(bits, row, column);
                let error = (f64::from(*found) - expected).abs() / size;
                let place = format!("{bits} bits of {block}, {rows} rows, row {row}, column {column}");
                assert!(error < TOLERANCE, "{place}: {found} is not {expected}");
            }
        }
    }
}
