//! Providers that may be compiled into ONNX Runtime's library, with their options.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};

use super::provider_key;

/// A provider that may be compiled into ONNX Runtime's library.
pub(super) struct BuiltIn {
    /// ONNX Runtime's name.
    pub name: &'static str,
    is_available: fn() -> ort::Result<bool>,
    dispatch: fn(&[(String, String)]) -> ExecutionProviderDispatch,
}

static ALL: [BuiltIn; 9] = [
    BuiltIn::of::<ep::CUDA>(),
    BuiltIn::of::<ep::TensorRT>(),
    BuiltIn::of::<ep::NVRTX>(),
    BuiltIn::of::<ep::CoreML>(),
    BuiltIn::of::<ep::WebGPU>(),
    BuiltIn::of::<ep::OpenVINO>(),
    BuiltIn::of::<ep::QNN>(),
    BuiltIn::of::<ep::XNNPACK>(),
    BuiltIn::of::<ep::CANN>(),
];

impl BuiltIn {
    const fn of<E>() -> Self
    where
        E: ExecutionProvider
            + ArbitrarilyConfigurableExecutionProvider
            + Default
            + Into<ExecutionProviderDispatch>
            + 'static,
    {
        Self { name: E::NAME, is_available: E::is_available, dispatch: dispatch::<E> }
    }

    /// Returns the provider `key` (`cuda` …), if the loaded library was built with it.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        let has = |built_in: &&Self| provider_key(built_in.name) == key && (built_in.is_available)().unwrap_or(false);
        ALL.iter().find(has)
    }

    /// Returns the registration of the provider, with `options`, for a session builder.
    pub(super) fn dispatch(&self, options: &[(String, String)]) -> ExecutionProviderDispatch {
        (self.dispatch)(options).error_on_failure()
    }
}

fn dispatch<E>(options: &[(String, String)]) -> ExecutionProviderDispatch
where
    E: ArbitrarilyConfigurableExecutionProvider + Default + Into<ExecutionProviderDispatch>,
{
    options.iter().fold(E::default(), |ep, (key, value)| ep.with_arbitrary_config(key, value)).into()
}

#[cfg(test)]
mod tests {
    use super::super::kinds::known_name;
    use super::*;

    /// Returns the options that `dispatch` sets for the provider in `text`, in their debug form.
    fn options<E: ArbitrarilyConfigurableExecutionProvider + Default + std::fmt::Debug>(text: &str) -> String {
        let providers: super::super::Providers = text.parse().unwrap();
        let asked = &providers.of("llm")[0];
        let ep = asked.options().iter().fold(E::default(), |ep, (key, value)| ep.with_arbitrary_config(key, value));
        format!("{ep:?}")
    }

    #[test]
    fn options_reach_the_session_s_options_as_they_are_written() {
        let coreml = options::<ep::CoreML>("coreml:ModelFormat=MLProgram,MLComputeUnits=CPUAndNeuralEngine");
        for word in ["ModelFormat", "MLProgram", "MLComputeUnits", "CPUAndNeuralEngine"] {
            assert!(coreml.contains(word), "{coreml}");
        }
        let qnn = options::<ep::QNN>(r"qnn:backend_path=C:\\qnn\\QnnHtp.dll,htp_performance_mode=burst");
        for word in ["backend_path", "QnnHtp.dll", "htp_performance_mode", "burst"] {
            assert!(qnn.contains(word), "{qnn}");
        }
        let tensorrt = options::<ep::TensorRT>("tensorrt:trt_fp16_enable=1,trt_engine_cache_path=/tmp/a b");
        assert!(tensorrt.contains("trt_fp16_enable") && tensorrt.contains("/tmp/a b"), "{tensorrt}");
    }

    #[test]
    fn every_name_is_found_by_what_a_person_writes() {
        let keys: Vec<_> = ALL.iter().map(|built_in| provider_key(built_in.name)).collect();
        for key in ["cuda", "tensorrt", "coreml", "webgpu", "openvino", "qnn", "nvtensorrtrtx", "xnnpack", "cann"] {
            assert!(keys.iter().any(|k| k == key), "{key} is not among {keys:?}");
        }
        for built_in in &ALL {
            assert_eq!(known_name(&provider_key(built_in.name)), Some(built_in.name));
        }
    }
}
