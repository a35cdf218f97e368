//! Reports on ONNX Runtime and its execution providers.

use std::ffi::c_char;

use serde::Serialize;
use ualm::{ProviderReport, Runtime};

use super::argument::StringOut;
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::share;
use super::model::ualm_model;
use super::runtime_options::{runtime_options, ualm_runtime_options};

#[derive(Serialize)]
struct Report {
    library: String,
    build: &'static str,
    threads: usize,
    #[serde(flatten)]
    providers: ProviderReport,
}

impl Report {
    fn of(runtime: &Runtime, providers: ProviderReport) -> Result<String> {
        let library = runtime.library().display().to_string();
        let report = Self { library, build: runtime.build_info(), threads: runtime.threads(), providers };
        serde_json::to_string(&report)
            .map_err(|e| Failure::invalid(format!("the report cannot be written as JSON: {e}")))
    }
}

/// Starts ONNX Runtime if it is not running, loads the requested providers, and returns a report: an object with
/// "library" (the file), "build", "threads", "asked" (the requested providers), "providers" (a list: "asked",
/// "default_options" (an object: options that the request leaves to their defaults), "state" (ready, not_installed,
/// wrong_version, missing_dependency, no_device, timed_out, failed), "message", "library", "version", "devices",
/// "missing"), "unserved" (graphs that none of the providers can run), "devices" (a list of
/// {"provider", "hardware", "vendor"}), "graphs" (empty), "other_libraries" (other copies of ONNX Runtime in the
/// process), "lost_devices" (an object: for each lost device the error, after which the process must be
/// restarted) and "processor" (an object: "name" and "features"). An unavailable provider is an error only
/// when a model is loaded, not here. `options` may be NULL. Free `json` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_runtime_report(
    options: *const ualm_runtime_options,
    json: *mut *mut c_char,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, options) = unsafe { (StringOut::new(json, "json")?, runtime_options(options)?) };
        let runtime = Runtime::start(&options)?;
        out.fill(&Report::of(runtime, runtime.provider_report(&options)?)?)
    })
}

/// Returns the report of a loaded model, as ualm_runtime_report does, with "graphs", a list of the graphs loaded so
/// far: "graph", "file", "provider", "device", "nodes", "nodes_on_cpu" (nodes that the provider does not support),
/// "operators_on_cpu", "in_float16" (true if the provider computes in float16 although the graph is in float32),
/// "sizes" (the sizes of its dimensions by name, if its shapes are fixed), "instructions" (only if the file was chosen
/// for an instruction set, such as "AVX-512 VNNI"), "variant_passed_over" (only if the graph's variant
/// for the provider or the processor is not used: the file and the reason) and "passed_over" (a list of {"provider",
/// "why"}). Free `json` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_report(model: *const ualm_model, json: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (StringOut::new(json, "json")?, share(model)?) };
        out.fill(&Report::of(model.0.runtime(), model.0.provider_report()?)?)
    })
}
