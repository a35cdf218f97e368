//! Loading the graphs of a package: for each, the first provider that serves it, the form that it runs there, and the
//! checks of what was loaded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ort::session::Session;

use super::clock::Clock;
use super::graph::{Graph, Placed};
use super::moves::Mover;
use super::place::{Device, Places};
use super::placements::Placements;
use super::port::{Port, is_half, mismatches};
use super::sizes::{Fixing, Sizes, check_fixed};
use super::{Placing, Runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{megabytes, usable_memory};
use crate::package::{PREFILL, Package, PackageFiles};
use crate::processor::Processor;
use crate::provider::{CPU, GraphPlacement, PassedOver, Provider, Route, nodes_by_provider};

/// The graphs of a step of the language model, apart from the heads.
const STEP: [&str; 2] = ["embed", LLM];

/// The layers of the language model. Their steps are recorded and replayed where that is asked for.
const LLM: &str = "llm";

/// Number of threads from which two graphs are run at once: each graph's caller takes part in its work, and on two cores
/// both together were measured to take as long as one after the other.
const THREADS_FOR_TWO_GRAPHS: usize = 3;

/// A loader of the graphs of one package.
pub struct GraphLoader {
    runtime: &'static Runtime,
    package: Package,
    placing: Placing,
    placements: Placements,
    /// Bytes of the weights of the graphs that were loaded for the CPU.
    weights: AtomicU64,
}

/// A variant of a graph, by what it needs.
enum Variant<'m> {
    /// A form in float16 for a provider.
    Half(&'m str),
    /// A form for processors with VNNI.
    Vnni(&'m str),
}

/// The reason why a graph was not loaded: the provider does not serve it, or it fails on any provider.
enum NotLoaded {
    PassedOver(String),
    Failed(Error),
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

    /// Checks that providers are named only for graphs that the package has.
    pub fn check_providers(&self) -> Result<()> {
        self.placing.providers.check(self.package.manifest().graphs.keys().map(String::as_str))
    }

    /// Returns the number of threads that the graphs share.
    pub(crate) fn threads(&self) -> usize {
        self.runtime.threads()
    }

    /// Returns whether a graph is to run beside another one: there are cores for both, and memory is not scarce.
    pub(crate) fn runs_graphs_beside(&self) -> bool {
        self.threads() >= THREADS_FOR_TWO_GRAPHS && !self.placing.low_memory
    }

    fn files(&self) -> &PackageFiles {
        self.package.files()
    }

    /// Returns whether the graph `name` runs in every step of the language model.
    fn is_of_step(&self, name: &str) -> bool {
        STEP.contains(&name) || self.package.manifest().heads.contains_key(name)
    }

    /// Loads the graph in `file`, or in the file of its variant, for the first provider that serves it.
    fn session(&self, name: &str, file: &str, fixing: &Fixing) -> Result<(Placed, Arc<Clock>)> {
        let asked = self.placing.providers.of(name);
        let is_auto = asked.iter().any(Provider::is_auto);
        let mut passed_over = Vec::new();
        for provider in self.candidates(&asked) {
            match self.session_of_form(&provider, name, file, fixing, is_auto) {
                Ok((placed, placement)) => {
                    let mut placement = GraphPlacement { passed_over, ..placement };
                    if let Some(Err(why)) = self.prefill(&provider, &placed.sizes).filter(|_| name == LLM) {
                        placement.variant_passed_over.get_or_insert(why);
                    }
                    // a form for another processor is no fault
                    let lacks_variant = placement.variant_passed_over.is_some() && !provider.is_cpu();
                    if !placement.passed_over.is_empty() || lacks_variant {
                        log::warn!(target: "ualm::provider", "{placement}");
                    } else if !self.placing.providers.is_cpu() {
                        log::info!(target: "ualm::provider", "{placement}");
                    }
                    return Ok((placed, self.placements.note(placement)));
                }
                Err(NotLoaded::Failed(error)) => return Err(error),
                Err(NotLoaded::PassedOver(why)) => {
                    passed_over.push(PassedOver { provider: provider.to_string(), why });
                }
            }
        }
        let reasons: Vec<_> = passed_over.iter().map(|p| format!("{}: {}", p.provider, p.why)).collect();
        let what = format!("none of the requested providers serves the graph {name}: {}", reasons.join("; "));
        let way = format!("name one to fall back to (cpu at the end of the list, or {name}=cpu), or ask for auto");
        Err(Error::new(ErrorKind::Provider, format!("{what}. {way}; the provider report says more")))
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

    /// Loads the variant of the graph for `provider`, if there is one that it can run, else the graph in `file`.
    fn session_of_form(
        &self,
        provider: &Provider,
        name: &str,
        file: &str,
        fixing: &Fixing,
        is_auto: bool,
    ) -> Result<(Placed, GraphPlacement), NotLoaded> {
        let Some(variant) = self.variant(provider, name) else {
            return self.session_on(provider, name, file, fixing, is_auto);
        };
        let (Variant::Half(variant_file) | Variant::Vnni(variant_file)) = variant;
        let checked = match variant {
            Variant::Half(_) => self.check_float16(provider).map(|()| None),
            Variant::Vnni(_) => self.vnni(provider).map(Some),
        };
        let loaded = checked.and_then(|instructions| {
            let (placed, placement) = self.session_on(provider, name, variant_file, fixing, is_auto)?;
            Ok((placed, GraphPlacement { instructions: instructions.map(str::to_owned), ..placement }))
        });
        let Err(NotLoaded::PassedOver(why)) = loaded else { return loaded };
        let (placed, placement) = self.session_on(provider, name, file, fixing, is_auto)?;
        Ok((placed, GraphPlacement { variant_passed_over: Some(format!("{variant_file}: {why}")), ..placement }))
    }

    /// Returns the variant of the graph `name` for `provider`, if there is one.
    fn variant(&self, provider: &Provider, name: &str) -> Option<Variant<'_>> {
        let manifest = self.package.manifest();
        let vnni = provider.is_cpu().then(|| manifest.vnni_form(name)).flatten().map(Variant::Vnni);
        vnni.or_else(|| manifest.variant(provider.name(), name).map(Variant::Half))
    }

    /// Returns the processor's kind of VNNI, if forms for it may run on `provider`, the CPU, and give right numbers.
    fn vnni(&self, provider: &Provider) -> Result<&'static str, NotLoaded> {
        let route = self.resolve(provider)?;
        if !provider.takes_vnni() {
            return Err(NotLoaded::PassedOver("the portable form was asked for (vnni=0)".into()));
        }
        let processor = Processor::get();
        let lacking =
            || NotLoaded::PassedOver(format!("no VNNI that ONNX Runtime uses on this processor ({processor})"));
        let instructions = processor.vnni().ok_or_else(lacking)?;
        self.runtime.check_product(route).map_err(NotLoaded::PassedOver)?;
        Ok(instructions)
    }

    /// Checks that `provider` computes in float16, as variants do.
    fn check_float16(&self, provider: &Provider) -> Result<(), NotLoaded> {
        let route = self.resolve(provider)?;
        let device = self.runtime.device(provider, &route.name);
        device.computes_half(|| self.runtime.check_float16(route)).map_err(NotLoaded::PassedOver)
    }

    /// Loads the graph in `file` for `provider`.
    fn session_on(
        &self,
        provider: &Provider,
        name: &str,
        file: &str,
        fixing: &Fixing,
        is_auto: bool,
    ) -> Result<(Placed, GraphPlacement), NotLoaded> {
        let route = self.route(provider, name, is_auto)?;
        let sizes = fixing.sizes(route.shapes).map_err(NotLoaded::PassedOver)?;
        let captures = provider.captures() && name == LLM;
        let route = if captures { route.capturing() } else { route };
        let (is_cpu, in_float16, words) = (route.name == CPU, route.in_float16, route.device.clone());
        let device = self.runtime.device(provider, &route.name);
        let session = self.open(file, route, &sizes, &device)?;
        let nodes = nodes_by_provider(&session);
        let operators_on_cpu = if is_cpu { BTreeMap::new() } else { operators_on_cpu(&nodes)? };
        let places = Places::of(&session, &device).map_err(NotLoaded::PassedOver)?;
        if !sizes.is_empty() {
            check_fixed(&session).and_then(|()| check_cache(&session, &places)).map_err(NotLoaded::PassedOver)?;
        }
        let few_positions = match places.device() {
            None => false,
            Some(device) => self.runs_few_positions(provider, device, &nodes)?,
        };
        let mover = places.device().and_then(|device| self.mover(provider, device, &session));
        let placement = GraphPlacement {
            graph: name.to_owned(),
            file: file.to_owned(),
            instructions: None,
            provider: provider.to_string(),
            device: words,
            nodes: nodes.len(),
            nodes_on_cpu: operators_on_cpu.values().sum(),
            operators_on_cpu,
            in_float16,
            sizes: sizes.iter().map(|(dimension, size)| (dimension.clone(), vec![*size])).collect(),
            variant_passed_over: None,
            passed_over: Vec::new(),
        };
        let (provider, file, places) = (provider.clone(), file.to_owned(), Arc::new(places));
        Ok((Placed { session, provider, file, sizes, places, captures, few_positions, mover }, placement))
    }

    /// Returns the route to `provider`. One that [`auto`](Provider::is_auto) named is passed over where the CPU itself
    /// serves the graph better.
    fn route(&self, provider: &Provider, name: &str, is_auto: bool) -> Result<Route<'_>, NotLoaded> {
        let route = self.resolve(provider)?;
        if !is_auto || !route.is_on_cpu {
            return Ok(route);
        }
        if route.name != CPU && self.is_of_step(name) {
            return Err(NotLoaded::PassedOver("on a CPU it decodes more slowly than ONNX Runtime itself".into()));
        }
        if route.in_float16 {
            return Err(NotLoaded::PassedOver("on a CPU it is the emulation of another processor".into()));
        }
        Ok(route)
    }

    /// Returns the route to `provider`.
    fn resolve(&self, provider: &Provider) -> Result<Route<'_>, NotLoaded> {
        let (route, status) = self.runtime.resolver(&self.placing).resolve(provider);
        route.ok_or(NotLoaded::PassedOver(status.message))
    }

    /// Returns the route to `provider`, which has served a graph before.
    fn resolve_again(&self, provider: &Provider) -> ort::Result<Route<'_>> {
        let route = self.runtime.resolver(&self.placing).resolve(provider).0;
        route.ok_or_else(|| ort::Error::new("its device is gone"))
    }

    /// Loads a session of the graph in `file` on the devices of `route`, with `sizes` in place of its open dimensions.
    fn open(&self, file: &str, route: Route<'_>, sizes: &Sizes, device: &Device) -> Result<Session, NotLoaded> {
        use ort::ErrorCode::{InvalidGraph, InvalidProtobuf, NoModel, NoSuchFile};
        let is_cpu = route.name == CPU;
        if is_cpu {
            self.count_weights(file);
        }
        self.load_session(file, route, sizes, device).map_err(|e| {
            if is_cpu || matches!(e.code(), InvalidGraph | InvalidProtobuf | NoModel | NoSuchFile) {
                let graph = self.files().describe(file);
                let what = format!("{graph}: ONNX Runtime cannot load this graph: {}", e.message());
                return NotLoaded::Failed(Error::new(ErrorKind::Package, what));
            }
            NotLoaded::PassedOver(format!("it rejects the graph: {}", e.message().trim()))
        })
    }

    /// Counts the weights of the graph in `file`, which is to run on the CPU, and warns where they and those of the graphs
    /// before it are more than the memory holds: what the system does then, it does without a word.
    fn count_weights(&self, file: &str) {
        let Ok(weights) = self.package.bytes_of_weights(file) else {
            return; // what is wrong with the file is told when it is loaded
        };
        let before = self.weights.fetch_add(weights, Ordering::Relaxed);
        let (all, usable) = (before.saturating_add(weights), usable_memory());
        if before <= usable && all > usable {
            log::warn!(
                target: "ualm::memory",
                "too little memory: with {file}, the graphs on the CPU have {} MB of weights, and this process may use {} MB in all: \
                 the system may end it, or be very slow (docs/edge.md)",
                megabytes(all),
                megabytes(usable),
            );
        }
    }

    fn load_session(&self, file: &str, route: Route<'_>, sizes: &Sizes, device: &Device) -> ort::Result<Session> {
        let is_cpu = route.name == CPU;
        let load = || self.runtime.load_session(self.files(), file, route, sizes, &self.placing);
        if is_cpu { load() } else { device.with(load) }
    }

    /// Returns whether a graph with `nodes` must run few positions at once, for the attention of `device` over many is
    /// wrong. A graph that cannot is passed over.
    fn runs_few_positions(
        &self,
        provider: &Provider,
        device: &Device,
        nodes: &[(String, String)],
    ) -> Result<bool, NotLoaded> {
        let has = |wanted: &str| nodes.iter().any(|(provider, operator)| provider != CPU && operator == wanted);
        let is_causal = has("GroupQueryAttention");
        if !is_causal && !has("MultiHeadAttention") {
            return Ok(false);
        }
        match device.attends_right(|| self.runtime.check_attention(self.resolve_again(provider)?)) {
            Ok(true) => Ok(false),
            Ok(false) if is_causal => Ok(true),
            Ok(false) => {
                let what = "its attention over many positions was checked and is wrong on this device";
                Err(NotLoaded::PassedOver(what.into()))
            }
            Err(e) => Err(NotLoaded::PassedOver(format!("it cannot run attention: {}", e.message().trim()))),
        }
    }

    /// Returns what moves the rows of the cache of `session`, if it has one and `device` can.
    fn mover(&self, provider: &Provider, device: &Arc<Device>, session: &Session) -> Option<Arc<Mover>> {
        let past = session.inputs().iter().find(|input| input.name().starts_with("past_key_values."))?;
        let is_half = is_half(past);
        device.mover(is_half, || self.runtime.load_mover(self.resolve_again(provider)?, device, is_half))
    }

    /// Loads the graph `name`; `fixing` says how its shapes are fixed for a provider that wants that.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the package lacks the graph, or when the graph lacks a port or has another input.
    pub(crate) fn load(&self, name: &str, inputs: &[Port], outputs: &[Port], fixing: &Fixing) -> Result<Graph> {
        let (placed, clock) = self.session(name, self.package.manifest().graph(name)?, fixing)?;
        self.check_contract(&placed.session, &placed.file, inputs, outputs)?;
        Ok(Graph::new(name, placed, clock))
    }

    /// Returns the file of the form of `llm` for long prompts, if the package has one that runs beside `llm`.
    pub(crate) fn prefill_file(&self, llm: &Graph) -> Option<&str> {
        self.prefill(&llm.provider, &llm.sizes)?.ok()
    }

    /// Returns the file of the form of `llm` for long prompts, if the package has one, or the reason why it is not used beside
    /// `llm` on the CPU, which is `provider`, with `sizes` for its dimensions.
    fn prefill(&self, provider: &Provider, sizes: &Sizes) -> Option<Result<&str, String>> {
        let file = self.package.manifest().vnni_form(PREFILL).filter(|_| provider.is_cpu())?;
        let why = match self.vnni(provider) {
            Err(NotLoaded::PassedOver(why)) => why,
            Err(NotLoaded::Failed(error)) => error.full_message(),
            Ok(_) if !sizes.is_empty() => "it is for open shapes".to_owned(),
            Ok(_) if self.placing.low_memory => "memory is to be saved".to_owned(),
            Ok(_) => return Some(Ok(file)),
        };
        Some(Err(format!("{file} for long prompts: {why}")))
    }

    /// Loads the graph in `file`, another form of `llm` for the same provider.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn load_prefill(&self, llm: &Graph, file: &str, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let wrong = |not_loaded| match not_loaded {
            NotLoaded::Failed(error) => error,
            NotLoaded::PassedOver(why) => Error::new(ErrorKind::Provider, format!("{PREFILL}: {why}")),
        };
        let instructions = self.vnni(&llm.provider).map_err(wrong)?;
        let loaded = self.session_on(&llm.provider, PREFILL, file, &Fixing::Impossible(""), false);
        let (placed, placement) = loaded.map_err(wrong)?;
        self.check_contract(&placed.session, file, inputs, outputs)?;
        let placement = GraphPlacement { instructions: Some(instructions.to_owned()), ..placement };
        let clock = self.placements.note(placement);
        Ok(Graph::new(PREFILL, placed, clock))
    }

    /// Loads `graph`, whose shapes are fixed, once more for its provider, with another `size` of a dimension. If that
    /// fails, there is none, and a warning says why.
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

    fn session_with(&self, graph: &Graph, sizes: Sizes) -> Result<Placed, String> {
        let words = |e: ort::Error| e.message().trim().to_owned();
        let route = self.resolve_again(&graph.provider).map_err(words)?;
        let device = self.runtime.device(&graph.provider, &route.name);
        let session = self.load_session(&graph.file, route, &sizes, &device).map_err(words)?;
        let places = Arc::new(Places::of(&session, &device)?);
        let (provider, file, few_positions) = (graph.provider.clone(), graph.file.clone(), graph.few_positions);
        Ok(Placed { session, provider, file, sizes, places, captures: false, few_positions, mover: None })
    }

    /// Loads the graph `name`, the shapes of which are fixed elsewhere, for the CPU, where it takes any shapes.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn beside(&self, graph: &Graph, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let own = self.package.manifest().graph(&graph.name)?;
        let file = if graph.provider.is_cpu() { &graph.file } else { own };
        let provider = Provider::new("cpu");
        let loaded = self.session_on(&provider, &graph.name, file, &Fixing::Impossible(""), false);
        let (placed, _) = loaded.map_err(|not_loaded| match not_loaded {
            NotLoaded::Failed(error) => error,
            NotLoaded::PassedOver(why) => Error::new(ErrorKind::Provider, format!("{}: {why}", graph.name)),
        })?;
        self.check_contract(&placed.session, file, inputs, outputs)?;
        Ok(Graph::new(&graph.name, placed, Arc::clone(&graph.clock)))
    }

    /// Checks that a graph has these inputs and no others, and these outputs.
    fn check_contract(&self, session: &Session, file: &str, inputs: &[Port], outputs: &[Port]) -> Result<()> {
        let wrong = mismatches(session, inputs, outputs);
        if wrong.is_empty() {
            return Ok(());
        }
        let what =
            format!("{}: the graph does not keep its contract: {}", self.files().describe(file), wrong.join("; "));
        Err(Error::new(ErrorKind::Package, what))
    }
}

/// Counts the operators of the nodes that the provider left to the CPU.
///
/// # Errors
/// It left all of them.
fn operators_on_cpu(nodes: &[(String, String)]) -> Result<BTreeMap<String, usize>, NotLoaded> {
    let mut operators = BTreeMap::new();
    for (_, operator) in nodes.iter().filter(|(provider, _)| provider == CPU) {
        *operators.entry(operator.clone()).or_insert(0) += 1;
    }
    match operators.values().sum() {
        0 => Ok(operators),
        left if left == nodes.len() => Err(NotLoaded::PassedOver(format!("it takes none of the graph's {left} nodes"))),
        _ => Ok(operators),
    }
}

/// Checks that a cache, if `session` has one, lies on the host: rows of a cache on a device cannot be bound one by one.
fn check_cache(session: &Session, places: &Places) -> Result<(), String> {
    let has_cache = session.inputs().iter().any(|input| input.name().starts_with("past_key_values."));
    match places.device() {
        Some(_) if has_cache => {
            Err("with fixed shapes each row of a cache runs alone, which works in memory of the host, not of a device"
                .into())
        }
        _ => Ok(()),
    }
}
