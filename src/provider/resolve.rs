//! Resolution of a provider's name to a route for building sessions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ort::device::Device;
use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;
use ort::memory::DeviceType;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::built_in::BuiltIn;
use super::choice::{CAPTURE, VNNI, is_on};
use super::plugin::{Plugins, beside, devices_of, explain, key_of, provider_of};
use super::shapes::{STATIC, Shapes, is_npu_of_openvino};
use super::{DeviceInfo, Provider, ProviderState, ProviderStatus, metadata};
use crate::time_limit::within;

/// ONNX Runtime's name of the CPU provider, which is always available.
pub(crate) const CPU: &str = "CPUExecutionProvider";

/// An option of a plugin's provider that this library reads itself: the kind of hardware.
const DEVICE: &str = "device";

/// By default OpenVINO computes in bfloat16 on CPUs that support it, with errors of about 1 %, which change codes.
const OPENVINO_EXACT: (&str, &str) = ("load_config", r#"{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}"#);

/// In its default layout, NHWC, WebGPU's grouped convolutions give wrong numbers for some numbers of channels.
const WEBGPU_EXACT: (&str, &str) = ("preferredLayout", "NCHW");

/// By default CUDA adds up the squares of a norm in float16, which holds neither large ones nor small ones.
const CUDA_EXACT: (&str, &str) = ("enable_skip_layer_norm_strict_mode", "1");

/// QNN's plugin makes no provider without a backend; of those that it has, the HTP is the NPU.
const QNN_BACKEND: (&str, &str) = ("backend_type", "htp");

/// Options by which providers replay what they recorded in an earlier run, in lower case without underscores: of WebGPU,
/// CUDA, TensorRT and TensorRT-RTX.
const REPLAY: [&str; 4] = ["enablegraphcapture", "enablecudagraph", "trtcudagraphenable", "nvcudagraphenable"];

/// Built-in accelerators that `auto` tries in this order, before plugins.
const AUTO: [&str; 3] = ["cuda", "coreml", "webgpu"];

/// A resolver of providers, with the libraries that they come from.
pub(crate) struct Resolver<'e> {
    pub environment: &'e Environment,
    pub plugins: &'e Plugins,
    /// ONNX Runtime's library.
    pub library: &'e Path,
    /// Files of the plugins that the options name.
    pub libraries: &'e [PathBuf],
    /// The time limit on loading a library.
    pub limit: Duration,
}

/// A route for building sessions on a provider.
pub(crate) struct Route<'e> {
    kind: RouteKind<'e>,
    /// ONNX Runtime's name of the provider.
    pub name: String,
    /// The devices of the provider.
    pub device: String,
    /// True if the device is a CPU, whatever the provider.
    pub is_on_cpu: bool,
    /// The shapes of graphs.
    pub shapes: Shapes,
    /// True if the provider computes in float16 what graphs have in float32.
    pub in_float16: bool,
}

enum RouteKind<'e> {
    BuiltIn(ExecutionProviderDispatch),
    Devices(Vec<Device<'e>>, Vec<(String, String)>),
}

impl Route<'_> {
    /// Lets sessions record runs, and replay them.
    pub(crate) fn capturing(mut self) -> Self {
        if let RouteKind::Devices(_, options) = &mut self.kind {
            options.push((format!("{}.enableGraphCapture", self.name), "1".to_owned()));
        }
        self
    }

    /// Adds this provider to the builder, with only the CPU after it.
    pub(crate) fn apply(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        Ok(match self.kind {
            RouteKind::BuiltIn(dispatch) => builder.with_execution_providers([dispatch])?,
            RouteKind::Devices(devices, options) => builder.with_devices(devices, Some(&options))?,
        })
    }
}

