//! The graphs of a package: loading, the check against their contract (`onnx/README.md`), and runs by one caller at a
//! time.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, ValueType};

use super::attention::FEW_POSITIONS;
use super::binding::Binding;
use super::buffer::{Buffer, DeviceTensor};
use super::clock::{Clock, GraphTime};
use super::faults;
use super::moves::Mover;
use super::place::{Device, Place, Places};
use super::sizes::{Fixing, Sizes, check_fixed};
use super::{Placing, Runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::package::{Package, PackageFiles};
use crate::provider::{CPU, GraphPlacement, PassedOver, Provider, Route, nodes_by_provider};

/// The graphs of a step of the language model, apart from the heads.
const STEP: [&str; 2] = ["embed", "llm"];

/// The graph whose steps are recorded and replayed where that is asked for.
const CAPTURED: &str = "llm";

/// A tensor of a graph's contract: element type and dimensions, where `None` is a dimension of any size.
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

/// The placements and run times of the loaded graphs of a model.
#[derive(Default)]
pub struct Placements(Mutex<BTreeMap<String, (GraphPlacement, Arc<Clock>)>>);

impl Placements {
    /// Returns all placements in the order of the graphs' names.
    pub fn all(&self) -> Vec<GraphPlacement> {
        self.lock().values().map(|(placement, _)| placement.clone()).collect()
    }

    /// Returns the run times of each graph, by name.
    pub fn times(&self) -> BTreeMap<String, GraphTime> {
        self.lock().iter().map(|(graph, (_, clock))| (graph.clone(), clock.read())).collect()
    }

    /// Records the placement of a graph, and returns its clock.
    fn note(&self, placement: GraphPlacement) -> Arc<Clock> {
        let clock = Arc::default();
        self.lock().insert(placement.graph.clone(), (placement, Arc::clone(&clock)));
        clock
    }

    /// Records that `graph` was loaded once more, with another size of a dimension.
    fn note_size(&self, graph: &str, dimension: &str, size: usize) {
        if let Some((placement, _)) = self.lock().get_mut(graph) {
            placement.sizes.entry(dimension.to_owned()).or_default().push(size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (GraphPlacement, Arc<Clock>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loader of the graphs of one package.
pub struct GraphLoader {
    runtime: &'static Runtime,
    package: Package,
    placing: Placing,
    placements: Placements,
}

/// A session on the devices of a provider.
struct Placed {
    session: Session,
    provider: Provider,
    /// The file of the graph.
    file: String,
    /// The sizes of its dimensions, if they are fixed.
    sizes: Sizes,
    places: Arc<Places>,
    /// Whether runs can be recorded and replayed.
    captures: bool,
    /// True if it must run few positions at once.
    few_positions: bool,
    /// Moves the rows of the graph's cache, if the graph has one on a device that can.
    mover: Option<Arc<Mover>>,
}

/// The reason why a graph was not loaded: the provider does not serve it, or it fails on any provider.
enum NotLoaded {
    PassedOver(String),
    Failed(Error),
}

impl GraphLoader {
    /// Creates a loader of the graphs in `package` for the providers of `placing`.
    pub fn new(runtime: &'static Runtime, package: Package, placing: Placing) -> Self {
        Self { runtime, package, placing, placements: Placements::default() }
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
                    let placement = GraphPlacement { passed_over, ..placement };
                    if !placement.passed_over.is_empty() || placement.variant_passed_over.is_some() {
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
        let Some(variant) = self.package.manifest().variant(provider.name(), name) else {
            return self.session_on(provider, name, file, fixing, is_auto);
        };
        let loaded =
            self.check_float16(provider).and_then(|()| self.session_on(provider, name, variant, fixing, is_auto));
        let Err(NotLoaded::PassedOver(why)) = loaded else { return loaded };
        let (placed, placement) = self.session_on(provider, name, file, fixing, is_auto)?;
        Ok((placed, GraphPlacement { variant_passed_over: Some(format!("{variant}: {why}")), ..placement }))
    }

    /// Checks that `provider` computes in float16, as variants do.
    fn check_float16(&self, provider: &Provider) -> Result<(), NotLoaded> {
        let (route, status) = self.runtime.resolver(&self.placing).resolve(provider);
        let route = route.ok_or(NotLoaded::PassedOver(status.message))?;
        let device = self.runtime.device(provider, &route.name);
        device.computes_half(|| self.runtime.check_float16(route)).map_err(NotLoaded::PassedOver)
    }

    fn session_on(
        &self,
        provider: &Provider,
        name: &str,
        file: &str,
        fixing: &Fixing,
        is_auto: bool,
    ) -> Result<(Placed, GraphPlacement), NotLoaded> {
        let (route, status) = self.runtime.resolver(&self.placing).resolve(provider);
        let route = route.ok_or(NotLoaded::PassedOver(status.message))?;
        if is_auto && route.is_on_cpu && route.name != CPU && self.is_of_step(name) {
            return Err(NotLoaded::PassedOver("on a CPU it decodes more slowly than ONNX Runtime itself".into()));
        }
        if is_auto && route.is_on_cpu && route.in_float16 {
            return Err(NotLoaded::PassedOver("on a CPU it is the emulation of another processor".into()));
        }
        let sizes = fixing.sizes(route.shapes).map_err(NotLoaded::PassedOver)?;
        let Route { name: runtime_name, device, in_float16, .. } = &route;
        let in_float16 = *in_float16;
        let runtime_name = runtime_name.clone();
        let device = device.clone();
        let captures = provider.captures() && name == CAPTURED;
        let route = if captures { route.capturing() } else { route };
        let low_memory = self.placing.low_memory;
        let its_device = self.runtime.device(provider, &runtime_name);
        let load = || self.runtime.load_session(self.files(), file, route, &sizes, low_memory);
        let session = if runtime_name == CPU { load() } else { its_device.with(load) };
        let session = session.map_err(|e| {
            use ort::ErrorCode::{InvalidGraph, InvalidProtobuf, NoModel, NoSuchFile};
            if runtime_name == CPU || matches!(e.code(), InvalidGraph | InvalidProtobuf | NoModel | NoSuchFile) {
                let what =
                    format!("{}: ONNX Runtime cannot load this graph: {}", self.files().describe(file), e.message());
                return NotLoaded::Failed(Error::new(ErrorKind::Package, what));
            }
            NotLoaded::PassedOver(format!("it rejects the graph: {}", e.message().trim()))
        })?;
        let nodes = nodes_by_provider(&session);
        let mut operators_on_cpu = BTreeMap::new();
        for (_, operator) in nodes.iter().filter(|(provider, _)| runtime_name != CPU && provider == CPU) {
            *operators_on_cpu.entry(operator.clone()).or_insert(0) += 1;
        }
        let nodes_on_cpu = operators_on_cpu.values().sum();
        if nodes_on_cpu == nodes.len() && nodes_on_cpu > 0 {
            return Err(NotLoaded::PassedOver(format!("it takes none of the graph's {nodes_on_cpu} nodes")));
        }
        let places = Places::of(&session, &its_device).map_err(NotLoaded::PassedOver)?;
        if !sizes.is_empty() {
            check_fixed(&session).and_then(|()| check_cache(&session, &places)).map_err(NotLoaded::PassedOver)?;
        }
        let few_positions = match places.device() {
            None => false,
            Some(device) => self.runs_few_positions(provider, device, &nodes)?,
        };
        let mover = places.device().and_then(|device| self.mover(provider, device, &session));
        let places = Arc::new(places);
        let placement = GraphPlacement {
            graph: name.to_owned(),
            file: file.to_owned(),
            provider: provider.to_string(),
            device,
            nodes: nodes.len(),
            nodes_on_cpu,
            operators_on_cpu,
            in_float16,
            sizes: sizes.iter().map(|(dimension, size)| (dimension.clone(), vec![*size])).collect(),
            variant_passed_over: None,
            passed_over: Vec::new(),
        };
        let (provider, file) = (provider.clone(), file.to_owned());
        Ok((Placed { session, provider, file, sizes, places, captures, few_positions, mover }, placement))
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
        let route = self.runtime.resolver(&self.placing).resolve(provider).0;
        let is_right = device.attends_right(|| {
            let gone = || ort::Error::new("its device is gone");
            self.runtime.check_attention(route.ok_or_else(gone)?)
        });
        match is_right {
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
        device.mover(is_half, || {
            let route = self.runtime.resolver(&self.placing).resolve(provider).0;
            let route = route.ok_or_else(|| ort::Error::new("its device is gone"))?;
            self.runtime.load_mover(route, device, is_half)
        })
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
        let route = self.runtime.resolver(&self.placing).resolve(&graph.provider).0.ok_or("its device is gone")?;
        let device = self.runtime.device(&graph.provider, &route.name);
        let is_on_cpu = route.name == CPU;
        let load = || self.runtime.load_session(self.files(), &graph.file, route, &sizes, self.placing.low_memory);
        let session = if is_on_cpu { load() } else { device.with(load) };
        let session = session.map_err(words)?;
        let places = Arc::new(Places::of(&session, &device)?);
        let (provider, file, few_positions) = (graph.provider.clone(), graph.file.clone(), graph.few_positions);
        Ok(Placed { session, provider, file, sizes, places, captures: false, few_positions, mover: None })
    }

    /// Loads the graph `name`, the shapes of which are fixed elsewhere, for the CPU, where it takes any shapes.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn beside(&self, graph: &Graph, inputs: &[Port], outputs: &[Port]) -> Result<Graph> {
        let file = self.package.manifest().graph(&graph.name)?;
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
        if wrong.is_empty() {
            return Ok(());
        }
        let what =
            format!("{}: the graph does not keep its contract: {}", self.files().describe(file), wrong.join("; "));
        Err(Error::new(ErrorKind::Package, what))
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

/// A loaded graph. One thread at a time runs it; others wait.
pub(crate) struct Graph {
    name: String,
    session: Mutex<Session>,
    provider: Provider,
    file: String,
    sizes: Sizes,
    places: Arc<Places>,
    captures: bool,
    few_positions: bool,
    mover: Option<Arc<Mover>>,
    clock: Arc<Clock>,
}

impl Graph {
    fn new(name: &str, placed: Placed, clock: Arc<Clock>) -> Self {
        let Placed { session, provider, file, sizes, places, captures, few_positions, mover } = placed;
        Self {
            name: name.to_owned(),
            session: Mutex::new(session),
            provider,
            file,
            sizes,
            places,
            captures,
            few_positions,
            mover,
            clock,
        }
    }

    /// Returns the size of the dimension of this name, if the shapes of the graph are fixed.
    pub(crate) fn fixed(&self, dimension: &str) -> Option<usize> {
        self.sizes.get(dimension).copied()
    }

    /// Returns whether the input `name` is float16.
    pub(crate) fn is_half(&self, name: &str) -> bool {
        let session = self.lock();
        let input = session.inputs().iter().find(|input| input.name() == name);
        input.is_some_and(is_half)
    }

    /// Returns what moves rows of the graph's cache on its device, if the device can.
    pub(crate) fn mover(&self) -> Option<Arc<Mover>> {
        self.mover.clone()
    }

    /// Returns the most positions that one run may have, for all numbers to be right.
    pub(crate) fn most_positions(&self) -> usize {
        if self.few_positions { FEW_POSITIONS } else { usize::MAX }
    }

    /// Allocates numbers of `shape` where the graph reads its input `port`.
    pub(crate) fn buffer<T>(&self, port: &str, shape: &[usize]) -> Result<Buffer<T>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        Buffer::new(&self.lock(), self.places.get(port), shape).map_err(|e| self.failed(&e))
    }

    /// Allocates numbers of `shape` that the graph writes to its output `port`: on the device, if runs are recorded, else
    /// on the host, to which ONNX Runtime copies them.
    pub(crate) fn output<T>(&self, port: &str, shape: &[usize]) -> Result<Buffer<T>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        let place = if self.captures { self.places.get(port) } else { &Place::Host };
        Buffer::new(&self.lock(), place, shape).map_err(|e| self.failed(&e))
    }

    /// Allocates a tensor of `shape` on the device where the graph reads its input `port`; `None` if that is the host.
    pub(crate) fn device_tensor<T>(&self, port: &str, shape: &[usize]) -> ort::Result<Option<DeviceTensor<T>>>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        match self.places.get(port) {
            Place::Host => Ok(None),
            Place::Device(memory) => DeviceTensor::new(&self.lock(), memory, shape).map(Some),
        }
    }

    /// Binds `buffer` as the output `port`. Returns whether the graph writes to where the buffer is read; otherwise the
    /// buffer must be uploaded after each run.
    pub(crate) fn bind_output<T>(&self, binding: &mut Binding, port: &str, buffer: &mut Buffer<T>) -> Result<bool>
    where
        T: PrimitiveTensorElementType + Debug + Clone + 'static,
    {
        buffer.bind_output(binding, port, self.places.get(port)).map_err(|e| self.failed(&e))
    }

    /// Returns a binding for [`run_bound`](Self::run_bound).
    pub(crate) fn binding(&self) -> Result<Binding> {
        Binding::new(&self.lock(), &self.places, self.captures).map_err(|e| self.failed(&e))
    }

    /// Lets the runs of `binding` be recorded and replayed, where that was asked for.
    pub(crate) fn record(&self, binding: &mut Binding) -> Result<()> {
        binding.record(&self.lock()).map_err(|e| self.failed(&e))
    }

    /// Runs on bound tensors.
    pub(crate) fn run_bound(&self, binding: &mut Binding) -> Result<()> {
        let mut session = self.lock();
        let mut run = || self.clock.time(|| binding.run(&mut session));
        let run = match self.places.device() {
            None => run(),
            Some(device) => device.with(run),
        };
        run.or_else(|e| {
            binding.record_anew(&session).map_err(|e| self.failed(&e))?;
            Err(self.failed(&e))
        })
    }

    /// Runs on `inputs` and returns the outputs in `names`, in that order.
    pub(crate) fn run<const I: usize, const O: usize>(
        &self,
        inputs: [(&str, SessionInputValue<'_>); I],
        names: [&str; O],
    ) -> Result<[DynValue; O]> {
        let mut session = self.lock();
        let run = || self.clock.time(|| session.run(Vec::from(inputs)));
        let run = match self.places.device() {
            None => run(),
            Some(device) => device.with(run),
        };
        let mut outputs: SessionOutputs = run.map_err(|e| self.failed(&e))?;
        let mut values = Vec::with_capacity(O);
        for name in names {
            let missing = || Error::new(ErrorKind::Graph, format!("{}: no output {name:?}", self.name));
            values.push(outputs.remove(name).ok_or_else(missing)?);
        }
        values.try_into().map_err(|_| Error::new(ErrorKind::Graph, format!("{}: outputs missing", self.name)))
    }

    /// Returns an error of this graph.
    pub(crate) fn failed(&self, error: &ort::Error) -> Error {
        faults::explain(&format!("{} failed", self.name_on_provider()), ErrorKind::Graph, error)
    }

    /// Returns the graph and its provider in words.
    pub(crate) fn name_on_provider(&self) -> String {
        format!("the graph {} on {}", self.name, self.provider)
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether `port` is float16.
fn is_half(port: &Outlet) -> bool {
    matches!(port.dtype(), ValueType::Tensor { ty: TensorElementType::Float16, .. })
}

/// Returns the value in `cell`, loading it if needed. If two threads race, both load and one result is kept.
pub(crate) fn load_once<T>(cell: &OnceLock<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(loaded) = cell.get() {
        return Ok(loaded);
    }
    let loaded = load()?;
    Ok(cell.get_or_init(|| loaded))
}
