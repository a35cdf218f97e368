//! Execution providers: selection, loading, and a report of where every graph runs.
//!
//! A provider is either built into ONNX Runtime's library, or a plugin: a library of its own with devices. The same
//! names select both kinds. No fallback is silent: a provider that cannot serve a graph is an error, unless the caller
//! lists another provider after it, or `auto`; the report has the outcome.

mod built_in;
mod choice;
mod dependencies;
mod kinds;
mod memory;
mod options;
mod placement;
mod plugin;
mod report;
mod resolve;
mod route;
mod shapes;

pub use choice::{GRAPHS, Provider, Providers};
pub use dependencies::{MissingLibrary, missing_libraries};
pub use report::{DeviceInfo, GraphPlacement, PassedOver, ProviderReport, ProviderState, ProviderStatus};

pub(crate) use dependencies::in_words;
pub(crate) use kinds::provider_key;
pub(crate) use memory::Memory;
pub(crate) use placement::{RECORD_PLACEMENT, metadata, nodes_by_provider};
pub(crate) use plugin::Plugins;
pub(crate) use resolve::{CPU, Resolver};
pub(crate) use route::Route;
pub(crate) use shapes::Shapes;
