//! What it runs on.

use std::ffi::c_char;

use serde::Serialize;

use super::argument::StringPlace;
use super::boundary::{Failure, entry, ualm_status};
use super::options::{runtime_options, ualm_runtime_options};
use crate::runtime::Runtime;

#[derive(Serialize)]
struct Report {
    library: String,
    build: &'static str,
    threads: usize,
    devices: Vec<Device>,
}

#[derive(Serialize)]
struct Device {
    provider: String,
    hardware: String,
}

/// Starts ONNX Runtime, unless it runs already, and tells what was found: an object with "library" (the file), "build",
/// "threads", and "devices", a list of {"provider", "hardware"}. `options` may be NULL. Free `json` with
/// ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_runtime_report(
    options: *const ualm_runtime_options,
    json: *mut *mut c_char,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, options) = unsafe { (StringPlace::new(json, "json")?, runtime_options(options)?) };
        let runtime = Runtime::start(&options)?;
        let device = |(provider, hardware)| Device { provider, hardware };
        let report = Report {
            library: runtime.library().display().to_string(),
            build: runtime.build_info(),
            threads: runtime.threads(),
            devices: runtime.devices().into_iter().map(device).collect(),
        };
        let text = serde_json::to_string(&report)
            .map_err(|e| Failure::invalid(format!("the report cannot be written as JSON: {e}")))?;
        place.fill(&text)
    })
}
