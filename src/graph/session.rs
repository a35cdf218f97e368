//! One graph of a package: loaded, held against its contract (`onnx/README.md`), run by one caller at a time.

use std::sync::{Mutex, PoisonError};

use ort::session::{IoBinding, Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Outlet, TensorElementType, ValueType};

use crate::package_files::PackageFiles;
use crate::runtime::Runtime;
use crate::{Error, ErrorKind, Result};

/// A tensor that a contract names: element type and dimensions; `None` is a dimension of any size.
pub(super) struct Port {
    name: String,
    element: TensorElementType,
    shape: Vec<Option<usize>>,
}

impl Port {
    /// A float32 tensor.
    pub(super) fn float(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self { name: name.into(), element: TensorElementType::Float32, shape: shape.to_vec() }
    }

    /// An int64 tensor.
    pub(super) fn int64(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self { name: name.into(), element: TensorElementType::Int64, shape: shape.to_vec() }
    }

    /// An int32 tensor.
    pub(super) fn int32(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self { name: name.into(), element: TensorElementType::Int32, shape: shape.to_vec() }
    }

    /// What is wrong with `found`, if anything is.
    fn mismatch(&self, found: Option<&Outlet>) -> Option<String> {
        let Some(found) = found else { return Some(format!("{:?} is missing", self.name)) };
        let ValueType::Tensor { ty, shape, .. } = found.dtype() else {
            return Some(format!("{:?} is no tensor", self.name));
        };
        let fits = |(want, have): (&Option<usize>, &i64)| *have < 0 || want.is_none_or(|w| w as i64 == *have);
        if *ty == self.element && shape.len() == self.shape.len() && self.shape.iter().zip(shape.iter()).all(fits) {
            return None;
        }
        let want: Vec<_> = self.shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
        let (name, element) = (&self.name, self.element);
        Some(format!("{name:?} is {ty} {:?}; expected {element} [{}]", &shape[..], want.join(", ")))
    }
}

/// Loads the graphs of one package.
pub struct GraphLoader<'a> {
    runtime: &'a Runtime,
    files: &'a PackageFiles,
}

impl<'a> GraphLoader<'a> {
    /// A loader of the graphs among `files`.
    pub fn new(runtime: &'a Runtime, files: &'a PackageFiles) -> Self {
        Self { runtime, files }
    }

    /// Loads the graph in `file` and refuses it when it lacks one of its ports, or has an input beyond them.
    pub(super) fn load(&self, name: &str, file: &str, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let session = self.runtime.load_session(self.files, file)?;
        let mut wrong: Vec<String> = inputs
            .iter()
            .filter_map(|port| port.mismatch(session.inputs().iter().find(|o| o.name() == port.name)))
            .map(|what| format!("input {what}"))
            .collect();
        wrong.extend(
            outputs
                .iter()
                .filter_map(|port| port.mismatch(session.outputs().iter().find(|o| o.name() == port.name)))
                .map(|what| format!("output {what}")),
        );
        let extra = session.inputs().iter().filter(|o| inputs.iter().all(|port| port.name != o.name()));
        wrong.extend(extra.map(|o| format!("input {:?} is not in the contract", o.name())));
        if !wrong.is_empty() {
            let what =
                format!("{}: the graph does not keep its contract: {}", self.files.describe(file), wrong.join("; "));
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(Graph { name: name.to_owned(), session: Mutex::new(session) })
    }
}

/// A loaded graph. ONNX Runtime's sessions are run by one thread at a time; others wait.
pub(super) struct Graph {
    name: String,
    session: Mutex<Session>,
}

impl Graph {
    /// A binding for [`run_bound`](Self::run_bound).
    pub(super) fn binding(&self) -> Result<IoBinding> {
        self.lock().create_binding().map_err(|e| self.failed(&e))
    }

    /// Runs on bound tensors.
    pub(super) fn run_bound(&self, binding: &IoBinding) -> Result<()> {
        self.lock().run_binding(binding).map(drop).map_err(|e| self.failed(&e))
    }

    /// Runs on `inputs` and gives the outputs that `names` lists, in that order.
    pub(super) fn run<const I: usize, const O: usize>(
        &self,
        inputs: [(&str, SessionInputValue<'_>); I],
        names: [&str; O],
    ) -> Result<[DynValue; O]> {
        let mut session = self.lock();
        let mut outputs: SessionOutputs = session.run(Vec::from(inputs)).map_err(|e| self.failed(&e))?;
        let mut values = Vec::with_capacity(O);
        for name in names {
            let missing = || Error::new(ErrorKind::Graph, format!("{}: no output {name:?}", self.name));
            values.push(outputs.remove(name).ok_or_else(missing)?);
        }
        values.try_into().map_err(|_| Error::new(ErrorKind::Graph, format!("{}: outputs missing", self.name)))
    }

    /// An error of this graph.
    pub(super) fn failed(&self, error: &ort::Error) -> Error {
        Error::new(ErrorKind::Graph, format!("the graph {} failed: {}", self.name, error.message()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