impl<'e> Resolver<'e> {
    /// Resolves a requested provider to a route, if it can serve, and a status in any case.
    pub(crate) fn resolve(&self, asked: &Provider) -> (Option<Route<'e>>, ProviderStatus) {
        if let Some(why) = self.plugins.hanging() {
            let message = format!("{}; it holds ONNX Runtime up: start again without it", why.message);
            return (None, told(asked, why.state, message));
        }
        if asked.is_cpu() {
            return self.cpu(asked);
        }
        if let Some(option) = replay_option(asked) {
            let what =
                "replays a run on the memory of the first one, while this library binds other memory as caches grow";
            let message = format!("{option:?} is not supported: it {what}: numbers would be wrong without an error");
            return (None, told(asked, ProviderState::Failed, message));
        }
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
        let lies_here = beside(folder).into_iter().filter(|(name, _)| asked.name().split('.').next() == Some(name));
        if let Some(found) = lies_here.filter_map(|(_, file)| self.plugin(asked, &file)).next() {
            return found;
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

    fn cpu(&self, asked: &Provider) -> (Option<Route<'e>>, ProviderStatus) {
        if let Some(what) = wrong_option_of_cpu(asked) {
            return (None, told(asked, ProviderState::Failed, what));
        }
        let shapes = match Shapes::of(asked, false) {
            Ok(shapes) => shapes,
            Err(what) => return (None, told(asked, ProviderState::Failed, what)),
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
            ..told(asked, ProviderState::Ready, "ready, part of ONNX Runtime's library")
        };
        (Some(route), status)
    }

    /// Resolves a provider built into ONNX Runtime's library, by trying it on a session that is never finished, which
    /// loads the libraries that the provider needs.
    fn built_in(&self, asked: &Provider, built_in: &BuiltIn) -> (Option<Route<'e>>, ProviderStatus) {
        let shapes = match Shapes::of(asked, false) {
            Ok(shapes) => shapes,
            Err(what) => return (None, told(asked, ProviderState::Failed, what)),
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
            Some(Ok(())) => {
                let device = match asked.options().iter().find(|(key, _)| key == "device_id") {
                    Some((_, number)) => format!("device {number}"),
                    None => "its first device".to_owned(),
                };
                let kind = RouteKind::BuiltIn(dispatch);
                let in_float16 = computes_in_float16(asked, false);
                let name = built_in.name.to_owned();
                let route = Route { kind, name, device, is_on_cpu: false, shapes, in_float16 };
                let message = format!("ready, built into ONNX Runtime's library{}", in_words(&defaults));
                let ready = told(asked, ProviderState::Ready, message);
                (Some(route), ProviderStatus { library, default_options: defaults.into_iter().collect(), ..ready })
            }
            Some(Err(words)) => {
                let folder = self.library.parent().map(beside).unwrap_or_default();
                let own = folder.into_iter().find(|(name, _)| name == asked.name()).map(|(_, file)| file);
                let why = explain(own.as_deref().unwrap_or(self.library), &words);
                let status = told(asked, why.state, why.message);
                (None, ProviderStatus { library: own.or(library), missing: why.missing, ..status })
            }
            None => (None, ProviderStatus { library, ..told(asked, ProviderState::TimedOut, timed_out(self.limit)) }),
        }
    }

    /// Resolves a provider to the plugin in `file`; returns `None` if the plugin has devices of other providers only.
    fn plugin(&self, asked: &Provider, file: &Path) -> Option<(Option<Route<'e>>, ProviderStatus)> {
        let path = match self.plugins.register(self.environment, file, Some(asked.name()), self.limit) {
            Ok(path) => path,
            Err(why) => {
                let status = told(asked, why.state, why.message);
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
            ..told(asked, state, message)
        };
        if all.is_empty() {
            let what = format!("{}: it loaded, but offers no device on this machine", path.display());
            return Some((None, status(ProviderState::NoDevice, what, Vec::new())));
        }
        let its: Vec<_> = all.into_iter().filter(|d| key_of(d).as_deref() == Some(asked.name())).collect();
        let infos: Vec<_> = its.iter().map(describe).collect();
        let name = its.first()?.ep().ok()?.to_owned();
        let wanted = asked.option(DEVICE);
        let Some(chosen) = choose(its, wanted) else {
            let found: Vec<_> = infos.iter().map(DeviceInfo::to_string).collect();
            let what = format!("it has no device {:?}, only {}", wanted.unwrap_or_default(), found.join(", "));
            return Some((None, status(ProviderState::NoDevice, what, infos)));
        };
        let device = describe(&chosen);
        let hardware = chosen.hardware_device().ty();
        let is_on_cpu = hardware == DeviceType::CPU;
        let shapes = match Shapes::of(asked, hardware == DeviceType::NPU) {
            Ok(shapes) => shapes,
            Err(what) => return Some((None, status(ProviderState::Failed, what, infos))),
        };
        let defaults = default_options(asked, is_on_cpu);
        let message = format!("ready, {} on {device}{}", path.display(), in_words(&defaults));
        let own = asked.options().iter().filter(|(key, _)| ![DEVICE, CAPTURE, STATIC].contains(&key.as_str()));
        let options = own.chain(&defaults).map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect();
        let kind = RouteKind::Devices(vec![chosen], options);
        let (device, in_float16) = (device.to_string(), computes_in_float16(asked, hardware == DeviceType::NPU));
        let route = Route { kind, name, device, is_on_cpu, shapes, in_float16 };
        let ready = status(ProviderState::Ready, message, infos);
        Some((Some(route), ProviderStatus { default_options: defaults.into_iter().collect(), ..ready }))
    }

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
            format!("{} was not built with {name:?}, and no plugin of it lies beside it", self.library.display());
        let message =
            format!("not installed: {what}{looked}: {way} (ORT_DYLIB_PATH), or name a plugin (UALM_PROVIDER_LIBRARY)");
        told(asked, ProviderState::NotInstalled, message)
    }
}

/// Returns what is wrong with the options of the CPU, if anything is.
fn wrong_option_of_cpu(asked: &Provider) -> Option<String> {
    let wrong = |(key, value): &(String, String)| match (key.as_str(), value.trim()) {
        (STATIC, _) | (VNNI, "0" | "1") => None,
        (VNNI, value) => Some(format!("{VNNI}={value}: expected 0 or 1")),
        (key, _) => Some(format!("the CPU takes the options {STATIC} and {VNNI}; found {key:?}")),
    };
    asked.options().iter().find_map(wrong)
}

/// Returns the option of `asked` that turns replay on, if one does.
fn replay_option(asked: &Provider) -> Option<&str> {
    let is_replay = |key: &str| REPLAY.contains(&key.to_lowercase().replace('_', "").as_str());
    if asked.captures() && asked.name() != "webgpu" {
        return Some(CAPTURE);
    }
    asked.options().iter().find(|(key, value)| is_replay(key) && is_on(value)).map(|(key, _)| key.as_str())
}

/// Returns the options without which a provider is inexact or does not work, unless the request sets them.
fn default_options(asked: &Provider, is_on_cpu: bool) -> Vec<(String, String)> {
    let default = match asked.name() {
        "webgpu" => Some(WEBGPU_EXACT),
        "cuda" => Some(CUDA_EXACT),
        "openvino" if is_on_cpu => Some(OPENVINO_EXACT),
        "qnn" if asked.option("backend_path").is_none() => Some(QNN_BACKEND),
        _ => None,
    };
    let is_unset = |(default, _): &(&str, &str)| asked.option(default).is_none();
    default.filter(is_unset).map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect()
}

/// Returns whether a provider computes in float16 what graphs have in float32: Qualcomm's HTP does since QAIRT 2.35,
/// whatever `enable_htp_fp16_precision` says, and Intel's NPU does.
fn computes_in_float16(asked: &Provider, is_on_npu: bool) -> bool {
    let by_type = asked.option("backend_type").map(|kind| kind.eq_ignore_ascii_case("htp"));
    let by_path = asked.option("backend_path").map(|path| path.to_lowercase().contains("htp"));
    asked.name() == "qnn" && by_type.or(by_path).unwrap_or(true) || is_npu_of_openvino(asked, is_on_npu)
}

/// Returns the ending of a message that names `options`, empty without any.
fn in_words(options: &[(String, String)]) -> String {
    options.iter().map(|(key, value)| format!(", with {key}={value}")).collect()
}

/// Returns a device of the `wanted` kind; without one, a GPU, else the first device.
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

fn told(asked: &Provider, state: ProviderState, message: impl Into<String>) -> ProviderStatus {
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

fn timed_out(limit: Duration) -> String {
    format!("it did not load within {} s, the limit on loading", limit.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npus_compute_in_float16() {
        for (text, is_on_npu, expected) in [
            ("qnn", true, true),
            ("qnn:backend_type=htp", false, true),
            ("qnn:backend_path=/a/libQnnHtp.so", true, true),
            ("qnn:backend_path=/a/libQnnCpu.so", false, false),
            ("qnn:backend_type=gpu", true, false),
            ("openvino", false, false),
            ("openvino", true, true),
            ("openvino:device_type=NPU", false, true),
            ("cpu", false, false),
        ] {
            let providers: crate::provider::Providers = text.parse().unwrap();
            assert_eq!(computes_in_float16(&providers.of("llm")[0], is_on_npu), expected, "{text}");
        }
    }

    #[test]
    fn providers_are_made_exact_unless_the_request_says_otherwise() {
        let defaults = |text: &str, is_on_cpu| {
            let providers: crate::provider::Providers = text.parse().unwrap();
            default_options(&providers.of("llm")[0], is_on_cpu)
        };
        let layout = vec![("preferredLayout".to_owned(), "NCHW".to_owned())];
        for is_on_cpu in [false, true] {
            assert_eq!(defaults("webgpu", is_on_cpu), layout);
            assert_eq!(defaults("WebGpuExecutionProvider:deviceId=1", is_on_cpu), layout);
            assert_eq!(defaults("webgpu:preferredLayout=NHWC", is_on_cpu), []);
            assert_eq!(
                defaults("cuda", is_on_cpu),
                [("enable_skip_layer_norm_strict_mode".to_owned(), "1".to_owned())]
            );
            assert_eq!(defaults("cuda:enable_skip_layer_norm_strict_mode=0", is_on_cpu), []);
            assert_eq!(defaults("openvino", is_on_cpu).len(), usize::from(is_on_cpu));
        }
        assert_eq!(defaults("openvino:load_config=settings.json", true), []);
        assert_eq!(defaults("qnn:soc_model=60", true), [("backend_type".to_owned(), "htp".to_owned())]);
        assert_eq!(defaults("qnn:backend_path=libQnnHtp.so", true), []);
        assert_eq!(defaults("qnn:backend_type=gpu", true), []);
        assert_eq!(in_words(&layout), ", with preferredLayout=NCHW");
        assert_eq!(in_words(&[]), "");
    }

    #[test]
    fn options_that_replay_runs_are_found() {
        let option = |key: &str, value: &str| {
            replay_option(&Provider::new("any").with_option("a", "b").with_option(key, value)).map(str::to_owned)
        };
        for key in [
            "enableGraphCapture",
            "graph_capture",
            "enable_cuda_graph",
            "trt_cuda_graph_enable",
            "nv_cuda_graph_enable",
        ] {
            assert_eq!(option(key, "1").as_deref(), Some(key));
            assert_eq!(option(key, "True").as_deref(), Some(key));
            assert_eq!(option(key, "0").or(option(key, "false")), None, "{key} off");
        }
        assert_eq!(option("enableInt64", "1"), None);
        assert_eq!(option("graph_capture", "1").as_deref(), Some("graph_capture"), "not of WebGPU");
        let webgpu = Provider::new("webgpu").with_option("graph_capture", "1");
        assert_eq!((webgpu.captures(), replay_option(&webgpu)), (true, None));
        assert!(!Provider::new("webgpu").with_option("graph_capture", "0").captures());
    }
}
