//! Plugins: providers in libraries of their own, registered once in a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ort::device::Device;
use ort::environment::Environment;

use super::dependencies::in_words;
use super::kinds::{known_name, may_take_name};
use super::{MissingLibrary, ProviderState, metadata, missing_libraries, provider_key};
use crate::system::{for_libraries, load_plugin};
use crate::time_limit::{Unfinished, within};

/// The longest name of a provider that `ort` accepts.
const LONGEST_NAME: usize = 120;

/// Separates the name of a registration from the number that makes it unique.
const NUMBER: char = '#';

/// The reason why a library does not work as a plugin, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PluginFailure {
    pub state: ProviderState,
    pub message: String,
    pub missing: Vec<MissingLibrary>,
}

/// The plugins of a process.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    /// The names under which each file is registered, or the reason why it is not.
    known: Mutex<BTreeMap<PathBuf, Result<Vec<String>, PluginFailure>>>,
    /// A plugin that hangs in ONNX Runtime, which blocks every query of devices and the loading of graphs.
    hanging: OnceLock<PluginFailure>,
}

impl Plugins {
    /// Registers the plugin in `library`, unless an earlier call has registered it or has failed, or another part of
    /// the process has registered it.
    ///
    /// Some plugins take the name of their provider from the registration. The name of the registration is therefore ONNX
    /// Runtime's name of the provider that the file's name states. If the file's name states no provider, a plugin that takes
    /// its name from the registration is registered a second time, for the provider `asked`.
    pub(super) fn register(
        &self,
        environment: &Environment,
        library: &Path,
        asked: Option<&str>,
        limit: Duration,
    ) -> Result<PathBuf, PluginFailure> {
        let path = library.canonicalize().map_err(|e| PluginFailure {
            state: ProviderState::NotInstalled,
            message: format!("{}: {e}", library.display()),
            missing: Vec::new(),
        })?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = self.hanging() {
            return Err(why.clone());
        }
        let stated = provider_of(library).or_else(|| provider_of(&path));
        let outcome = known.get(&path).cloned().unwrap_or_else(|| {
            if !devices_of(environment, &path).is_empty() {
                return Ok(Vec::new());
            }
            let wanted = stated.as_deref().map_or_else(|| stem_of(&path), registration_name);
            let name = free_name(&wanted, &taken(&known, environment));
            self.register_as(&name, environment, &path, limit).map(|()| vec![name])
        });
        known.insert(path.clone(), outcome.clone());
        let mut names = outcome?;
        let wanted = asked.filter(|asked| stated.is_none() && may_take_name(asked));
        if let Some(asked) = wanted.filter(|asked| took_other_names(&devices_of(environment, &path), &names, asked)) {
            let name = free_name(&registration_name(asked), &taken(&known, environment));
            self.register_as(&name, environment, &path, limit)?;
            names.push(name);
            known.insert(path.clone(), Ok(names));
        }
        Ok(path)
    }

    /// Returns the plugin, if any, that hangs in ONNX Runtime.
    pub(super) fn hanging(&self) -> Option<&PluginFailure> {
        self.hanging.get()
    }

    /// Loads the library, then registers it as `name`: only the second step blocks ONNX Runtime if it hangs.
    fn register_as(
        &self,
        name: &str,
        environment: &Environment,
        path: &Path,
        limit: Duration,
    ) -> Result<(), PluginFailure> {
        let unfinished = |why: Unfinished| PluginFailure {
            state: ProviderState::of(&why),
            message: format!("{}: {why}", path.display()),
            missing: Vec::new(),
        };
        let library = for_libraries(path).into_owned();
        let loaded = within(limit, move || load_plugin(&library));
        loaded.map_err(unfinished)?.map_err(|words| explain(path, &words))?;
        let environment = environment.clone();
        let library = for_libraries(path).into_owned();
        let name = name.to_owned();
        let registered = within(limit, move || environment.register_ep_library(name, library));
        match registered {
            Ok(done) => done.map_err(|error| explain(path, error.message())),
            Err(why @ Unfinished::TimedOut(_)) => Err(self.hanging.get_or_init(|| unfinished(why)).clone()),
            Err(why) => Err(unfinished(why)),
        }
    }
}

