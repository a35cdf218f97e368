//! The form of `llm` for long prompts.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::body::Ports;
use crate::error::{Error, ErrorKind, Result};
use crate::package::PREFILL;
use crate::runtime::{Graph, GraphLoader};

/// Positions from which on a prompt is a long one. It is run by the graph of this form from its first position to its last,
/// however it is cut, so that its numbers depend on nothing but the prompt.
///
/// Measured with 0.5B sizes, 4 bits beside rows of 8 bits, on 2 cores with AVX-512 VNNI: 63 and 43 ms for 32 positions, 113 and
/// 64 for 64, 215 and 111 for 128; below 16 there is little to gain. But loading the form takes about 0.2 s and 370 MB, as much as some
/// 100 positions save, and a program that makes one sound from a sentence should spend neither.
const LONG_PROMPT: usize = 64;

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
            let name = |is_half| if is_half { "float16" } else { "float32" };
            let [own, of_llm] = [&graph, llm].map(|graph| name(graph.is_half(port.name())));
            let what = format!(
                "the graphs {PREFILL} and llm have caches of other numbers: {} is {own} in {}, and {of_llm} in llm; \
                 make the package again, or ask for the portable form (llm=cpu:vnni=0)",
                port.name(),
                self.file
            );
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(self.graph.get_or_init(|| graph))
    }
}
