//! The report: what was asked for, what came of it, and where the graphs run.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::MissingLibrary;

/// What came of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderState {
    /// It can serve.
    Ready,
    /// Neither ONNX Runtime's library has it, nor a plugin.
    NotInstalled,
    /// It was made for another version of ONNX Runtime, or of the system.
    WrongVersion,
    /// A library that it needs is not there.
    MissingDependency,
    /// It loaded, and found no device to run on.
    NoDevice,
    /// It took too long to load.
    TimedOut,
    /// It failed otherwise.
    Failed,
}

/// A device that a provider runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// ONNX Runtime's name of the provider.
    pub provider: String,
    /// CPU, GPU or NPU.
    pub hardware: String,
    /// Who made the hardware.
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

/// What came of one provider that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProviderStatus {
    /// As it was asked for, options included.
    pub asked: String,
    /// What came of it.
    pub state: ProviderState,
    /// A sentence about it: what was found, or what is wrong and what to do.
    pub message: String,
    /// The plugin's file, or ONNX Runtime's library for a provider built into it.
    pub library: Option<PathBuf>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The devices that it offers.
    pub devices: Vec<DeviceInfo>,
    /// The libraries that it needs and that are not there.
    pub missing: Vec<MissingLibrary>,
}

/// A provider that a graph was not given to, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PassedOver {
    /// As it was asked for.
    pub provider: String,
    /// Why it does not run the graph.
    pub why: String,
}

/// Where a graph runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphPlacement {
    /// The graph's name.
    pub graph: String,
    /// The file that was loaded: that of the provider's variant, where the package has one.
    pub file: String,
    /// The provider, as it was asked for.
    pub provider: String,
    /// Its device.
    pub device: String,
    /// Nodes of the graph.
    pub nodes: usize,
    /// Those that fell back to the CPU, because the provider does not take them; none when it is the CPU itself.
    pub nodes_on_cpu: usize,
    /// The operators of these, and how many of each.
    pub operators_on_cpu: BTreeMap<String, usize>,
    /// Providers that were preferred, and do not serve.
    pub passed_over: Vec<PassedOver>,
}

impl fmt::Display for GraphPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, file, provider, device, nodes, nodes_on_cpu, .. } = self;
        write!(f, "{graph} ({file}) on {provider}, {device}: {} of {nodes} nodes", nodes - nodes_on_cpu)?;
        if *nodes_on_cpu > 0 {
            let operators = self.operators_on_cpu.iter().map(|(name, count)| format!("{count} {name}"));
            write!(f, "; on the CPU {}", operators.collect::<Vec<_>>().join(", "))?;
        }
        self.passed_over.iter().try_for_each(|PassedOver { provider, why }| write!(f, "; not on {provider}: {why}"))
    }
}

/// What was asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProviderReport {
    /// What was asked for.
    pub asked: String,
    /// Every provider of that.
    pub providers: Vec<ProviderStatus>,
    /// Graphs for which none of their providers can serve.
    pub unserved: Vec<String>,
    /// Devices of all providers that are loaded, whether asked for or not.
    pub devices: Vec<DeviceInfo>,
    /// Where the graphs run that are loaded.
    pub graphs: Vec<GraphPlacement>,
    /// Other copies of ONNX Runtime in this process: plugins and models of one do not work with another.
    pub other_libraries: Vec<PathBuf>,
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = format!("asked for {}", self.asked);
        for ProviderStatus { asked, message, .. } in &self.providers {
            let _ = write!(page, "\n{asked}: {message}");
        }
        for graph in &self.graphs {
            let _ = write!(page, "\n{graph}");
        }
        for other in &self.other_libraries {
            let _ = write!(page, "\nanother ONNX Runtime is in this process: {}", other.display());
        }
        f.write_str(&page)
    }
}
