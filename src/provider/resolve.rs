//! Resolution of a provider's name to a route for building sessions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ort::device::Device;
use ort::environment::Environment;
use ort::memory::DeviceType;
use ort::session::Session;

use super::built_in::BuiltIn;
use super::choice::CAPTURE;
use super::options::{computes_in_float16, default_options, in_words, replay_option, wrong_option_of_cpu};
use super::plugin::{Plugins, beside, devices_of, explain, key_of, provider_of};
use super::route::{Route, RouteKind};
use super::shapes::{STATIC, Shapes};
use super::{DeviceInfo, Provider, ProviderState, ProviderStatus, metadata};
use crate::time_limit::within;

/// ONNX Runtime's name of the CPU provider, which is always available.
pub(crate) const CPU: &str = "CPUExecutionProvider";

/// An option of a plugin's provider that this library reads itself: the kind of hardware.
const DEVICE: &str = "device";

/// Built-in accelerators that `auto` tries in this order, before plugins.
const AUTO: [&str; 3] = ["cuda", "coreml", "webgpu"];

/// A requested provider's route, if it can serve, and its status in any case.
type Resolved<'e> = (Option<Route<'e>>, ProviderStatus);

/// A resolver of providers, with the libraries that they come from.
pub(crate) struct Resolver<'e> {
    pub environment: &'e Environment,
    pub plugins: &'e Plugins,
    /// ONNX Runtime's library.
    pub library: &'e Path,
    /// Files of the requested plugins.
    pub libraries: &'e [PathBuf],
    /// The time limit on loading a library.
    pub limit: Duration,
}

