//! A graph on one provider: the session, the checks of its numbers, and its placement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ort::session::Session;

use super::buffer::check_copies;
use super::device::Device;
use super::graph::{Graph, Placed};
use super::loader::{GraphLoader, LLM, NotLoaded, ToLoad};
use super::moves::Mover;
use super::place::Places;
use super::port::is_half;
use super::sizes::{Sizes, check_fixed};
use crate::error::{Error, ErrorKind};
use crate::memory::{megabytes, usable_memory};
use crate::provider::{CPU, GraphPlacement, Provider, Route, nodes_by_provider};

impl GraphLoader {
    /// Loads the graph in its file, for its provider.
    pub(super) fn session_on(&self, graph: ToLoad<'_>) -> Result<(Placed, GraphPlacement), NotLoaded> {
        let ToLoad { name, file, provider, fixing, is_auto } = graph;
        let route = self.route(provider, name, is_auto)?;
        let sizes = fixing.sizes(route.shapes).map_err(NotLoaded::PassedOver)?;
        let captures = provider.captures() && name == LLM;
        let route = if captures { route.capturing() } else { route };
        let placement = placement(provider, name, file, &route, &sizes);
        let is_cpu = route.name == CPU;
        let device = self.runtime.device(provider, &route.name);
        let session = self.open(file, route, &sizes, &device)?;
        let nodes = nodes_by_provider(&session);
        let operators_on_cpu = if is_cpu { BTreeMap::new() } else { operators_on_cpu(&nodes)? };
        self.check_products(&nodes)?;
        let places = places_of(&session, &device, &sizes).map_err(NotLoaded::PassedOver)?;
        let few_positions = match places.device() {
            None => false,
            Some(device) => self.runs_few_positions(provider, device, &nodes)?,
        };
        let mover = places.device().and_then(|device| self.mover(provider, device, &session));
        let placement = GraphPlacement {
            nodes: nodes.len(),
            nodes_on_cpu: operators_on_cpu.values().sum(),
            operators_on_cpu,
            ..placement
        };
        let placed = Placed {
            session,
            provider: provider.clone(),
            file: file.to_owned(),
            sizes,
            places: Arc::new(places),
            captures,
            few_positions,
            mover,
        };
        Ok((placed, placement))
    }

    /// Returns the route to `provider`. A provider that `auto` stands for is passed over where the CPU provider serves the
    /// graph better.
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
    pub(super) fn resolve(&self, provider: &Provider) -> Result<Route<'_>, NotLoaded> {
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

