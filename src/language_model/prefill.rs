//! The form of `llm` for long prompts, which is loaded with the first long prompt.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::ports::Ports;
use crate::error::{Error, ErrorKind, Result};
use crate::package::PREFILL;
use crate::runtime::{Graph, GraphLoader};

/// The minimum number of positions of a long prompt. A long prompt runs on this form from its first position to its last, however it is cut
/// into chunks, so that its numbers depend on the prompt alone.
///
/// Measured with 0.5B sizes, 4 bits against rows of 8 bits, on 2 cores with AVX-512 VNNI: 63 and 43 ms for 32 positions, 113 and
/// 64 ms for 64, 215 and 111 ms for 128; below 16 positions the gain is small. Loading the form takes about 0.2 s, which is what
/// 100 positions save, and 370 MB; a program that makes one sound from one sentence should spend neither.
const LONG_PROMPT: usize = 64;

/// The form of `llm` for long prompts.
pub(super) struct Prefill {
    loader: Arc<GraphLoader>,
    file: String,
    ports: Ports,
    graph: OnceLock<Arc<Graph>>,
    /// Locked while the graph is being loaded, so that it is loaded once.
    loading: Mutex<()>,
}

impl Prefill {
    /// Returns the form that the package has for `llm`, if it can run beside `llm`.
    pub(super) fn beside(llm: &Graph, ports: &Ports, loader: &Arc<GraphLoader>) -> Option<Self> {
        let file = loader.prefill_file(llm)?.to_owned();
        Some(Self {
            loader: Arc::clone(loader),
            file,
            ports: ports.clone(),
            graph: OnceLock::new(),
            loading: Mutex::new(()),
        })
    }

    /// Returns whether a prompt of `positions` is long.
    pub(super) fn is_for(&self, positions: usize) -> bool {
        positions >= LONG_PROMPT
    }

    /// Returns the graph, loaded if needed.
    ///
    /// # Errors
    /// The graph cannot be loaded, or its cache has another element type than the cache of `llm`.
    pub(super) fn graph(&self, llm: &Graph) -> Result<&Arc<Graph>> {
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
                "the graphs {PREFILL} and llm have caches of different types: {} is {own} in {}, and {of_llm} in llm; \
                 export the package again, or ask for the portable form (llm=cpu:vnni=0)",
                port.name(),
                self.file
            );
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(self.graph.get_or_init(|| Arc::new(graph)))
    }
}