impl<'e> Resolver<'e> {
    /// Resolves a requested provider to a route, if it can serve, and a status in any case.
    pub(crate) fn resolve(&self, asked: &Provider) -> Resolved<'e> {
        if let Some(why) = self.plugins.hanging() {
            let message = format!("{}; it blocks ONNX Runtime: restart without it", why.message);
            return (None, status_of(asked, why.state, message));
        }
        if asked.is_cpu() {
            return self.cpu(asked);
        }
        if let Some(option) = replay_option(asked) {
            let what =
                "it replays a run on the memory of the first run, while this library binds other memory as caches grow";
            let message = format!("{option:?} is not supported: {what}: numbers would be wrong without an error");
            return (None, status_of(asked, ProviderState::Failed, message));
        }
        self.accelerator(asked)
    }

    /// Resolves a provider other than the CPU: to a requested plugin, else to ONNX Runtime's library, else to a plugin beside
    /// the library.
    fn accelerator(&self, asked: &Provider) -> Resolved<'e> {
        let mut others = Vec::new();
        let mut failures = Vec::new();
        let (stated, rest): (Vec<_>, Vec<_>) =
            self.libraries.iter().partition(|library| provider_of(library).as_deref() == Some(asked.name()));
        for library in stated.into_iter().chain(rest) {
            match self.plugin(asked, library) {
                Some(found @ (Some(_), _)) => return found,
                Some(failure) => failures.push(failure),
                None => others.push(library.display().to_string()),
            }
        }
        if let Some(built_in) = BuiltIn::find(asked.name()) {
            return self.built_in(asked, built_in);
        }
        let folder = self.library.parent().unwrap_or(Path::new("."));
        let is_asked = |name: &str| asked.name().split('.').next() == Some(name);
        for (_, file) in beside(folder).into_iter().filter(|(name, _)| is_asked(name)) {
            if let Some(found) = self.plugin(asked, &file) {
                return found;
            }
        }
        // the provider of a plugin that fails to load is unknown, so that it may be the requested one
        failures.into_iter().next().unwrap_or_else(|| (None, self.not_installed(asked, &others)))
    }

    /// Returns the providers that `auto` stands for on this machine, best first, without the CPU.
    pub(crate) fn accelerators(&self) -> Vec<Provider> {
        let built_in = AUTO.iter().filter(|key| BuiltIn::find(key).is_some()).map(|key| Provider::new(key));
        let named = self.libraries.iter().filter_map(|library| {
            let path = self.plugins.register(self.environment, library, None, self.limit).ok()?;
            self.devices_of(&path).first().and_then(key_of).map(|key| Provider::new(&key))
        });
        let beside = self.library.parent().map(beside).unwrap_or_default();
        let beside = beside.into_iter().map(|(name, _)| Provider::new(&name));
        let mut all: Vec<Provider> = Vec::new();
        for provider in named.chain(built_in).chain(beside) {
            if !all.contains(&provider) && provider.name() != "tensorrt" {
                all.push(provider);
            }
        }
        all
    }

    /// Returns all devices known so far.
    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        match self.plugins.hanging() {
            Some(_) => Vec::new(),
            None => self.environment.devices().map(|device| describe(&device)).collect(),
        }
    }

    /// Returns the devices of a plugin; none if a hanging plugin blocks the query.
    fn devices_of(&self, plugin: &Path) -> Vec<Device<'e>> {
        match self.plugins.hanging() {
            Some(_) => Vec::new(),
            None => devices_of(self.environment, plugin),
        }
    }

    fn cpu(&self, asked: &Provider) -> Resolved<'e> {
        if let Some(what) = wrong_option_of_cpu(asked) {
            return (None, status_of(asked, ProviderState::Failed, what));
        }
        let shapes = match Shapes::of(asked, false) {
            Ok(shapes) => shapes,
            Err(what) => return (None, status_of(asked, ProviderState::Failed, what)),
        };
        let devices: Vec<_> = self.environment.devices().filter(|d| d.ep().is_ok_and(|name| name == CPU)).collect();
        let infos: Vec<_> = devices.iter().map(describe).collect();
        let route = Route {
            name: CPU.to_owned(),
            device: infos.first().map_or_else(|| "CPU".to_owned(), DeviceInfo::to_string),
            is_on_cpu: true,
            shapes,
            in_float16: false,
            kind: RouteKind::Devices(devices, Vec::new()),
        };
        let status = ProviderStatus {
            library: Some(self.library.to_path_buf()),
            devices: infos,
            ..status_of(asked, ProviderState::Ready, "ready, part of ONNX Runtime's library")
        };
        (Some(route), status)
    }

    /// Resolves a provider built into ONNX Runtime's library. Registers the provider on a session builder that is then dropped,
    /// which loads the libraries that the provider needs.
    fn built_in(&self, asked: &Provider, built_in: &BuiltIn) -> Resolved<'e> {
        let shapes = match Shapes::of(asked, false) {
            Ok(shapes) => shapes,
            Err(what) => return (None, status_of(asked, ProviderState::Failed, what)),
        };
        let defaults = default_options(asked, false);
        let own = asked.options().iter().filter(|(key, _)| key != STATIC);
        let options: Vec<_> = own.chain(&defaults).cloned().collect();
        let dispatch = built_in.dispatch(&options);
        let environment = self.environment.clone();
        let tried = dispatch.clone();
        let done = within(self.limit, move || {
            let mut builder = Session::builder(&environment).map_err(|e| e.message().to_owned())?;
            tried.register(&mut builder).map_err(|e| e.message().to_owned())
        });
        let library = Some(self.library.to_path_buf());
        match done {
            Ok(Ok(())) => {
                let device = match asked.options().iter().find(|(key, _)| key == "device_id") {
                    Some((_, number)) => format!("device {number}"),
                    None => "its first device".to_owned(),
                };
                let kind = RouteKind::BuiltIn(dispatch);
                let in_float16 = computes_in_float16(asked, false);
                let name = built_in.name.to_owned();
                let route = Route { kind, name, device, is_on_cpu: false, shapes, in_float16 };
                let message = format!("ready, built into ONNX Runtime's library{}", in_words(&defaults));
                let ready = status_of(asked, ProviderState::Ready, message);
                (Some(route), ProviderStatus { library, default_options: defaults.into_iter().collect(), ..ready })
            }
            Ok(Err(words)) => {
                let folder = self.library.parent().map(beside).unwrap_or_default();
                let own = folder.into_iter().find(|(name, _)| name == asked.name()).map(|(_, file)| file);
                let why = explain(own.as_deref().unwrap_or(self.library), &words);
                let status = status_of(asked, why.state, why.message);
                (None, ProviderStatus { library: own.or(library), missing: why.missing, ..status })
            }
            Err(why) => {
                let status = status_of(asked, ProviderState::of(&why), why.to_string());
                (None, ProviderStatus { library, ..status })
            }
        }
    }

    /// Resolves a provider to the plugin in `file`; returns `None` if the plugin has devices of other providers only.
    fn plugin(&self, asked: &Provider, file: &Path) -> Option<Resolved<'e>> {
        let path = match self.plugins.register(self.environment, file, Some(asked.name()), self.limit) {
            Ok(path) => path,
            Err(why) => {
                let status = status_of(asked, why.state, why.message);
                return Some((
                    None,
                    ProviderStatus { library: Some(file.to_path_buf()), missing: why.missing, ..status },
                ));
            }
        };
        let all = self.devices_of(&path);
        let version = all.first().and_then(|device| metadata(device, "version"));
        let status = |state, message: String, devices| ProviderStatus {
            library: Some(path.clone()),
            version: version.clone(),
            devices,
            ..status_of(asked, state, message)
        };
        if all.is_empty() {
            let what = format!("{}: it loaded, but offers no device on this machine", path.display());
            return Some((None, status(ProviderState::NoDevice, what, Vec::new())));
        }
        let own: Vec<_> = all.into_iter().filter(|d| key_of(d).as_deref() == Some(asked.name())).collect();
        let infos: Vec<_> = own.iter().map(describe).collect();
        let name = own.first()?.ep().ok()?.to_owned();
        let wanted = asked.option(DEVICE);
        let Some(chosen) = choose(own, wanted) else {
            let found: Vec<_> = infos.iter().map(DeviceInfo::to_string).collect();
            let what = format!("it has no device {:?}, only {}", wanted.unwrap_or_default(), found.join(", "));
            return Some((None, status(ProviderState::NoDevice, what, infos)));
        };
        let route = match route_to(asked, name, chosen) {
            Ok(route) => route,
            Err(what) => return Some((None, status(ProviderState::Failed, what, infos))),
        };
        let defaults = default_options(asked, route.is_on_cpu);
        let message = format!("ready, {} on {}{}", path.display(), route.device, in_words(&defaults));
        let ready = status(ProviderState::Ready, message, infos);
        Some((Some(route), ProviderStatus { default_options: defaults.into_iter().collect(), ..ready }))
    }

    /// Returns the status of a provider that no library has; `others` are requested plugins of other providers.
    fn not_installed(&self, asked: &Provider, others: &[String]) -> ProviderStatus {
        let name = asked.name();
        let flavour = match name {
            "cuda" | "tensorrt" => Some("cuda"),
            "openvino" => Some("openvino"),
            "webgpu" => Some("webgpu"),
            "qnn" => Some("qnn"),
            _ => None,
        };
        let way = match flavour {
            Some(flavour) => {
                format!("run `python3 scripts/fetch_onnxruntime.py --flavour {flavour}` and name its library")
            }
            None => "name a library of ONNX Runtime that was built with it".to_owned(),
        };
        let looked = match others {
            [] => String::new(),
            others => format!(", nor do the plugins {} offer it", others.join(", ")),
        };
        let what =
            format!("{} was not built with {name:?}, and no plugin of it is beside that file", self.library.display());
        let message =
            format!("not installed: {what}{looked}: {way} (ORT_DYLIB_PATH), or name a plugin (UALM_PROVIDER_LIBRARY)");
        status_of(asked, ProviderState::NotInstalled, message)
    }
}

