//! Options of ONNX Runtime.

use std::ffi::c_char;
use std::time::Duration;

use ualm::RuntimeOptions;

use super::argument::{list, path, text};
use super::boundary::{Result, entry, ualm_status};
use super::sized::{Options, fill, flag, read};

/// Options of ONNX Runtime, which is started once per process: later calls must pass the same options, or NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_runtime_options {
    /// Written by ualm_runtime_options_init.
    pub struct_size: usize,
    /// Path of ONNX Runtime's library; NULL searches ORT_DYLIB_PATH, the folders of the program and of this library,
    /// ../lib from there, and the user's cache.
    pub library: *const c_char,
    /// Threads of the pool that all graphs share; 0 takes as many as the process may use.
    pub threads: usize,
    /// The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu",
    /// "codec=openvino,llm=cpu" or "auto"; NULL takes UALM_PROVIDER, else "cpu". Models in one process may have
    /// different ones.
    pub provider: *const c_char,
    /// Paths of plugin libraries with providers; with none, UALM_PROVIDER_LIBRARY is used. Plugins beside ONNX
    /// Runtime's library are always found. Borrowed.
    pub provider_libraries: *const *const c_char,
    /// The number of paths.
    pub provider_library_count: usize,
    /// The time limit for loading a library, in seconds; 0 takes 120.
    pub load_timeout: usize,
    /// 1 reduces memory use, above all for long recordings; 0 does not. Models in one process may differ.
    pub low_memory: usize,
}

// SAFETY: integers and a raw pointer.
unsafe impl Options for ualm_runtime_options {
    const NAME: &'static str = "ualm_runtime_options";
    const OLDEST: usize = 3 * size_of::<usize>();
}

impl Default for ualm_runtime_options {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            library: std::ptr::null(),
            threads: 0,
            provider: std::ptr::null(),
            provider_libraries: std::ptr::null(),
            provider_library_count: 0,
            load_timeout: 0,
            low_memory: 0,
        }
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_runtime_options_init(
    options: *mut ualm_runtime_options,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, ualm_runtime_options::default()) })
}

/// Reads the options at `pointer`.
///
/// # Safety
/// The header's contract for `ualm_runtime_options`.
pub(super) unsafe fn runtime_options(pointer: *const ualm_runtime_options) -> Result<RuntimeOptions> {
    // SAFETY: same contract.
    let options = unsafe { read(pointer, ualm_runtime_options::default()) }?;
    let library = if options.library.is_null() {
        None
    } else {
        // SAFETY: same contract.
        Some(unsafe { path(options.library, "library") }?.to_path_buf())
    };
    let providers = if options.provider.is_null() {
        None
    } else {
        // SAFETY: same contract.
        Some(unsafe { text(options.provider, "provider") }?.parse()?)
    };
    let count = options.provider_library_count;
    // SAFETY: same contract.
    let listed = unsafe { list(options.provider_libraries, count, "provider_libraries") }?;
    // SAFETY: same contract.
    let named = listed.iter().map(|file| Ok(unsafe { path(*file, "provider_libraries") }?.to_path_buf()));
    Ok(RuntimeOptions::default()
        .library(library)
        .threads((options.threads > 0).then_some(options.threads))
        .providers(providers)
        .provider_libraries(named.collect::<Result<Vec<_>>>()?)
        .load_limit((options.load_timeout > 0).then(|| Duration::from_secs(options.load_timeout as u64)))
        .low_memory(flag(options.low_memory, "low_memory")?))
}