/// Returns whether the providers of `devices` took their names from registrations as `names`, none of them `asked`.
fn took_other_names(devices: &[Device<'_>], names: &[String], asked: &str) -> bool {
    let took_name = |device: &Device<'_>| device.ep().is_ok_and(|ep| names.iter().any(|name| name == ep));
    !devices.is_empty() && devices.iter().all(|device| took_name(device) && key_of(device).as_deref() != Some(asked))
}

/// Returns the registration name for a plugin of the provider `key`.
fn registration_name(key: &str) -> String {
    known_name(key).unwrap_or(key).to_owned()
}

/// Returns the registration name for a plugin whose file's name states no provider.
fn stem_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    let stem = stem.strip_prefix("lib").unwrap_or(stem);
    let is_usable = !stem.is_empty() && stem.len() < LONGEST_NAME - 10 && known_name(&provider_key(stem)).is_none();
    if is_usable { stem.to_lowercase() } else { "plugin".to_owned() }
}

/// Returns the names of the plugins in `known`, and of all providers with devices.
fn taken(known: &BTreeMap<PathBuf, Result<Vec<String>, PluginFailure>>, environment: &Environment) -> Vec<String> {
    let of_devices = environment.devices().filter_map(|device| device.ep().ok().map(str::to_owned));
    known.values().flatten().flatten().cloned().chain(of_devices).collect()
}

/// Returns `wanted`, followed by a number if the name is `taken`: ONNX Runtime registers one library under each name.
fn free_name(wanted: &str, taken: &[String]) -> String {
    let numbered = (2u32..).map(|number| format!("{wanted}{NUMBER}{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Determines why ONNX Runtime could not load `library`, from the file and from `words`, its message.
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
        (ProviderState::WrongVersion, "it was built for another version")
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

/// Returns the short form of the name of a device's provider, without the number of its plugin's registration.
pub(super) fn key_of(device: &Device<'_>) -> Option<String> {
    device.ep().ok().and_then(|name| name.split(NUMBER).next()).map(provider_key)
}

/// Returns the provider's name and the file of each plugin in `folder`, the folder of ONNX Runtime's library.
pub(super) fn beside(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter_map(|path| Some((provider_of(&path)?, path))).collect();
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// Returns the provider that the file name of a plugin states.
pub(super) fn provider_of(library: &Path) -> Option<String> {
    provider_in(library.file_name()?.to_str()?)
}

/// Returns the provider that `file` states, a file name such as `libonnxruntime_providers_openvino_plugin.so`.
fn provider_in(file: &str) -> Option<String> {
    let (name, rest) = file.split_once('.')?;
    let is_library = match rest {
        "so" | "dll" | "dylib" => true,
        versioned => versioned.starts_with("so."),
    };
    let name = name.strip_prefix("lib").unwrap_or(name);
    let name = ["onnxruntime_providers_", "onnxruntime_ep_"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let name = name.strip_suffix("_plugin").unwrap_or(name);
    let key = provider_key(name);
    let without_gaps = key.replace('_', "");
    let key = if known_name(&without_gaps).is_some() { without_gaps } else { key };
    (is_library && name != "shared").then_some(key)
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
            ("onnxruntime_providers_nv_tensorrt_rtx.dll", Some("nvtensorrtrtx")),
            ("libonnxruntime_providers_own_kind.so", Some("own_kind")),
            ("libonnxruntime_providers_shared.so", None),
            ("libonnxruntime.so.1.32.0", None),
            ("libonnxruntime_providers_openvino.txt", None),
        ] {
            assert_eq!(provider_in(file).as_deref(), provider, "{file}");
        }
    }

    #[test]
    fn a_plugin_is_registered_as_the_provider_that_it_is() {
        assert_eq!(registration_name("qnn"), "QNNExecutionProvider");
        assert_eq!(registration_name("ggml"), "ggml");
        for (file, name) in
            [("/a/libMine.so.1", "mine"), ("b.dll", "b"), ("lib.so", "plugin"), ("QNNExecutionProvider.so", "plugin")]
        {
            assert_eq!(stem_of(Path::new(file)), name, "{file}");
        }
        let mut taken = Vec::new();
        for expected in ["mine", "mine#2", "mine#3"] {
            let name = free_name("mine", &taken);
            assert_eq!(name, expected);
            taken.push(name);
        }
    }

    #[test]
    fn a_wrong_version_is_distinguished_from_other_failures() {
        let file = Path::new("/no/such/libplugin.so");
        let wrong = explain(file, "The requested API version [99] is not available");
        assert_eq!(wrong.state, ProviderState::WrongVersion);
        assert!(wrong.message.contains("[99]"));
        assert_eq!(explain(file, "no CreateEpFactories in it").state, ProviderState::Failed);
    }
}
