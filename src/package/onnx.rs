//! Vets an ONNX file before ONNX Runtime parses it, and tells in what arithmetic it computes.
//!
//! Only the parts of the ONNX format (`onnx.proto`) that refer beyond the graph or tell the arithmetic are declared;
//! `prost` skips the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use prost::Message;

use super::FileSum;
use crate::error::{Error, ErrorKind, Result};

/// The largest graph file, without weights in files beside it.
pub const MOST_BYTES: u64 = 64 << 20;
/// Accepted versions of the ONNX operators.
const OPSETS: RangeInclusive<i64> = 13..=24;
/// The domains of the ONNX operators.
const ONNX: [&str; 2] = ["", "ai.onnx"];
/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";
/// Operators that load other files.
const LOADING: [&str; 1] = ["EPContext"];
/// Parts of the names of operators that multiply by quantized weights, or quantize activations.
const QUANTIZING: [&str; 4] = ["NBits", "Quantize", "QLinear", "Integer"];
/// Operators that take float16 weights without computing in float16.
const CONVERTING: [&str; 2] = ["Cast", "Gather"];
/// ONNX's number of float16.
const FLOAT16: i32 = 10;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata: Vec<Entry>,
    #[prost(bytes = "vec", repeated, tag = "20")]
    training: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    functions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

/// Checks that the file is an ONNX graph, uses only operators of ONNX and ONNX Runtime, and reads only from `files`,
/// within their sizes.
///
/// # Errors
/// [`ErrorKind::Package`] with the first defect found.
pub fn check(bytes: &[u8], files: &BTreeMap<String, FileSum>) -> Result<()> {
    let model = Model::decode(bytes).map_err(|e| wrong(format!("not an ONNX graph: {e}")))?;
    let Some(graph) = &model.graph else { return Err(wrong("not an ONNX graph: it holds no graph")) };
    check_operator_sets(&model.opset_import)?;
    if !model.functions.is_empty() || !model.training.is_empty() {
        return Err(wrong("it holds functions or training of its own; expected a graph alone"));
    }
    if model.metadata.iter().any(|entry| entry.key == "ort_config") {
        return Err(wrong("its metadata sets options of ONNX Runtime (ort_config)"));
    }
    check_graph(graph, files)
}

/// The arithmetic of a graph, from the most exact to the least.
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
/// [`ErrorKind::Package`] if the file is not an ONNX graph.
pub fn arithmetic(bytes: &[u8]) -> Result<Arithmetic> {
    let model = Model::decode(bytes).map_err(|e| wrong(format!("not an ONNX graph: {e}")))?;
    let graph = model.graph.unwrap_or_default();
    if graph.node.iter().any(|node| QUANTIZING.iter().any(|part| node.op_type.contains(part))) {
        return Ok(Arithmetic::Quantized);
    }
    let is_half = |name: &String| graph.initializer.iter().any(|w| w.data_type == FLOAT16 && w.name == *name);
    let computes = |node: &&Node| !CONVERTING.contains(&node.op_type.as_str());
    let in_half = graph.node.iter().filter(computes).any(|node| node.input.iter().any(is_half));
    Ok(if in_half { Arithmetic::Half } else { Arithmetic::Float })
}

/// Operators that look up rows of a table, their first input.
const LOOKING_UP: [&str; 2] = ["Gather", "GatherBlockQuantized"];

/// Returns the bytes of the weights of the graph in a file, as they are stored, without tables of which only some rows are
/// looked up.
///
/// # Errors
/// [`ErrorKind::Package`] if the file is not an ONNX graph.
pub fn bytes_of_weights(bytes: &[u8]) -> Result<u64> {
    let model = Model::decode(bytes).map_err(|e| wrong(format!("not an ONNX graph: {e}")))?;
    let graph = model.graph.unwrap_or_default();
    let looks_up = |node: &Node| LOOKING_UP.contains(&node.op_type.as_str());
    let read: BTreeSet<_> =
        graph.node.iter().flat_map(|node| node.input.iter().skip(usize::from(looks_up(node)))).collect();
    Ok(graph.initializer.iter().filter(|weights| read.contains(&weights.name)).filter_map(Tensor::bytes).sum())
}