    /// Counts the weights of the graph in `file`, which is to run on the CPU. Logs a warning once the weights of all graphs
    /// on the CPU exceed the memory: the system gives no error then, it swaps or ends the process.
    fn count_weights(&self, file: &str) {
        let Ok(weights) = self.package.bytes_of_weights(file) else {
            return; // loading the file reports the error
        };
        let before = self.weights.fetch_add(weights, Ordering::Relaxed);
        let all = before.saturating_add(weights);
        let usable = usable_memory();
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

    /// Checks products of 8-bit integers, if any of `nodes` on the CPU computes one: on some processors they saturate
    /// without an error, whichever file of the package they come from.
    fn check_products(&self, nodes: &[(String, String)]) -> Result<(), NotLoaded> {
        let Some(operator) = byte_product(nodes) else { return Ok(()) };
        let checked = self.runtime.check_product();
        checked.map_err(|why| NotLoaded::PassedOver(format!("the graph needs {operator} on the CPU: {why}")))
    }

    /// Returns whether a graph with `nodes` must run few positions at once, because attention over many positions is wrong on
    /// `device`. A graph that cannot be divided so is passed over.
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

    /// Returns the mover of rows of the cache of `session`, if the session has a cache and `device` can move rows.
    fn mover(&self, provider: &Provider, device: &Arc<Device>, session: &Session) -> Option<Arc<Mover>> {
        let past = session.inputs().iter().find(|input| input.name().starts_with("past_key_values."))?;
        let is_half = is_half(past);
        self.runtime
            .movers
            .of(device, is_half, || self.runtime.load_mover(self.resolve_again(provider)?, device, is_half))
    }

    /// Loads the session of `graph` once more, with `sizes` for its dimensions.
    ///
    /// # Errors
    /// The reason in words.
    pub(super) fn session_with(&self, graph: &Graph, sizes: Sizes) -> Result<Placed, String> {
        let words = |e: ort::Error| e.message().trim().to_owned();
        let route = self.resolve_again(&graph.provider).map_err(words)?;
        let device = self.runtime.device(&graph.provider, &route.name);
        let session = self.load_session(&graph.file, route, &sizes, &device).map_err(words)?;
        let places = Places::of(&session, &device)?;
        check_copies(&session, &places)?;
        Ok(Placed {
            session,
            provider: graph.provider.clone(),
            file: graph.file.clone(),
            sizes,
            places: Arc::new(places),
            captures: false,
            few_positions: graph.few_positions,
            mover: None,
        })
    }
}

/// Returns the placement of a graph on `route`, a route to `provider`, without its nodes.
fn placement(provider: &Provider, name: &str, file: &str, route: &Route<'_>, sizes: &Sizes) -> GraphPlacement {
    GraphPlacement {
        graph: name.to_owned(),
        file: file.to_owned(),
        instructions: None,
        provider: provider.to_string(),
        device: route.device.clone(),
        nodes: 0,
        nodes_on_cpu: 0,
        operators_on_cpu: BTreeMap::new(),
        in_float16: route.in_float16,
        sizes: sizes.iter().map(|(dimension, size)| (dimension.clone(), vec![*size])).collect(),
        variant_passed_over: None,
        passed_over: Vec::new(),
    }
}

/// Counts the operators of the nodes that the provider left to the CPU.
///
/// # Errors
/// The provider left all nodes to the CPU.
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

/// Returns the places of the ports of `session`, which runs on `device` with `sizes` for its dimensions.
///
/// # Errors
/// A part of a sentence with the provider as its subject.
fn places_of(session: &Session, device: &Arc<Device>, sizes: &Sizes) -> Result<Places, String> {
    let places = Places::of(session, device)?;
    check_copies(session, &places)?;
    if !sizes.is_empty() {
        check_fixed(session)?;
        check_cache(session, &places)?;
    }
    Ok(places)
}

/// Returns the operator of a node on the CPU that multiplies 8-bit integers, or that ONNX Runtime may fuse with its neighbours
/// to such a product, if there is one.
fn byte_product(nodes: &[(String, String)]) -> Option<&str> {
    let multiplies = |operator: &str| {
        ["MatMulInteger", "ConvInteger", "QLinear", "QGemm"].iter().any(|prefix| operator.starts_with(prefix))
            || ["DynamicQuantizeMatMul", "DynamicQuantizeConv", "QuantizeLinear"].contains(&operator)
    };
    let found = nodes.iter().find(|(provider, operator)| provider == CPU && multiplies(operator));
    found.map(|(_, operator)| operator.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_products_on_the_cpu_are_found() {
        let nodes = |nodes: &[(&str, &str)]| -> Vec<(String, String)> {
            nodes.iter().map(|(provider, operator)| ((*provider).to_owned(), (*operator).to_owned())).collect()
        };
        for (operator, found) in [
            ("MatMulIntegerToFloat", true),
            ("DynamicQuantizeMatMul", true),
            ("QLinearConv", true),
            ("ConvInteger", true),
            ("QuantizeLinear", true),
            ("MatMulNBits", false),
            ("MatMul", false),
        ] {
            let on_cpu = nodes(&[(CPU, "Add"), (CPU, operator)]);
            assert_eq!(byte_product(&on_cpu), found.then_some(operator));
            assert_eq!(byte_product(&nodes(&[(CPU, "Add"), ("WebGpuExecutionProvider", operator)])), None);
        }
    }
}
