//! ONNX Runtime's telemetry, which stays off.
//!
//! From version 1.29 on, the builds for Linux and macOS send Microsoft what is run. They keep a number of the machine, and what was not
//! sent yet, in the user's cache, or in the working folder. The call that turns telemetry off comes after the first message.

use std::env;

/// The environment variables that keep it from beginning, by the names that versions know.
const OFF: [&str; 2] = ["ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"];

/// Turns telemetry off for an ONNX Runtime that is started after this. Variables that are set so already are not touched.
#[allow(unsafe_code)]
pub fn turn_off() {
    for name in OFF.iter().filter(|name| env::var_os(name).is_none_or(|value| value != "1")) {
        // SAFETY: Rust's own readers of the environment wait for each other. That no other code changes it or reads it in these
        // moments is the part of the caller, who sets the variables before where that cannot be had (`Runtime::start`).
        unsafe { env::set_var(name, "1") };
    }
}
