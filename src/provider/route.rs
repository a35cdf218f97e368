//! A route for building sessions on a provider.

use ort::device::Device;
use ort::ep::ExecutionProviderDispatch;
use ort::session::builder::SessionBuilder;

use super::shapes::Shapes;

/// A route for building sessions on a provider.
pub(crate) struct Route<'e> {
    pub(super) kind: RouteKind<'e>,
    /// ONNX Runtime's name of the provider.
    pub name: String,
    /// The devices of the provider.
    pub device: String,
    /// True if the device is a CPU, on any provider.
    pub is_on_cpu: bool,
    /// The shapes of graphs.
    pub shapes: Shapes,
    /// True if the provider computes in float16 what graphs have in float32.
    pub in_float16: bool,
}

/// The means by which a session builder selects the provider.
pub(super) enum RouteKind<'e> {
    /// The registration of a provider that is built into ONNX Runtime's library.
    BuiltIn(ExecutionProviderDispatch),
    /// Devices, with the options of their provider.
    Devices(Vec<Device<'e>>, Vec<(String, String)>),
}

impl Route<'_> {
    /// Makes sessions record runs and replay them.
    pub(crate) fn capturing(mut self) -> Self {
        if let RouteKind::Devices(_, options) = &mut self.kind {
            options.push((format!("{}.enableGraphCapture", self.name), "1".to_owned()));
        }
        self
    }

    /// Adds this provider to `builder`, with the CPU alone after it.
    pub(crate) fn apply(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        Ok(match self.kind {
            RouteKind::BuiltIn(dispatch) => builder.with_execution_providers([dispatch])?,
            RouteKind::Devices(devices, options) => builder.with_devices(devices, Some(&options))?,
        })
    }
}