fn check_operator_sets(sets: &[OperatorSet]) -> Result<()> {
    for OperatorSet { domain, version } in sets {
        check_domain(domain)?;
        if ONNX.contains(&domain.as_str()) && !OPSETS.contains(version) {
            let (least, most) = OPSETS.into_inner();
            return Err(wrong(format!("ONNX operators of version {version}; expected {least} … {most}")));
        }
    }
    if !sets.iter().any(|set| ONNX.contains(&set.domain.as_str())) {
        return Err(wrong("it does not say which version of the ONNX operators it uses"));
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<()> {
    if !ONNX.contains(&domain) && domain != MICROSOFT {
        return Err(wrong(format!("operators of {domain:?}; only those of ONNX and of {MICROSOFT:?} are run")));
    }
    Ok(())
}

fn check_graph(graph: &Graph, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let sparse = graph.sparse_initializer.iter().flat_map(SparseTensor::parts);
    graph.initializer.iter().chain(sparse).try_for_each(|tensor| check_tensor(tensor, files))?;
    for node in &graph.node {
        check_domain(&node.domain)?;
        if LOADING.contains(&node.op_type.as_str()) {
            return Err(wrong(format!("the operator {} loads files of its own", node.op_type)));
        }
        node.attribute.iter().try_for_each(|attribute| check_attribute(attribute, files))?;
    }
    Ok(())
}

fn check_attribute(attribute: &Attribute, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).flat_map(SparseTensor::parts);
    let mut tensors = attribute.tensor.iter().chain(&attribute.tensors).chain(sparse);
    tensors.try_for_each(|tensor| check_tensor(tensor, files))?;
    attribute.graph.iter().chain(&attribute.graphs).try_for_each(|graph| check_graph(graph, files))
}

/// Checks that external data of `tensor` lies in a file of the package, completely.
fn check_tensor(tensor: &Tensor, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let named = |what: String| Err(wrong(format!("tensor {:?}: {what}", tensor.name)));
    let Some(bytes) = tensor.bytes() else {
        return named(format!("dimensions {:?} of type {}, which no file can hold", tensor.dims, tensor.data_type));
    };
    if tensor.data_location == 0 && tensor.external_data.is_empty() {
        return Ok(());
    }
    let value = |key| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let number = |key, unsaid: u64| value(key).map_or(Some(unsaid), |text| text.parse().ok());
    let location = value("location").unwrap_or_default();
    let Some(file) = files.get(location) else {
        return named(format!("its data is in {location:?}, which is not among the package's files"));
    };
    let (Some(offset), Some(length)) = (number("offset", 0), number("length", bytes)) else {
        return named("the offset or the length of its data is not a number".into());
    };
    if length != bytes || offset.checked_add(length).is_none_or(|end| end > file.size) {
        let size = file.size;
        return named(format!(
            "{length} bytes from {offset} of {location}, which has {size}; expected {bytes} within it"
        ));
    }
    Ok(())
}

impl SparseTensor {
    fn parts(&self) -> impl Iterator<Item = &Tensor> {
        self.values.iter().chain(&self.indices)
    }
}

impl Tensor {
    /// Returns the size of the data in bytes; `None` for an invalid size or type.
    fn bytes(&self) -> Option<u64> {
        let bits = match self.data_type {
            21..=22 => 4,             // uint4, int4
            2 | 3 | 9 | 17..=20 => 8, // uint8, int8, bool, float8
            4 | 5 | 10 | 16 => 16,    // uint16, int16, float16, bfloat16
            1 | 6 | 12 => 32,         // float, int32, uint32
            7 | 11 | 13 => 64,        // int64, double, uint64
            8 => return Some(0),      // strings, which are never beside the graph
            _ => return None,
        };
        let elements = self.dims.iter().try_fold(1u64, |all, dim| all.checked_mul(u64::try_from(*dim).ok()?))?;
        Some(elements.checked_mul(bits)?.div_ceil(8))
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Package, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: impl ToString) -> Entry {
        Entry { key: key.into(), value: value.to_string() }
    }

    fn weights(location: &str, offset: u64, length: u64) -> Tensor {
        let place = vec![entry("location", location), entry("offset", offset), entry("length", length)];
        Tensor { dims: vec![2, 8], data_type: 1, name: "w".into(), external_data: place, data_location: 1 }
    }

    fn model(graph: Graph) -> Model {
        let set = |domain: &str, version| OperatorSet { domain: domain.into(), version };
        Model { graph: Some(graph), opset_import: vec![set("", 20), set(MICROSOFT, 1)], ..Model::default() }
    }

    fn with_node(op_type: &str, domain: &str, attribute: Vec<Attribute>) -> Graph {
        let node = Node { op_type: op_type.into(), domain: domain.into(), attribute, ..Node::default() };
        Graph { node: vec![node], ..Graph::default() }
    }

    fn with_tensor(tensor: Tensor) -> Graph {
        Graph { initializer: vec![tensor], ..Graph::default() }
    }

    fn check_model(model: &Model) -> Result<()> {
        let sum = FileSum::unread(96);
        check(&model.encode_to_vec(), &BTreeMap::from([("w.data".to_owned(), sum)]))
    }

    fn refuses(model: &Model, expected: &str) {
        let error = check_model(model).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Package);
        assert!(error.message().contains(expected), "{error}");
    }

    #[test]
    fn what_exporters_write_is_taken() {
        check_model(&model(with_tensor(weights("w.data", 32, 64)))).unwrap();
        check_model(&model(with_node("MatMulNBits", MICROSOFT, Vec::new()))).unwrap();
        check_model(&model(with_node("MatMul", "", Vec::new()))).unwrap();
        let inline = Tensor { dims: vec![3], data_type: 7, ..Tensor::default() };
        check_model(&model(with_tensor(inline))).unwrap();
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
            assert_eq!(arithmetic(&model(graph).encode_to_vec()).unwrap(), expected, "{op_type} of {input}");
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
        assert_eq!(bytes_of_weights(&model(graph).encode_to_vec()).unwrap(), 64 + 16 + 80);
        assert!(bytes_of_weights(b"not a graph").is_err());
    }

    #[test]
    fn operators_of_others_are_refused_wherever_they_stand() {
        refuses(&model(with_node("PyOp", "ai.onnx.contrib", Vec::new())), "ai.onnx.contrib");
        refuses(&model(with_node("EPContext", MICROSOFT, Vec::new())), "loads files");
        let inner = Attribute { graph: Some(with_node("X", "evil", Vec::new())), ..Attribute::default() };
        refuses(&model(with_node("If", "", vec![inner])), "evil");
        let mut other = model(Graph::default());
        other.opset_import.push(OperatorSet { domain: "evil".into(), version: 1 });
        refuses(&other, "evil");
        other.opset_import = vec![OperatorSet { domain: "ai.onnx".into(), version: 99 }];
        refuses(&other, "version 99");
        other.opset_import.clear();
        refuses(&other, "does not say");
        refuses(&Model { functions: vec![vec![1]], ..model(Graph::default()) }, "functions");
        refuses(&Model { metadata: vec![entry("ort_config", "{}")], ..model(Graph::default()) }, "ort_config");
    }

    #[test]
    fn data_outside_the_packages_files_is_refused_wherever_it_stands() {
        for location in ["", "../w.data", "/etc/passwd", "*/_ORT_MEM_ADDR_/*", "other.data", "./w.data"] {
            refuses(&model(with_tensor(weights(location, 0, 64))), "not among the package's files");
        }
        for (offset, length) in [(33, 64), (u64::MAX, 64), (0, 63), (0, 96)] {
            refuses(&model(with_tensor(weights("w.data", offset, length))), "which has 96");
        }
        let attribute = Attribute { tensor: Some(weights("../x", 0, 64)), ..Attribute::default() };
        refuses(&model(with_node("Constant", "", vec![attribute])), "../x");
        let sparse = SparseTensor { values: Some(weights("../y", 0, 64)), indices: None };
        refuses(&model(Graph { sparse_initializer: vec![sparse], ..Graph::default() }), "../y");
        let unplaced = Tensor { data_location: 0, ..weights("../z", 0, 64) };
        refuses(&model(with_tensor(unplaced)), "../z");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for dims in [vec![-1], vec![i64::MAX, 2], vec![1 << 62]] {
            refuses(&model(with_tensor(Tensor { dims, ..weights("w.data", 0, 64) })), "no file can hold");
        }
        refuses(&model(with_tensor(Tensor { data_type: 999, ..weights("w.data", 0, 64) })), "type 999");
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        for bytes in [&b""[..], b"ORTM1234", &[0xff; 64], b"not a graph at all"] {
            assert_eq!(check(bytes, &BTreeMap::new()).unwrap_err().kind(), ErrorKind::Package);
        }
        // graphs within graphs without an end
        let mut graph = Graph::default();
        for _ in 0..200 {
            graph = with_node("If", "", vec![Attribute { graph: Some(graph), ..Attribute::default() }]);
        }
        refuses(&model(graph), "recursion");
    }
}
