//! Turning ONNX Runtime's telemetry off.
//!
//! Since version 1.29 the builds for Linux and macOS send usage data to Microsoft. They keep an id of the machine and unsent
//! data in the user's cache or in the working folder. The API call that turns telemetry off comes after the first message.

use std::env;

/// The environment variables that turn telemetry off, by their names in different versions.
const OFF: [&str; 2] = ["ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"];

/// Turns telemetry off for an ONNX Runtime that is loaded after this call. Variables that are 1 already are not written.
#[allow(unsafe_code)]
pub fn turn_off() {
    for name in OFF.iter().filter(|name| env::var_os(name).is_none_or(|value| value != "1")) {
        // SAFETY: readers and writers in Rust are synchronized by the standard library. C code must not use the environment
        // at the same time, as the documentation of `Runtime::start` says; it names a way around.
        unsafe { env::set_var(name, "1") };
    }
}
