//! The arithmetic of a graph, and the size of its weights.

use std::collections::BTreeSet;

use super::format::{FLOAT16, Model, Node, Tensor};
use crate::error::Result;

/// Parts of the names of operators that multiply by quantized weights, or quantize activations.
const QUANTIZING: [&str; 4] = ["NBits", "Quantize", "QLinear", "Integer"];
/// Operators that take float16 weights without computing in float16.
const CONVERTING: [&str; 2] = ["Cast", "Gather"];
/// Operators that look up rows of a table, their first input.
const LOOKING_UP: [&str; 2] = ["Gather", "GatherBlockQuantized"];

/// The arithmetic of a graph, from the most to the least exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arithmetic {
    /// float32.
    Float,
    /// float16, at least in one operator.
    Half,
    /// Quantized weights or activations, at least in one operator.
    Quantized,
}

/// Returns the arithmetic of the graph in a file.
///
/// # Errors
/// [`ErrorKind::Package`](crate::ErrorKind::Package) if the file is not an ONNX graph.
pub fn arithmetic(bytes: &[u8]) -> Result<Arithmetic> {
    let graph = Model::parse(bytes)?.graph.unwrap_or_default();
    if graph.node.iter().any(|node| QUANTIZING.iter().any(|part| node.op_type.contains(part))) {
        return Ok(Arithmetic::Quantized);
    }
    let is_half = |name: &String| graph.initializer.iter().any(|w| w.data_type == FLOAT16 && w.name == *name);
    let computes = |node: &&Node| !CONVERTING.contains(&node.op_type.as_str());
    let in_half = graph.node.iter().filter(computes).any(|node| node.input.iter().any(is_half));
    Ok(if in_half { Arithmetic::Half } else { Arithmetic::Float })
}

/// Returns the size in bytes of the weights of the graph in a file, as stored, without tables of which a run looks up some
/// rows.
///
/// # Errors
/// [`ErrorKind::Package`](crate::ErrorKind::Package) if the file is not an ONNX graph.
pub fn bytes_of_weights(bytes: &[u8]) -> Result<u64> {
    let graph = Model::parse(bytes)?.graph.unwrap_or_default();
    let looks_up = |node: &Node| LOOKING_UP.contains(&node.op_type.as_str());
    let read: BTreeSet<_> =
        graph.node.iter().flat_map(|node| node.input.iter().skip(usize::from(looks_up(node)))).collect();
    Ok(graph.initializer.iter().filter(|weights| read.contains(&weights.name)).filter_map(Tensor::bytes).sum())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::format::Graph;
    use super::*;

    fn encoded(graph: Graph) -> Vec<u8> {
        Model { graph: Some(graph), ..Model::default() }.encode_to_vec()
    }

    #[test]
    fn arithmetic_is_that_of_the_least_exact_operator() {
        let node = |op_type: &str, input: &str| Node {
            op_type: op_type.into(),
            input: vec!["x".into(), input.into()],
            ..Node::default()
        };
        let half = Tensor { data_type: FLOAT16, name: "half".into(), ..Tensor::default() };
        for (op_type, input, expected) in [
            ("MatMul", "float", Arithmetic::Float),
            ("Cast", "half", Arithmetic::Float),
            ("Gather", "half", Arithmetic::Float),
            ("MatMul", "half", Arithmetic::Half),
            ("MatMulNBits", "float", Arithmetic::Quantized),
            ("GatherBlockQuantized", "float", Arithmetic::Quantized),
            ("DynamicQuantizeLinear", "float", Arithmetic::Quantized),
        ] {
            let nodes = vec![node("Add", "float"), node(op_type, input)];
            let graph = Graph { node: nodes, initializer: vec![half.clone()], ..Graph::default() };
            assert_eq!(arithmetic(&encoded(graph)).unwrap(), expected, "{op_type} of {input}");
        }
    }

    #[test]
    fn weights_are_those_that_every_run_reads() {
        let weights = |name: &str, dims: &[i64], data_type| Tensor {
            dims: dims.to_vec(),
            data_type,
            name: name.into(),
            ..Tensor::default()
        };
        let node = |op_type: &str, input: &[&str]| Node {
            op_type: op_type.into(),
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            ..Node::default()
        };
        let graph = Graph {
            node: vec![
                node("Gather", &["table", "ids"]),
                node("MatMulNBits", &["x", "packed", "scales"]),
                node("Gather", &["tied", "ids"]),
                node("MatMul", &["x", "tied"]),
            ],
            initializer: vec![
                weights("table", &[1000, 8], 1),
                weights("packed", &[4, 1, 16], 2),
                weights("scales", &[4, 1], 1),
                weights("tied", &[5, 8], FLOAT16),
                weights("unused", &[100], 1),
            ],
            ..Graph::default()
        };
        assert_eq!(bytes_of_weights(&encoded(graph)).unwrap(), 64 + 16 + 80);
        assert!(bytes_of_weights(b"not a graph").is_err());
    }
}
