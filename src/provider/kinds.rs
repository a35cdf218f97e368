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

#[cfg(test)]
mod tests {
    use super::provider_key;

    #[test]
    fn both_ways_of_writing_a_name_are_the_same() {
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
