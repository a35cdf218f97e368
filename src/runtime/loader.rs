//! Loading the graphs of a package: each on the first provider that serves it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ort::session::Session;

use super::clock::Clock;
use super::graph::{Graph, Placed};
use super::placements::Placements;
use super::port::{Port, mismatches};
use super::sizes::Fixing;
use super::{Placing, Runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::package::{Package, PackageFiles};
use crate::provider::{GraphPlacement, PassedOver, Provider};

/// The graphs of a step of the language model, apart from the heads.
const STEP: [&str; 2] = ["embed", LLM];

/// The layers of the language model, whose steps are recorded and replayed on request.
pub(super) const LLM: &str = "llm";

/// The minimum number of threads to run two graphs at once: each graph's caller takes part in its work, and on two cores both
/// together were measured to take as long as one after the other.
const THREADS_FOR_TWO_GRAPHS: usize = 3;

/// A loader of the graphs of one package.
pub struct GraphLoader {
    pub(super) runtime: &'static Runtime,
    pub(super) package: Package,
    pub(super) placing: Placing,
    pub(super) placements: Placements,
    /// Bytes of the weights of the graphs that were loaded for the CPU.
    pub(super) weights: AtomicU64,
}

/// A graph to load.
#[derive(Clone, Copy)]
pub(super) struct ToLoad<'a> {
    /// The graph's name.
    pub name: &'a str,
    /// The file of the form to load.
    pub file: &'a str,
    /// The provider to load it for.
    pub provider: &'a Provider,
    /// The shapes for a provider that needs fixed shapes.
    pub fixing: &'a Fixing,
    /// `true` if [`auto`](Provider::is_auto) stands for the provider.
    pub is_auto: bool,
}

impl<'a> ToLoad<'a> {
    /// Creates the request for the graph in `file` on `provider`, which takes any shapes.
    pub(super) fn on(provider: &'a Provider, name: &'a str, file: &'a str) -> Self {
        Self { name, file, provider, fixing: &Fixing::Impossible(""), is_auto: false }
    }
}

/// The reason why a graph was not loaded.
pub(super) enum NotLoaded {
    /// The provider does not serve the graph; another provider may.
    PassedOver(String),
    /// The graph fails on any provider.
    Failed(Error),
}

impl NotLoaded {
    /// Returns the error for a graph that has no other provider to fall back to.
    pub(super) fn into_error(self, graph: &str) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::PassedOver(why) => Error::new(ErrorKind::Provider, format!("{graph}: {why}")),
        }
    }
}

impl GraphLoader {
    /// Creates a loader of the graphs in `package` for the providers of `placing`.
    pub fn new(runtime: &'static Runtime, package: Package, placing: Placing) -> Self {
        Self { runtime, package, placing, placements: Placements::default(), weights: AtomicU64::new(0) }
    }

    /// Returns the ONNX Runtime that the graphs are loaded with.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }

    /// Returns the package.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Returns the placements of the graphs loaded so far.
    pub fn placements(&self) -> &Placements {
        &self.placements
    }

    /// Checks that the requested providers name only graphs that the package has.
    pub fn check_providers(&self) -> Result<()> {
        self.placing.providers.check(self.package.manifest().graphs.keys().map(String::as_str))
    }

    /// Returns the number of threads that the graphs share.
    pub(crate) fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// Returns whether two graphs are to run at once: there are cores for both, and memory is not to be saved.
    pub(crate) fn runs_graphs_beside(&self) -> bool {
        self.threads() >= THREADS_FOR_TWO_GRAPHS && !self.placing.low_memory
    }

    pub(super) fn files(&self) -> &PackageFiles {
        self.package.files()
    }

    /// Returns whether the graph `name` runs in every step of the language model.
    pub(super) fn is_of_step(&self, name: &str) -> bool {
        STEP.contains(&name) || self.package.manifest().heads.contains_key(name)
    }

    /// Loads the graph in `file`, or in the file of its variant, on the first provider that serves it.
    fn session(&self, name: &str, file: &str, fixing: &Fixing) -> Result<(Placed, Arc<Clock>)> {
        let asked = self.placing.providers.of(name);
        let is_auto = asked.iter().any(Provider::is_auto);
        let mut passed_over = Vec::new();
        for provider in self.candidates(&asked) {
            match self.session_of_form(ToLoad { name, file, provider: &provider, fixing, is_auto }) {
                Ok((placed, placement)) => {
                    let mut placement = GraphPlacement { passed_over, ..placement };
                    if let Some(Err(why)) = self.prefill(&provider, &placed.sizes).filter(|_| name == LLM) {
                        placement.variant_passed_over.get_or_insert(why);
                    }
                    self.log_placement(&provider, &placement);
                    return Ok((placed, self.placements.note(placement)));
                }
                Err(NotLoaded::Failed(error)) => return Err(error),
                Err(NotLoaded::PassedOver(why)) => {
                    passed_over.push(PassedOver { provider: provider.to_string(), why });
                }
            }
        }
        Err(not_served(name, &passed_over))
    }

