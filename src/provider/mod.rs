//! Execution providers: which ones are asked for, what loaded, and where every graph runs.
//!
//! A provider is either built into ONNX Runtime's library, or a plugin: a library of its own that offers devices. Both are
//! asked for by the same names. Nothing falls back in silence: what a graph cannot have is an error, unless the caller
//! named something else to fall back to, or `auto`; and a report says what happened.

mod built_in;
mod choice;
mod dependencies;
mod kinds;
mod memory;
mod placement;
mod plugin;
mod report;
mod resolve;

pub use choice::{GRAPHS, Provider, Providers};
pub use dependencies::{MissingLibrary, missing_libraries};
pub use report::{DeviceInfo, GraphPlacement, PassedOver, ProviderReport, ProviderState, ProviderStatus};

pub(crate) use dependencies::in_words;
pub(crate) use kinds::provider_key;
pub(crate) use memory::check_inputs_on_host;
pub(crate) use placement::{RECORD_PLACEMENT, metadata, nodes_by_provider};
pub(crate) use plugin::Plugins;
pub(crate) use resolve::{CPU, Resolver, Route};
