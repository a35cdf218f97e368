//! Tests of ONNX Runtime's products by block-quantized weights on this processor. The kernels of different processors round
//! differently, and a kernel that saturates gives no error: the result must be that of a known way of rounding.

use ort::value::Tensor;

use super::{Runtime, RuntimeOptions};
use crate::processor::Processor;

/// Products by weights of 4 and 8 bits, written by `scripts/block_products_graph.py`.
const GRAPH: &[u8] = include_bytes!("block_products.onnx");

const DEPTH: usize = 256;
const COLUMNS: usize = 67;
/// Rows of the runs: kernels take one row, a few or many at a time.
const ROWS: [usize; 4] = [1, 2, 7, 64];
/// Bits and sizes of blocks.
const FORMS: [(u32, usize); 3] = [(4, 32), (4, 128), (8, 32)];
/// The largest error relative to the sum of magnitudes: far above the error of float additions, and below 1e-4, the difference
/// between the ways of rounding.
const TOLERANCE: f64 = 2e-5;

/// Rounding of activations to 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Activations {
    Unrounded,
    /// One scale for a block, zero at zero.
    ByBlock,
    /// One scale for a row, zero anywhere.
    ByRow,
}

/// Precision of the scales of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scales {
    Float32,
    /// Cut to the upper 16 bits.
    Bfloat16,
}

/// Returns a row of activations. In even rows each is the largest or zero, which could saturate a sum; the range of odd rows is
/// not symmetric, so that the byte for zero does not depend on rounding.
fn activations(row: usize) -> Vec<f32> {
    let any = |depth: usize| ((row * 7919 + depth * 104_729) % 2003) as f32 / 997.3 - 0.7713;
    let largest = |depth: usize| if (row + depth / 3) % 4 == 3 { 0.0 } else { 1.5 };
    (0..DEPTH).map(|depth| if row.is_multiple_of(2) { largest(depth) } else { any(depth) }).collect()
}

fn weight(bits: u32, depth: usize, column: usize) -> f64 {
    let max = 1 << (bits - 1);
    f64::from([max - 1, -max, max - 2, 1 - max][(5 * (depth / 2) + 3 * column) % 4])
}

fn scale(scales: Scales, column: usize, block: usize) -> f64 {
    let scale = 1.0 + ((7 * column + 3 * block) % 11) as f32 / 11.0;
    f64::from(match scales {
        Scales::Float32 => scale,
        Scales::Bfloat16 => f32::from_bits(scale.to_bits() & 0xffff_0000),
    })
}

fn rounded(row: &[f32], way: Activations, block: usize) -> Vec<f64> {
    let row: Vec<_> = row.iter().copied().map(f64::from).collect();
    match way {
        Activations::Unrounded => row,
        Activations::ByBlock => {
            let round = |block: &[f64]| {
                let step = block.iter().fold(0.0f64, |max, x| max.max(x.abs())) / 127.0;
                block.iter().map(|x| (x / step).round_ties_even() * step).collect::<Vec<_>>()
            };
            row.chunks(block).flat_map(round).collect()
        }
        Activations::ByRow => {
            let (min, max) = row.iter().fold((0.0f64, 0.0f64), |(min, max), x| (min.min(*x), max.max(*x)));
            let step = (max - min) / 255.0;
            let zero = (-128.0 - min / step).round_ties_even();
            let byte = |x: f64| ((x / step).round_ties_even() + zero).clamp(-128.0, 127.0);
            row.iter().map(|x| (byte(*x) - zero) * step).collect()
        }
    }
}

/// Returns the largest error of `found` as products of one way, relative to the sums of magnitudes.
fn error(found: &[f32], (bits, block): (u32, usize), (way, scales): (Activations, Scales)) -> f64 {
    let mut largest = 0.0f64;
    for (row, found) in found.chunks(COLUMNS).enumerate() {
        let row = rounded(&activations(row), way, block);
        for (column, found) in found.iter().enumerate() {
            let all = row
                .iter()
                .enumerate()
                .map(|(depth, x)| x * weight(bits, depth, column) * scale(scales, column, depth / block));
            let (sum, size) = all.fold((0.0, 0.0), |(sum, size), one| (sum + one, size + one.abs()));
            largest = largest.max((f64::from(*found) - sum).abs() / size);
        }
    }
    largest
}

/// Returns the known ways of rounding for this processor. On x86 there is one. On Arm with dot-product instructions, KleidiAI
/// may multiply 4-bit weights, with activations rounded by rows and scales cut; without these instructions nothing is rounded.
fn known(bits: u32) -> Vec<(Activations, Scales)> {
    use Activations::{ByBlock, ByRow, Unrounded};
    let has_dot_products = Processor::get().features.contains(&"dot products");
    match (cfg!(target_arch = "x86_64"), has_dot_products) {
        (true, _) => vec![(ByBlock, Scales::Float32)],
        (false, true) if bits == 4 => vec![(ByBlock, Scales::Float32), (ByRow, Scales::Bfloat16)],
        (false, true) => vec![(ByBlock, Scales::Float32)],
        (false, false) => vec![(Unrounded, Scales::Float32)],
    }
}

#[test]
fn products_by_blocks_round_in_a_known_way() {
    let runtime = Runtime::start(&RuntimeOptions::default()).unwrap();
    let mut session = runtime.load_graph(GRAPH, runtime.cpu_route().unwrap()).unwrap();
    for rows in ROWS {
        let a: Vec<_> = (0..rows).flat_map(activations).collect();
        let outputs = session.run(ort::inputs! { "a" => Tensor::from_array(([rows, DEPTH], a)).unwrap() }).unwrap();
        for (bits, block) in FORMS {
            let found = outputs[format!("{bits} bits of {block}").as_str()].try_extract_tensor::<f32>().unwrap().1;
            let errors = [Activations::Unrounded, Activations::ByBlock, Activations::ByRow]
                .into_iter()
                .flat_map(|way| [(way, Scales::Float32), (way, Scales::Bfloat16)])
                .map(|way| (way, error(found, (bits, block), way)));
            let (nearest, error) = errors.min_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap();
            let outcome =
                format!("{bits} bits of {block}, {rows} rows: {nearest:?} within {error:.1e}, {}", Processor::get());
            println!("{outcome}");
            // a row of two numbers is rounded alike in all ways, but for the scales
            let is_known =
                known(bits).iter().any(|(way, scales)| (rows == 1 || *way == nearest.0) && *scales == nearest.1);
            assert!(error < TOLERANCE && is_known, "{outcome}; expected one of {:?}", known(bits));
        }
    }
}
