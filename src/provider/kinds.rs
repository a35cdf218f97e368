//! Names of providers: `openvino` for people, `OpenVINOExecutionProvider` in ONNX Runtime.

/// Returns the short form of a provider's `name`: lower case, without `ExecutionProvider`.
pub(crate) fn provider_key(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase().replace("executionprovider", "");
    match name.as_str() {
        "dml" => "directml".to_owned(),
        "trt" => "tensorrt".to_owned(),
        _ => name,
    }
}

/// ONNX Runtime's names of the providers that exist as plugins or within its library, without the CPU.
const NAMES: [&str; 12] = [
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
    "CoreMLExecutionProvider",
    "WebGpuExecutionProvider",
    "OpenVINOExecutionProvider",
    QNN,
    "XnnpackExecutionProvider",
    "CANNExecutionProvider",
    "DmlExecutionProvider",
    "MIGraphXExecutionProvider",
    "VitisAIExecutionProvider",
];

/// ONNX Runtime's name of a provider whose plugin takes its name from the registration.
const QNN: &str = "QNNExecutionProvider";

/// Returns ONNX Runtime's name of the provider `key`, if it is known.
pub(super) fn known_name(key: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|name| provider_key(name) == key)
}

/// Returns whether the plugin of the provider `key` may take its name from its registration.
pub(super) fn may_take_name(key: &str) -> bool {
    known_name(key).is_none_or(|name| name == QNN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_providers_have_one_name_each() {
        assert_eq!(known_name("webgpu"), Some("WebGpuExecutionProvider"));
        assert_eq!(known_name("tensorrt"), Some("TensorrtExecutionProvider"));
        assert_eq!(known_name("cpu"), None, "no plugin is registered as the CPU");
        assert_eq!(known_name("sorcery"), None);
        for (key, may) in [("qnn", true), ("ggml", true), ("openvino", false), ("webgpu", false)] {
            assert_eq!(may_take_name(key), may, "{key}");
        }
    }

    #[test]
    fn long_and_short_names_are_the_same() {
        for (name, key) in [
            ("CPUExecutionProvider", "cpu"),
            ("OpenVINOExecutionProvider", "openvino"),
            ("OpenVINOExecutionProvider.AUTO", "openvino.auto"),
            ("TensorrtExecutionProvider", "tensorrt"),
            ("DmlExecutionProvider", "directml"),
            (" WebGPU ", "webgpu"),
        ] {
            assert_eq!(provider_key(name), key);
        }
    }
}
