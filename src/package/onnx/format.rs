//! The parts of the ONNX format (`onnx.proto`) that refer beyond the graph or determine its arithmetic and its size; `prost`
//! skips the others.

use prost::Message;

use crate::error::{Error, ErrorKind, Result};

/// ONNX's number of float16.
pub(super) const FLOAT16: i32 = 10;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub metadata: Vec<Entry>,
    #[prost(bytes = "vec", repeated, tag = "20")]
    pub training: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    pub functions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(message, optional, tag = "5")]
    pub tensor: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    pub sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    pub values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    pub indices: Option<Tensor>,
}

impl Model {
    /// Decodes the contents of a graph file.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] if they are not an ONNX model.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes).map_err(|e| Error::new(ErrorKind::Package, format!("not an ONNX graph: {e}")))
    }
}

impl SparseTensor {
    /// Returns the two tensors that hold a sparse tensor.
    pub fn parts(&self) -> impl Iterator<Item = &Tensor> {
        self.values.iter().chain(&self.indices)
    }
}

impl Tensor {
    /// Returns the size of the data in bytes; `None` for an invalid size or type.
    pub fn bytes(&self) -> Option<u64> {
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
