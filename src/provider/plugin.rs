//! Plugins: providers in libraries of their own, registered once in a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ort::device::Device;
use ort::environment::Environment;

use super::dependencies::in_words;
use super::{MissingLibrary, ProviderState, metadata, missing_libraries, provider_key};
use crate::time_limit::within;

/// The longest name of a provider that `ort` accepts.
const LONGEST_NAME: usize = 120;

/// The reason why a library does not work as a plugin, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PluginFailure {
    pub state: ProviderState,
    pub message: String,
    pub missing: Vec<MissingLibrary>,
}

/// The plugins of a process, by their files.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    known: Mutex<BTreeMap<PathBuf, Result<(), PluginFailure>>>,
    /// A plugin that hangs in ONNX Runtime, which blocks every query of devices and the loading of graphs.
    hanging: OnceLock<PluginFailure>,
}

impl Plugins {
    /// Registers the plugin in `library`, unless an earlier call has registered it or has failed.
    pub(super) fn register(
        &self,
        environment: &Environment,
        library: &Path,
        limit: Duration,
    ) -> Result<PathBuf, PluginFailure> {
        let path = library.canonicalize().map_err(|e| PluginFailure {
            state: ProviderState::NotInstalled,
            message: format!("{}: {e}", library.display()),
            missing: Vec::new(),
        })?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let number = known.len();
        let one = || self.register_first(environment, &path, number, limit);
        known.entry(path.clone()).or_insert_with(one).clone()?;
        Ok(path)
    }

    /// Returns the plugin, if any, that hangs in ONNX Runtime.
    pub(super) fn hanging(&self) -> Option<&PluginFailure> {
        self.hanging.get()
    }

    /// Loads the library, then registers it: only the second step blocks ONNX Runtime if it hangs.
    fn register_first(
        &self,
        environment: &Environment,
        path: &Path,
        number: usize,
        limit: Duration,
    ) -> Result<(), PluginFailure> {
        let timed_out = || PluginFailure {
            state: ProviderState::TimedOut,
            message: format!(
                "{}: it did not load within {} s, the limit on loading",
                path.display(),
                limit.as_secs_f64()
            ),
            missing: Vec::new(),
        };
        let library = path.to_path_buf();
        let loaded = within(limit, move || ort::util::preload_dylib(&library).map_err(|e| e.to_string()));
        loaded.ok_or_else(timed_out)?.map_err(|words| explain(path, &words))?;
        let environment = environment.clone();
        let library = path.to_path_buf();
        let registered = within(limit, move || environment.register_ep_library(format!("ualm {number}"), library));
        match registered {
            Some(done) => done.map_err(|error| explain(path, error.message())),
            None => Err(self.hanging.get_or_init(timed_out).clone()),
        }
    }
}

/// Determines why ONNX Runtime could not load a library, from the library and the message.
pub(super) fn explain(library: &Path, words: &str) -> PluginFailure {
    let missing = missing_libraries(library);
    let words = words.trim();
    if !missing.is_empty() {
        let message = format!("{}: a library is missing: {}", library.display(), in_words(&missing));
        return PluginFailure { state: ProviderState::MissingDependency, message, missing };
    }
    let lower = words.to_lowercase();
    let signs =
        ["api version", "ort version", "requires onnx runtime", "undefined symbol: ort", "version `", "too old"];
    let (state, what) = if signs.iter().any(|sign| lower.contains(sign)) {
        (ProviderState::WrongVersion, "it was made for another version")
    } else {
        (ProviderState::Failed, "it cannot be loaded as a provider")
    };
    PluginFailure { state, message: format!("{}: {what}: {words}", library.display()), missing }
}

/// Returns the devices of the plugin in `library`.
pub(super) fn devices_of<'e>(environment: &'e Environment, library: &Path) -> Vec<Device<'e>> {
    let is_its = |device: &Device<'_>| {
        let file = metadata(device, "library_path").and_then(|path| Path::new(&path).canonicalize().ok());
        file.is_some_and(|file| file == library) && device.ep().is_ok_and(|name| name.len() <= LONGEST_NAME)
    };
    environment.devices().filter(is_its).collect()
}

/// Returns the plugins in `folder`, that of ONNX Runtime's library: the provider's name and the file of each.
pub(super) fn beside(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.filter_map(|path| Some((provider_in(path.file_name()?.to_str()?)?, path))).collect();
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// Returns the provider in a plugin by the name of its file, such as `libonnxruntime_providers_openvino_plugin.so`.
fn provider_in(file: &str) -> Option<String> {
    let (name, rest) = file.split_once('.')?;
    let is_library = match rest {
        "so" | "dll" | "dylib" => true,
        versioned => versioned.starts_with("so."),
    };
    let name = name.strip_prefix("lib").unwrap_or(name);
    let name = ["onnxruntime_providers_", "onnxruntime_ep_"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let name = name.strip_suffix("_plugin").unwrap_or(name);
    (is_library && name != "shared").then(|| provider_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_known_by_its_file() {
        for (file, provider) in [
            ("libonnxruntime_providers_openvino_plugin.so", Some("openvino")),
            ("libonnxruntime_providers_openvino_plugin.so.1.8.1", Some("openvino")),
            ("libonnxruntime_providers_webgpu.so", Some("webgpu")),
            ("onnxruntime_providers_cuda.dll", Some("cuda")),
            ("libonnxruntime_ep_mlx.dylib", Some("mlx")),
            ("libonnxruntime_providers_shared.so", None),
            ("libonnxruntime.so.1.32.0", None),
            ("libonnxruntime_providers_openvino.txt", None),
        ] {
            assert_eq!(provider_in(file).as_deref(), provider, "{file}");
        }
    }

    #[test]
    fn a_wrong_version_is_told_from_other_failures() {
        let file = Path::new("/no/such/libplugin.so");
        let wrong = explain(file, "The requested API version [99] is not available");
        assert_eq!(wrong.state, ProviderState::WrongVersion);
        assert!(wrong.message.contains("[99]"));
        assert_eq!(explain(file, "no CreateEpFactories in it").state, ProviderState::Failed);
    }
}
