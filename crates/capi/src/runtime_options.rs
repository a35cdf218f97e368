//! How ONNX Runtime is started.

use std::ffi::c_char;
use std::time::Duration;

use ualm::RuntimeOptions;

use super::argument::{list, path, text};
use super::boundary::{Result, entry, ualm_status};
use super::sized::{Options, fill, flag, read};

/// How to start ONNX Runtime. There is one in a process: later calls must ask for the same, or for nothing (NULL).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_runtime_options {
    /// Written by ualm_runtime_options_init.
    pub struct_size: usize,
    /// Path of ONNX Runtime's library; NULL looks for it: in ORT_DYLIB_PATH, beside the program and in ../lib of it,
    /// beside this library, in the user's cache.
    pub library: *const c_char,
    /// Threads of the one pool that all graphs share; 0 takes as many as the process may use.
    pub threads: usize,
    /// The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu", "codec=openvino,llm=cpu"
    /// or "auto"; NULL takes UALM_PROVIDER, else "cpu". Models in one process may have different ones.
    pub provider: *const c_char,
    /// Paths of plugins that offer providers, provider_library_count of them; none takes UALM_PROVIDER_LIBRARY. Plugins
    /// beside ONNX Runtime's library are found without. Borrowed.
    pub provider_libraries: *const *const c_char,
    /// How many.
    pub provider_library_count: usize,
    /// How many seconds a library may take to load; 0 takes 120.
    pub load_timeout: usize,
    /// 1 takes less memory, for long recordings above all; 0 does not. Models in one process may differ.
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

/// The options that `pointer` names.
///
/// # Safety
/// The safety contract of the header for `ualm_runtime_options`.
pub(super) unsafe fn runtime_options(pointer: *const ualm_runtime_options) -> Result<RuntimeOptions> {
    // SAFETY: the contract is the same.
    let options = unsafe { read(pointer, ualm_runtime_options::default()) }?;
    let library = match options.library.is_null() {
        true => None,
        // SAFETY: the contract is the same.
        false => Some(unsafe { path(options.library, "library") }?.to_path_buf()),
    };
    let providers = match options.provider.is_null() {
        true => None,
        // SAFETY: the contract is the same.
        false => Some(unsafe { text(options.provider, "provider") }?.parse()?),
    };
    let count = options.provider_library_count;
    // SAFETY: the contract is the same.
    let listed = unsafe { list(options.provider_libraries, count, "provider_libraries") }?;
    // SAFETY: the contract is the same.
    let named = listed.iter().map(|file| Ok(unsafe { path(*file, "provider_libraries") }?.to_path_buf()));
    Ok(RuntimeOptions::default()
        .library(library)
        .threads((options.threads > 0).then_some(options.threads))
        .providers(providers)
        .provider_libraries(named.collect::<Result<Vec<_>>>()?)
        .load_limit((options.load_timeout > 0).then(|| Duration::from_secs(options.load_timeout as u64)))
        .low_memory(flag(options.low_memory, "low_memory")?))
}