    /// Logs where a graph runs: as a warning where the first choice of provider or file failed.
    fn log_placement(&self, provider: &Provider, placement: &GraphPlacement) {
        // a processor without the instructions for a form is not a fault
        let lacks_variant = placement.variant_passed_over.is_some() && !provider.is_cpu();
        if !placement.passed_over.is_empty() || lacks_variant {
            log::warn!(target: "ualm::provider", "{placement}");
        } else if !self.placing.providers.is_cpu() {
            log::info!(target: "ualm::provider", "{placement}");
        }
    }

    /// Expands `asked` to the providers to try, in order.
    fn candidates(&self, asked: &[Provider]) -> Vec<Provider> {
        let cpu = || Provider::new("cpu");
        let mut candidates = Vec::new();
        for provider in asked {
            if provider.is_auto() {
                candidates.extend(self.runtime.resolver(&self.placing).accelerators());
                candidates.push(cpu());
            } else {
                candidates.push(provider.clone());
            }
        }
        if candidates.is_empty() {
            candidates.push(cpu());
        }
        candidates
    }

    /// Loads the graph `name`, with the shapes that `fixing` gives for a provider that needs fixed shapes.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the package lacks the graph, or when the graph lacks a port or has another input.
    pub(crate) fn load(&self, name: &str, inputs: &[Port], outputs: &[Port], fixing: &Fixing) -> Result<Graph> {
        let (placed, clock) = self.session(name, self.package.manifest().graph(name)?, fixing)?;
        self.check_contract(&placed.session, &placed.file, inputs, outputs)?;
        Ok(Graph::new(name, placed, clock))
    }

    /// Loads `graph`, whose shapes are fixed, once more for its provider, with another `size` of a dimension. Returns `None`,
    /// and logs a warning, if that fails.
    pub(crate) fn with_size(&self, graph: &Graph, dimension: &str, size: usize) -> Option<Graph> {
        let mut sizes = graph.sizes.clone();
        sizes.insert(dimension.to_owned(), size);
        match self.session_with(graph, sizes) {
            Ok(placed) => {
                self.placements.note_size(&graph.name, dimension, size);
                Some(Graph::new(&graph.name, placed, Arc::clone(&graph.clock)))
            }
            Err(why) => {
                let name = &graph.name;
                log::warn!(target: "ualm::provider", "{name}: not with {size} {dimension} on {}: {why}", graph.provider);
                None
            }
        }
    }

    /// Loads `graph`, whose shapes are fixed on its provider, for the CPU, where it takes any shapes.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn beside(&self, graph: &Graph, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let own = self.package.manifest().graph(&graph.name)?;
        let file = if graph.provider.is_cpu() { &graph.file } else { own };
        let provider = Provider::new("cpu");
        let loaded = self.session_on(ToLoad::on(&provider, &graph.name, file));
        let (placed, _) = loaded.map_err(|not_loaded| not_loaded.into_error(&graph.name))?;
        self.check_contract(&placed.session, file, inputs, outputs)?;
        Ok(Graph::new(&graph.name, placed, Arc::clone(&graph.clock)))
    }

    /// Checks that `session` has these inputs and no others, and these outputs.
    pub(super) fn check_contract(
        &self,
        session: &Session,
        file: &str,
        inputs: &[Port],
        outputs: &[Port],
    ) -> Result<()> {
        let wrong = mismatches(session, inputs, outputs);
        if wrong.is_empty() {
            return Ok(());
        }
        let what = format!("{}: the graph violates its contract: {}", self.files().describe(file), wrong.join("; "));
        Err(Error::new(ErrorKind::Package, what))
    }
}

/// Returns the error that no requested provider serves the graph `name`.
fn not_served(name: &str, passed_over: &[PassedOver]) -> Error {
    let reasons: Vec<_> = passed_over.iter().map(|p| format!("{}: {}", p.provider, p.why)).collect();
    let what = format!("none of the requested providers serves the graph {name}: {}", reasons.join("; "));
    let way = format!("Name a provider to fall back to (cpu at the end of the list, or {name}=cpu), or auto");
    Error::new(ErrorKind::Provider, format!("{what}. {way}; the provider report has the details"))
}
