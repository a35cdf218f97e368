//! Versions.

use std::ffi::{CStr, c_char};

/// Version of the binary interface that this header describes. It changes only when a program would have to be compiled
/// again, and with it the shared library's name (SONAME).
pub const UALM_ABI_VERSION: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Returns the library's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn ualm_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the library's binary interface; it works with programs whose UALM_ABI_VERSION is the same.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_abi_version() -> u32 {
    UALM_ABI_VERSION
}
