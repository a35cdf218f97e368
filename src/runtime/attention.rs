//! The check of attention over many positions. Some devices compute it wrongly and give no error: with ONNX Runtime's
//! WebGPU provider and subgroups, as of 0.4.0, rows of 32 and more query positions were wrong by 2 to 30 %.

use ort::session::Session;
use ort::value::Tensor;

/// A graph of one MultiHeadAttention, written by `scripts/attention_check_graph.py`.
pub(super) const GRAPH: &[u8] = include_bytes!("attention_check.onnx");
/// The maximum number of positions that a device runs at once if its attention over more is wrong.
pub(super) const FEW_POSITIONS: usize = 31;

const POSITIONS: usize = 64;
const WIDTH: usize = 64;
const HEADS: usize = 4;
/// The largest difference that passes as rounding; arithmetic in float16 causes about 1e-3.
const TOLERANCE: f32 = 0.01;

/// Returns whether `session`, of [`GRAPH`], gives the numbers that this processor computes.
pub(super) fn is_right(session: &mut Session) -> ort::Result<bool> {
    let inputs = [1, 2, 3].map(numbers);
    let tensor = |numbers: &Vec<f32>| Tensor::from_array(([1, POSITIONS, WIDTH], numbers.clone()));
    let [query, key, value] = &inputs;
    let mut outputs = session.run(ort::inputs! {
        "query" => tensor(query)?, "key" => tensor(key)?, "value" => tensor(value)?,
    })?;
    let output = outputs.remove("output").ok_or_else(|| ort::Error::new("no output"))?;
    let found = output.try_extract_tensor::<f32>()?.1;
    let expected = attention(query, key, value);
    Ok(found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE))
}

/// Returns numbers between −2 and 2 that depend on `seed`.
fn numbers(seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..POSITIONS * WIDTH).map(|_| next()).collect()
}

/// Computes the attention of [`GRAPH`].
fn attention(query: &[f32], key: &[f32], value: &[f32]) -> Vec<f32> {
    let size = WIDTH / HEADS;
    let mut output = Vec::with_capacity(POSITIONS * WIDTH);
    for query in query.chunks_exact(WIDTH) {
        for head in 0..HEADS {
            let of_head = |row: &[f32]| -> Vec<f32> { row.iter().skip(head * size).take(size).copied().collect() };
            let query = of_head(query);
            let weights: Vec<_> = key.chunks_exact(WIDTH).map(|row| dot(&query, &of_head(row)).exp()).collect();
            let sum: f32 = weights.iter().sum();
            let values: Vec<_> = value.chunks_exact(WIDTH).map(of_head).collect();
            let column = |i: usize| values.iter().filter_map(|row| row.get(i).copied()).collect::<Vec<_>>();
            output.extend((0..size).map(|i| weights.iter().zip(column(i)).map(|(w, v)| w * v).sum::<f32>() / sum));
        }
    }
    output
}

/// Returns the scaled product of a query and a key.
fn dot(query: &[f32], key: &[f32]) -> f32 {
    query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>() / ((WIDTH / HEADS) as f32).sqrt()
}