/// Returns the route to `device`, a device of a plugin whose provider ONNX Runtime calls `name`.
///
/// # Errors
/// A part of a sentence, if an option cannot be read.
fn route_to<'e>(asked: &Provider, name: String, device: Device<'e>) -> Result<Route<'e>, String> {
    let hardware = device.hardware_device().ty();
    let is_on_npu = hardware == DeviceType::NPU;
    let is_on_cpu = hardware == DeviceType::CPU;
    let shapes = Shapes::of(asked, is_on_npu)?;
    let defaults = default_options(asked, is_on_cpu);
    let own = asked.options().iter().filter(|(key, _)| ![DEVICE, CAPTURE, STATIC].contains(&key.as_str()));
    let options = own.chain(&defaults).map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect();
    Ok(Route {
        name,
        device: describe(&device).to_string(),
        is_on_cpu,
        shapes,
        in_float16: computes_in_float16(asked, is_on_npu),
        kind: RouteKind::Devices(vec![device], options),
    })
}

/// Returns a device of the `wanted` kind; if none is wanted, a GPU, else the first device.
fn choose<'e>(devices: Vec<Device<'e>>, wanted: Option<&str>) -> Option<Device<'e>> {
    let kind = |device: &Device<'_>| format!("{:?}", device.hardware_device().ty()).to_lowercase();
    let wanted = wanted.map(str::to_lowercase);
    let at = match &wanted {
        Some(wanted) => devices.iter().position(|device| kind(device) == *wanted)?,
        None => devices.iter().position(|device| kind(device) == "gpu").unwrap_or(0),
    };
    devices.into_iter().nth(at)
}

fn describe(device: &Device<'_>) -> DeviceInfo {
    let hardware = device.hardware_device();
    DeviceInfo {
        provider: device.ep().unwrap_or("unnamed provider").to_owned(),
        hardware: format!("{:?}", hardware.ty()),
        vendor: hardware.vendor().unwrap_or_default().to_owned(),
    }
}

/// Returns a status of `asked` without devices or libraries.
fn status_of(asked: &Provider, state: ProviderState, message: impl Into<String>) -> ProviderStatus {
    ProviderStatus {
        asked: asked.to_string(),
        default_options: BTreeMap::new(),
        state,
        message: message.into(),
        library: None,
        version: None,
        devices: Vec::new(),
        missing: Vec::new(),
    }
}
