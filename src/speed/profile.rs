//! ONNX Runtime's profile of a session: every node that ran, with the shapes of its inputs and outputs.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::Operations;

/// Operators that multiply matrices; the last dimension of the first input is summed over.
const PRODUCTS: [&str; 11] = [
    "MatMul",
    "FusedMatMul",
    "Gemm",
    "FusedGemm",
    "MatMulNBits",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QLinearMatMul",
    "QGemm",
    "MatMulBnb4",
];
/// Convolutions, each with the index of the input that has its weights.
const CONVOLUTIONS: [(&str, usize); 5] =
    [("Conv", 1), ("FusedConv", 1), ("ConvInteger", 1), ("DynamicQuantizeConv", 1), ("QLinearConv", 3)];
/// Parts of the names of operators that compute in 8-bit integers.
const IN_INT8: [&str; 4] = ["NBits", "Integer", "QLinear", "QGemm"];

/// An event of a profile.
#[derive(Deserialize)]
struct ProfileEvent {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Args,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    input_type_shape: Vec<HashMap<String, Vec<u64>>>,
    #[serde(default)]
    output_type_shape: Vec<HashMap<String, Vec<u64>>>,
}

impl Args {
    /// Returns the shape of an input; empty for a missing input.
    fn input(&self, index: usize) -> &[u64] {
        self.input_type_shape.get(index).and_then(|shape| shape.values().next()).map_or(&[], Vec::as_slice)
    }

    /// Returns the number of elements of the first output.
    fn outputs(&self) -> u64 {
        self.output_type_shape.first().and_then(|shape| shape.values().next()).map_or(0, |shape| elements(shape))
    }
}

/// Returns the operations of all nodes in `profile`.
pub(super) fn operations(profile: &[u8]) -> io::Result<Operations> {
    let events: Vec<ProfileEvent> = serde_json::from_slice(profile)?;
    let mut all = Operations::default();
    let mut past = HashMap::new();
    for event in events.iter().filter(|event| event.cat == "Node" && !event.args.op_name.is_empty()) {
        let count = match event.args.op_name.as_str() {
            "GroupQueryAttention" => causal_attention(&event.args, past.entry(event.name.as_str()).or_default()),
            _ => operations_of(&event.args),
        };
        if IN_INT8.iter().any(|part| event.args.op_name.contains(part)) {
            all.int8 += count;
        } else {
            all.float32 += count;
        }
    }
    Ok(all)
}

fn operations_of(args: &Args) -> u64 {
    let operator = args.op_name.as_str();
    if PRODUCTS.contains(&operator) {
        return 2 * args.outputs() * args.input(0).last().copied().unwrap_or(0);
    }
    if let Some((_, weights)) = CONVOLUTIONS.iter().find(|(name, _)| *name == operator) {
        return 2 * args.outputs() * of_one_channel(args.input(*weights));
    }
    match operator {
        "ConvTranspose" => 2 * elements(args.input(0)) * of_one_channel(args.input(1)),
        "MultiHeadAttention" => {
            let keys = args.input(1).get(1).copied().unwrap_or(0);
            4 * elements(args.input(0)) * keys
        }
        _ => 0,
    }
}

/// Returns the operations of attention to all earlier positions, of which the first query has `past`. Masked positions do not
/// count.
fn causal_attention(args: &Args, past: &mut u64) -> u64 {
    let query = args.input(0);
    let &[_, positions, _] = query else { return 0 };
    let attended = *past * positions + positions * (positions + 1) / 2;
    *past += positions;
    4 * elements(query) / positions.max(1) * attended
}

/// Returns the number of weights of one channel, the first dimension of `shape`.
fn of_one_channel(shape: &[u64]) -> u64 {
    shape.split_first().map_or(0, |(_, rest)| elements(rest))
}

fn elements(shape: &[u64]) -> u64 {
    shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(operator: &str, inputs: &[&[u64]], output: &[u64]) -> String {
        let shapes =
            |all: &[&[u64]]| all.iter().map(|shape| format!("{{\"float\": {shape:?}}}")).collect::<Vec<_>>().join(", ");
        format!(
            r#"{{"cat": "Node", "name": "n_kernel_time", "args": {{"op_name": "{operator}",
                "input_type_shape": [{}], "output_type_shape": [{}]}}}}"#,
            shapes(inputs),
            shapes(&[output])
        )
    }

    fn counted(events: &[String]) -> Operations {
        operations(format!("[{}]", events.join(", ")).as_bytes()).unwrap()
    }

    #[test]
    fn operations_are_those_of_the_operator_by_its_shapes() {
        let in_float = |float32| Operations { float32, int8: 0 };
        let in_int8 = |int8| Operations { float32: 0, int8 };
        for (operator, inputs, output, expected) in [
            ("MatMul", &[&[2, 3, 4][..], &[4, 5]][..], &[2, 3, 5][..], in_float(2 * 2 * 3 * 4 * 5)),
            ("MatMulNBits", &[&[3, 32], &[5, 1, 32], &[5, 1]], &[3, 5], in_int8(2 * 3 * 32 * 5)),
            ("MatMulIntegerToFloat", &[&[3, 4], &[4, 5]], &[3, 5], in_int8(2 * 3 * 4 * 5)),
            ("Conv", &[&[1, 6, 20], &[8, 3, 5]], &[1, 8, 16], in_float(2 * 8 * 16 * 3 * 5)),
            ("ConvTranspose", &[&[1, 6, 20], &[6, 4, 8]], &[1, 4, 84], in_float(2 * 6 * 20 * 4 * 8)),
            ("MultiHeadAttention", &[&[1, 10, 8], &[1, 12, 8], &[1, 12, 8]], &[1, 10, 8], in_float(4 * 10 * 12 * 8)),
            ("Gelu", &[&[100]], &[100], in_float(0)),
        ] {
            assert_eq!(counted(&[event(operator, inputs, output)]), expected, "{operator}");
        }
    }

    /// A prompt in chunks takes as many operations as the whole prompt.
    #[test]
    fn attention_counts_the_positions_before() {
        let piece = |positions| event("GroupQueryAttention", &[&[1, positions, 16]], &[1, positions, 16]);
        let expected = Operations { float32: 4 * 16 * (1 + 2 + 3 + 4 + 5), int8: 0 };
        assert_eq!(counted(&[piece(5)]), expected);
        assert_eq!(counted(&[piece(2), piece(3)]), expected);
    }

    #[test]
    fn other_events_are_ignored_and_damage_is_an_error() {
        let session = r#"{"cat": "Session", "name": "model_run", "args": {}}, {"ph": "M", "args": {"name": "x"}}"#;
        assert_eq!(operations(format!("[{session}]").as_bytes()).unwrap(), Operations::default());
        assert!(operations(b"[{\"cat\": ").is_err());
    }
}
