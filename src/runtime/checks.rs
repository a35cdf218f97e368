//! Graphs that are part of this library rather than of a package: checks of providers, and moves of rows.

use std::sync::Arc;

use half::f16;
use ort::session::Session;

use super::device::Device;
use super::moves::{self, Mover};
use super::{LOAD_LIMIT, Runtime, attention, float16, product};
use crate::processor::Processor;
use crate::provider::{Provider, RECORD_PLACEMENT, Resolver, Route};

impl Runtime {
    /// Loads `graph`, the contents of a graph file, for the provider of `route`.
    pub(crate) fn load_graph(&self, graph: &[u8], route: Route<'_>) -> ort::Result<Session> {
        let builder = Session::builder(&self.environment)?.with_config_entry(RECORD_PLACEMENT, "1")?;
        route.apply(builder)?.commit_from_memory(graph)
    }

    /// Returns the route to the CPU provider.
    ///
    /// # Errors
    /// A plugin hangs in ONNX Runtime.
    pub(crate) fn cpu_route(&self) -> ort::Result<Route<'_>> {
        let resolver = Resolver {
            environment: &self.environment,
            plugins: &self.plugins,
            library: &self.library,
            libraries: &[],
            limit: LOAD_LIMIT,
        };
        let (route, status) = resolver.resolve(&Provider::new("cpu"));
        route.ok_or_else(|| ort::Error::new(status.message))
    }

    /// Checks attention over many positions on the devices of `route`.
    pub(super) fn check_attention(&self, route: Route<'_>) -> ort::Result<bool> {
        attention::is_right(&mut self.load_graph(attention::GRAPH, route)?)
    }

    /// Checks arithmetic in float16 on the devices of `route`.
    pub(super) fn check_float16(&self, route: Route<'_>) -> ort::Result<bool> {
        float16::is_right(&mut self.load_graph(float16::GRAPH, route)?)
    }

    /// Checks products of 8-bit integers on the CPU, once for the process.
    ///
    /// # Errors
    /// The reason why they cannot be used.
    pub(super) fn check_product(&self) -> Result<(), String> {
        let check = || {
            let session = self.cpu_route().and_then(|route| self.load_graph(product::GRAPH, route));
            let what = match session.and_then(|mut session| product::is_right(&mut session)) {
                Ok(true) => return Ok(()),
                Ok(false) => "its products of bytes were checked and are wrong on this processor".to_owned(),
                Err(e) => format!("products of bytes do not run: {}", e.message().trim()),
            };
            log::warn!("forms of graphs for VNNI are not used: {what} ({})", Processor::get());
            Err(what)
        };
        self.product.get_or_init(check).clone()
    }

    /// Loads the graph that moves rows on `device`, the device of `route`.
    pub(super) fn load_mover(&self, route: Route<'_>, device: &Arc<Device>, is_half: bool) -> ort::Result<Mover> {
        let session = device.with(|| self.load_graph(moves::graph(is_half), route))?;
        if is_half { Mover::new::<f16>(session, device) } else { Mover::new::<f32>(session, device) }
    }
}
