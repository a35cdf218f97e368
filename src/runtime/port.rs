//! The inputs and outputs of graphs, by their contract (`onnx/README.md`).

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

/// A tensor of a graph's contract: element type and dimensions, where `None` is a dimension of any size.
#[derive(Clone)]
pub(crate) struct Port {
    name: String,
    element: TensorElementType,
    /// True if float16 is accepted as well.
    may_be_half: bool,
    shape: Vec<Option<usize>>,
}

impl Port {
    fn new(name: impl Into<String>, element: TensorElementType, shape: &[Option<usize>]) -> Self {
        Self { name: name.into(), element, may_be_half: false, shape: shape.to_vec() }
    }

    /// Creates a float32 tensor.
    pub(crate) fn float(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self::new(name, TensorElementType::Float32, shape)
    }

    /// Creates an int64 tensor.
    pub(crate) fn int64(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self::new(name, TensorElementType::Int64, shape)
    }

    /// Creates an int32 tensor.
    pub(crate) fn int32(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self::new(name, TensorElementType::Int32, shape)
    }

    /// Creates a float32 or a float16 tensor.
    pub(crate) fn float_or_half(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self { may_be_half: true, ..Self::float(name, shape) }
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Describes how `found` differs from this port, if it does.
    fn mismatch(&self, found: Option<&Outlet>) -> Option<String> {
        let Some(found) = found else { return Some(format!("{:?} is missing", self.name)) };
        let ValueType::Tensor { ty, shape, .. } = found.dtype() else {
            return Some(format!("{:?} is not a tensor", self.name));
        };
        let fits = |(want, have): (&Option<usize>, &i64)| *have < 0 || want.is_none_or(|w| w as i64 == *have);
        let is_right = *ty == self.element || self.may_be_half && *ty == TensorElementType::Float16;
        if is_right && shape.len() == self.shape.len() && self.shape.iter().zip(shape.iter()).all(fits) {
            return None;
        }
        let want: Vec<_> = self.shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
        let name = &self.name;
        let element = self.element;
        Some(format!("{name:?} is {ty} {:?}; expected {element} [{}]", &shape[..], want.join(", ")))
    }
}

/// Describes how `session` differs from a graph that has these inputs and no others, and these outputs.
pub(super) fn mismatches(session: &Session, inputs: &[Port], outputs: &[Port]) -> Vec<String> {
    let differs = |port: &Port, found: &[Outlet]| port.mismatch(found.iter().find(|outlet| outlet.name() == port.name));
    let wrong_inputs = inputs.iter().filter_map(|port| differs(port, session.inputs()));
    let wrong_outputs = outputs.iter().filter_map(|port| differs(port, session.outputs()));
    let extra = session.inputs().iter().filter(|outlet| inputs.iter().all(|port| port.name != outlet.name()));
    let wrong_inputs = wrong_inputs.map(|what| format!("input {what}"));
    let wrong_outputs = wrong_outputs.map(|what| format!("output {what}"));
    let extra = extra.map(|outlet| format!("input {:?} is not in the contract", outlet.name()));
    wrong_inputs.chain(wrong_outputs).chain(extra).collect()
}

/// Returns whether `port` is float16.
pub(super) fn is_half(port: &Outlet) -> bool {
    matches!(port.dtype(), ValueType::Tensor { ty: TensorElementType::Float16, .. })
}
