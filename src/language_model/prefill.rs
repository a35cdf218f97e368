//! The form of `llm` for long prompts.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::body::Ports;
use crate::error::{Error, ErrorKind, Result};
use crate::package::PREFILL;
use crate::runtime::{Graph, GraphLoader};

/// Positions from which on a prompt is a long one. It is run by the graph of this form from its first position to its last,
/// however it is cut, so that its numbers depend on nothing but the prompt.
const LONG_PROMPT: usize = 32;

/// The form of `llm` for long prompts, which is loaded when the first one comes.
pub(super) struct Prefill {
    loader: Arc<GraphLoader>,
    file: String,
    ports: Ports,
    graph: OnceLock<Graph>,
    /// Held while it is being loaded, so that it is loaded once.
    loading: Mutex<()>,
}

impl Prefill {
    /// Returns the form that goes with `llm`, if there is one.
    pub(super) fn beside(llm: &Graph, ports: &Ports, loader: &Arc<GraphLoader>) -> Option<Self> {
        let file = loader.prefill_file(llm)?.to_owned();
        let (loader, ports) = (Arc::clone(loader), ports.clone());
        Some(Self { loader, file, ports, graph: OnceLock::new(), loading: Mutex::new(()) })
    }

    /// Returns whether a prompt of so many positions is a long one.
    pub(super) fn is_for(&self, positions: usize) -> bool {
        positions >= LONG_PROMPT
    }

    /// Returns the graph, loaded if needed.
    ///
    /// # Errors
    /// It cannot be loaded, or its cache is not that of `llm`.
    pub(super) fn graph(&self, llm: &Graph) -> Result<&Graph> {
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let graph = self.loader.load_prefill(llm, &self.file, &self.ports.inputs, &self.ports.outputs)?;
        if let Some(port) = self.ports.inputs.iter().find(|port| llm.is_half(port.name()) != graph.is_half(port.name()))
        {
            let what = format!("the graphs {PREFILL} and llm have caches of other numbers ({})", port.name());
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(self.graph.get_or_init(|| graph))
    }
}
