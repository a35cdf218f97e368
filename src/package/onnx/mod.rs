//! The check of an ONNX file before ONNX Runtime parses it.

mod arithmetic;
mod format;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::FileSum;
use crate::error::{Error, ErrorKind, Result};
pub use arithmetic::{Arithmetic, arithmetic, bytes_of_weights};
use format::{Attribute, Graph, Model, OperatorSet, SparseTensor, Tensor};

/// The largest graph file, without weights in files beside it.
pub const MAX_BYTES: u64 = 64 << 20;
/// Accepted versions of the ONNX operators.
const OPSETS: RangeInclusive<i64> = 13..=24;
/// The domains of the ONNX operators.
const ONNX: [&str; 2] = ["", "ai.onnx"];
/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";
/// Operators that load other files.
const LOADING: [&str; 1] = ["EPContext"];

/// Checks that the file is an ONNX graph, uses only operators of ONNX and ONNX Runtime, and reads only from `files`,
/// within their sizes.
///
/// # Errors
/// [`ErrorKind::Package`] with the first defect found.
pub fn check(bytes: &[u8], files: &BTreeMap<String, FileSum>) -> Result<()> {
    let model = Model::parse(bytes)?;
    let Some(graph) = &model.graph else { return Err(wrong("not an ONNX graph: it contains no graph")) };
    check_operator_sets(&model.opset_import)?;
    if !model.functions.is_empty() || !model.training.is_empty() {
        return Err(wrong("it contains functions or training of its own; expected a graph alone"));
    }
    if model.metadata.iter().any(|entry| entry.key == "ort_config") {
        return Err(wrong("its metadata sets options of ONNX Runtime (ort_config)"));
    }
    check_graph(graph, files)
}

fn check_operator_sets(sets: &[OperatorSet]) -> Result<()> {
    for OperatorSet { domain, version } in sets {
        check_domain(domain)?;
        if ONNX.contains(&domain.as_str()) && !OPSETS.contains(version) {
            return Err(wrong(format!("ONNX operators of version {version}; expected {OPSETS:?}")));
        }
    }
    if !sets.iter().any(|set| ONNX.contains(&set.domain.as_str())) {
        return Err(wrong("it does not say which version of the ONNX operators it uses"));
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<()> {
    if !ONNX.contains(&domain) && domain != MICROSOFT {
        return Err(wrong(format!(
            "operators of {domain:?}; only operators of ONNX and of {MICROSOFT:?} are accepted"
        )));
    }
    Ok(())
}

fn check_graph(graph: &Graph, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let sparse = graph.sparse_initializer.iter().flat_map(SparseTensor::parts);
    for tensor in graph.initializer.iter().chain(sparse) {
        check_tensor(tensor, files)?;
    }
    for node in &graph.node {
        check_domain(&node.domain)?;
        if LOADING.contains(&node.op_type.as_str()) {
            return Err(wrong(format!("the operator {} loads files of its own", node.op_type)));
        }
        for attribute in &node.attribute {
            check_attribute(attribute, files)?;
        }
    }
    Ok(())
}

fn check_attribute(attribute: &Attribute, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).flat_map(SparseTensor::parts);
    for tensor in attribute.tensor.iter().chain(&attribute.tensors).chain(sparse) {
        check_tensor(tensor, files)?;
    }
    for graph in attribute.graph.iter().chain(&attribute.graphs) {
        check_graph(graph, files)?;
    }
    Ok(())
}

/// Checks that external data of `tensor` lies within a file of the package.
fn check_tensor(tensor: &Tensor, files: &BTreeMap<String, FileSum>) -> Result<()> {
    let named = |what: String| Err(wrong(format!("tensor {:?}: {what}", tensor.name)));
    let Some(bytes) = tensor.bytes() else {
        return named(format!("dimensions {:?} of type {}, which no file can hold", tensor.dims, tensor.data_type));
    };
    if tensor.data_location == 0 && tensor.external_data.is_empty() {
        return Ok(());
    }
    let value = |key| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let number = |key, default: u64| value(key).map_or(Some(default), |text| text.parse().ok());
    let location = value("location").unwrap_or_default();
    let Some(file) = files.get(location) else {
        return named(format!("its data is in {location:?}, which is not among the package's files"));
    };
    let Some((offset, length)) = number("offset", 0).zip(number("length", bytes)) else {
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

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Package, what)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::format::{Entry, Node};
    use super::*;

    fn entry(key: &str, value: impl ToString) -> Entry {
        Entry { key: key.into(), value: value.to_string() }
    }

    fn weights(location: &str, offset: u64, length: u64) -> Tensor {
        let external_data = vec![entry("location", location), entry("offset", offset), entry("length", length)];
        Tensor { dims: vec![2, 8], data_type: 1, name: "w".into(), external_data, data_location: 1 }
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
    fn graphs_of_exporters_are_accepted() {
        check_model(&model(with_tensor(weights("w.data", 32, 64)))).unwrap();
        check_model(&model(with_node("MatMulNBits", MICROSOFT, Vec::new()))).unwrap();
        check_model(&model(with_node("MatMul", "", Vec::new()))).unwrap();
        let inline = Tensor { dims: vec![3], data_type: 7, ..Tensor::default() };
        check_model(&model(with_tensor(inline))).unwrap();
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
    fn data_outside_the_packages_files_is_refused() {
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
    fn impossible_sizes_are_refused() {
        for dims in [vec![-1], vec![i64::MAX, 2], vec![1 << 62]] {
            refuses(&model(with_tensor(Tensor { dims, ..weights("w.data", 0, 64) })), "no file can hold");
        }
        refuses(&model(with_tensor(Tensor { data_type: 999, ..weights("w.data", 0, 64) })), "type 999");
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b""[..], b"ORTM1234", &[0xff; 64], b"not a graph at all"] {
            assert_eq!(check(bytes, &BTreeMap::new()).unwrap_err().kind(), ErrorKind::Package);
        }
        // graphs within graphs, too deep to decode
        let mut graph = Graph::default();
        for _ in 0..200 {
            graph = with_node("If", "", vec![Attribute { graph: Some(graph), ..Attribute::default() }]);
        }
        refuses(&model(graph), "recursion");
    }
}
