//! The provider report: the requested providers, the outcome of each, and the placements of graphs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::MissingLibrary;
use crate::processor::Processor;
use crate::time_limit::Unfinished;

/// The outcome of loading a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderState {
    /// The provider can run graphs.
    Ready,
    /// Neither ONNX Runtime's library nor a plugin has the provider.
    NotInstalled,
    /// The provider was built for another version of ONNX Runtime, or of the system.
    WrongVersion,
    /// A library that the provider needs is missing.
    MissingDependency,
    /// The provider loaded, but found no device.
    NoDevice,
    /// Loading exceeded the time limit.
    TimedOut,
    /// Loading failed in another way.
    Failed,
}

impl ProviderState {
    /// Returns the state of a provider whose loading did not finish.
    pub(super) fn of(why: &Unfinished) -> Self {
        match why {
            Unfinished::TimedOut(_) => Self::TimedOut,
            Unfinished::NotStarted(_) | Unfinished::Panicked => Self::Failed,
        }
    }
}

/// A device that a provider runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// ONNX Runtime's name of the provider.
    pub provider: String,
    /// CPU, GPU or NPU.
    pub hardware: String,
    /// Vendor of the hardware.
    pub vendor: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vendor.as_str() {
            "" => write!(f, "{}", self.hardware),
            vendor => write!(f, "{} ({vendor})", self.hardware),
        }
    }
}

/// The outcome of loading one requested provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProviderStatus {
    /// The provider as requested, options included.
    pub asked: String,
    /// Options that this library sets for the provider because the request does not.
    pub default_options: BTreeMap<String, String>,
    /// The outcome.
    pub state: ProviderState,
    /// A description of the outcome: the device found, or the failure and its remedy.
    pub message: String,
    /// The plugin's file, or ONNX Runtime's library for a provider built into it.
    pub library: Option<PathBuf>,
    /// The plugin's version.
    pub version: Option<String>,
    /// Devices of the provider.
    pub devices: Vec<DeviceInfo>,
    /// Missing libraries that the provider needs.
    pub missing: Vec<MissingLibrary>,
}

/// A preferred provider that does not run a graph, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PassedOver {
    /// The provider as requested.
    pub provider: String,
    /// The reason why it does not run the graph.
    pub why: String,
}

/// The placement of a graph on a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphPlacement {
    /// The graph's name; `prefill` is the form of `llm` for long prompts, which is loaded with the first long prompt.
    pub graph: String,
    /// The loaded file: the variant for the provider, or for the processor, if the package has one that runs there.
    pub file: String,
    /// The instruction set of the processor for which the file was chosen (`AVX-512 VNNI`); `None` for other files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The provider as requested.
    pub provider: String,
    /// The provider's device.
    pub device: String,
    /// Number of nodes of the graph.
    pub nodes: usize,
    /// Number of nodes that fell back to the CPU, because the provider does not support them; 0 on the CPU provider.
    pub nodes_on_cpu: usize,
    /// The operators of these nodes, with the number of nodes of each.
    pub operators_on_cpu: BTreeMap<String, usize>,
    /// A variant for the provider or for the processor that was not loaded, with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant_passed_over: Option<String>,
    /// True if the provider computes in float16 what the graph has in float32.
    pub in_float16: bool,
    /// The sizes of the graph's dimensions, if its shapes are fixed; several where it is loaded several times.
    pub sizes: BTreeMap<String, Vec<usize>>,
    /// Preferred providers that do not run the graph.
    pub passed_over: Vec<PassedOver>,
}

impl GraphPlacement {
    /// Returns whether the graph is on the CPU provider, in any form.
    pub(crate) fn is_on_cpu(&self) -> bool {
        self.provider == "cpu" || self.provider.starts_with("cpu:")
    }

    /// Returns whether the placement is the reference that others are compared with: the package's own graph, with open shapes,
    /// on the CPU provider.
    pub(crate) fn is_reference(&self) -> bool {
        self.instructions.is_none() && self.sizes.is_empty() && self.is_on_cpu()
    }
}

impl fmt::Display for GraphPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, file, provider, device, nodes, nodes_on_cpu, .. } = self;
        write!(f, "{graph} ({file}) on {provider}, {device}: {} of {nodes} nodes", nodes - nodes_on_cpu)?;
        if let Some(instructions) = &self.instructions {
            write!(f, ", for {instructions}")?;
        }
        if self.in_float16 {
            f.write_str(", in float16")?;
        }
        if !self.sizes.is_empty() {
            let sizes = self.sizes.iter().map(|(name, sizes)| {
                let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
                format!("{name} {}", sizes.join(" and "))
            });
            write!(f, ", fixed to {}", sizes.collect::<Vec<_>>().join(", "))?;
        }
        if *nodes_on_cpu > 0 {
            let operators = self.operators_on_cpu.iter().map(|(name, count)| format!("{count} {name}"));
            write!(f, "; on the CPU {}", operators.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(why) = &self.variant_passed_over {
            write!(f, "; not its variant {why}")?;
        }
        for PassedOver { provider, why } in &self.passed_over {
            write!(f, "; not on {provider}: {why}")?;
        }
        Ok(())
    }
}

/// The requested providers and the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProviderReport {
    /// The processor, which determines the forms of graphs on the CPU.
    pub processor: Processor,
    /// The request.
    pub asked: String,
    /// The status of every requested provider.
    pub providers: Vec<ProviderStatus>,
    /// Graphs that none of their providers can run.
    pub unserved: Vec<String>,
    /// Devices of all loaded providers, requested or not.
    pub devices: Vec<DeviceInfo>,
    /// Placements of the loaded graphs.
    pub graphs: Vec<GraphPlacement>,
    /// Other copies of ONNX Runtime in this process. Plugins and models of one copy do not work with another copy.
    pub other_libraries: Vec<PathBuf>,
    /// Devices that are lost, by provider, each with its error. Graphs on them fail until the process is restarted.
    pub lost_devices: BTreeMap<String, String>,
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = format!("requested: {}\nprocessor: {}", self.asked, self.processor);
        for ProviderStatus { asked, message, .. } in &self.providers {
            let _ = write!(page, "\n{asked}: {message}");
        }
        for graph in &self.graphs {
            let _ = write!(page, "\n{graph}");
        }
        for other in &self.other_libraries {
            let _ = write!(page, "\nanother ONNX Runtime is in this process: {}", other.display());
        }
        for (provider, why) in &self.lost_devices {
            let _ = write!(page, "\nthe device of {provider} is lost, and the process must be restarted: {why}");
        }
        f.write_str(&page)
    }
}
