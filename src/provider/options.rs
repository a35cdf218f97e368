//! Options of providers: those that this library sets, and those that it refuses.

use super::Provider;
use super::choice::{CAPTURE, VNNI, is_on};
use super::shapes::{STATIC, is_npu_of_openvino};

/// Makes OpenVINO compute in float32: its default on CPUs with bfloat16 has errors of about 1 %, which change codes.
const OPENVINO_EXACT: (&str, &str) = ("load_config", r#"{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}"#);

/// Sets WebGPU's layout: in the default, NHWC, grouped convolutions are wrong for some numbers of channels.
const WEBGPU_EXACT: (&str, &str) = ("preferredLayout", "NCHW");

/// Makes CUDA sum the squares of a norm in float32: its default, float16, overflows and underflows.
const CUDA_EXACT: (&str, &str) = ("enable_skip_layer_norm_strict_mode", "1");

/// Selects QNN's backend, without which its plugin makes no provider; the HTP is the NPU.
const QNN_BACKEND: (&str, &str) = ("backend_type", "htp");

/// Options that make providers replay a recorded run, in lower case without underscores: of WebGPU, CUDA, TensorRT and
/// TensorRT-RTX.
const REPLAY: [&str; 4] = ["enablegraphcapture", "enablecudagraph", "trtcudagraphenable", "nvcudagraphenable"];

/// Describes a wrong option of the CPU, if there is one.
pub(super) fn wrong_option_of_cpu(asked: &Provider) -> Option<String> {
    let wrong = |(key, value): &(String, String)| match (key.as_str(), value.trim()) {
        (STATIC, _) | (VNNI, "0" | "1") => None,
        (VNNI, value) => Some(format!("{VNNI}={value}: expected 0 or 1")),
        (key, _) => Some(format!("the CPU takes the options {STATIC} and {VNNI}; found {key:?}")),
    };
    asked.options().iter().find_map(wrong)
}

/// Returns the option of `asked` that turns replay on, if one does.
pub(super) fn replay_option(asked: &Provider) -> Option<&str> {
    let is_replay = |key: &str| REPLAY.contains(&key.to_lowercase().replace('_', "").as_str());
    if asked.captures() && asked.name() != "webgpu" {
        return Some(CAPTURE);
    }
    asked.options().iter().find(|(key, value)| is_replay(key) && is_on(value)).map(|(key, _)| key.as_str())
}

/// Returns the options that a provider needs to be exact or to work, except those that the request sets.
pub(super) fn default_options(asked: &Provider, is_on_cpu: bool) -> Vec<(String, String)> {
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

/// Returns whether a provider computes in float16 what graphs have in float32. Qualcomm's HTP does since QAIRT 2.35, with any
/// value of `enable_htp_fp16_precision`, and so does Intel's NPU.
pub(super) fn computes_in_float16(asked: &Provider, is_on_npu: bool) -> bool {
    let by_type = asked.option("backend_type").map(|kind| kind.eq_ignore_ascii_case("htp"));
    let by_path = asked.option("backend_path").map(|path| path.to_lowercase().contains("htp"));
    asked.name() == "qnn" && by_type.or(by_path).unwrap_or(true) || is_npu_of_openvino(asked, is_on_npu)
}

/// Returns the end of a message that names `options`; empty without options.
pub(super) fn in_words(options: &[(String, String)]) -> String {
    options.iter().map(|(key, value)| format!(", with {key}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Providers;

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
            let providers: Providers = text.parse().unwrap();
            assert_eq!(computes_in_float16(&providers.of("llm")[0], is_on_npu), expected, "{text}");
        }
    }

    #[test]
    fn providers_are_made_exact_unless_the_request_says_otherwise() {
        let defaults = |text: &str, is_on_cpu| {
            let providers: Providers = text.parse().unwrap();
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
