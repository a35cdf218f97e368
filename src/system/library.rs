//! Dynamic libraries: names, loading, and the file that this code was loaded from.

use std::path::{Path, PathBuf};

use super::System;
#[cfg(windows)]
use libloading::os::windows::LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;

/// Returns whether a file of this name is ONNX Runtime's library, of any version.
pub(crate) fn is_onnx_runtime(system: System, name: &str) -> bool {
    match system {
        System::Windows => name.eq_ignore_ascii_case("onnxruntime.dll"),
        System::MacOs => name.starts_with("libonnxruntime.") && name.ends_with(".dylib"),
        System::Linux => name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so."),
    }
}

/// Loads the plugin in the file `path` for the life of the process, as ONNX Runtime does: its dependencies are searched for beside
/// the file first, and on Windows also in the folders of `PATH`.
///
/// # Errors
/// The system's message.
pub(crate) fn load_plugin(path: &Path) -> Result<(), String> {
    #[cfg(windows)]
    return load(path, libloading::os::windows::LOAD_WITH_ALTERED_SEARCH_PATH).map(std::mem::forget);
    #[cfg(not(windows))]
    ort::util::preload_dylib(path).map_err(|e| e.to_string())
}

/// Returns whether the system finds the library `name`; loads it for the life of the process.
pub(crate) fn is_loadable(name: &str) -> bool {
    // a set of functions of Windows, not a file
    if name.starts_with("api-ms-win-") {
        return true;
    }
    #[cfg(windows)]
    return load(Path::new(name), LOAD_LIBRARY_SEARCH_DEFAULT_DIRS).map(std::mem::forget).is_ok();
    #[cfg(not(windows))]
    ort::util::preload_dylib(name).is_ok()
}

/// Loads the library in the file `path` by Windows' strictest search, and holds it until the result is dropped; other loads of the
/// file in the meantime return the same library. Its dependencies are searched for beside the file, beside the program and in
/// System32, but not in the current folder or the folders of `PATH`.
///
/// # Errors
/// The system's message.
#[cfg(windows)]
pub(crate) fn hold_strictly(path: &Path) -> Result<impl Sized, String> {
    use libloading::os::windows::LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR;
    load(path, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS)
}

/// Does nothing: other systems search for dependencies in safe folders alone.
#[cfg(not(windows))]
pub(crate) fn hold_strictly(_: &Path) -> Result<impl Sized, String> {
    Ok(())
}

#[cfg(windows)]
#[allow(unsafe_code)]
fn load(path: &Path, flags: u32) -> Result<libloading::os::windows::Library, String> {
    let in_words = |error: libloading::Error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    };
    // SAFETY: a library runs code when it is loaded; ONNX Runtime, its plugins and their dependencies are trusted.
    unsafe { libloading::os::windows::Library::load_with_flags(path, flags) }.map_err(in_words)
}

/// Keeps Windows from searching for libraries in the current folder, for the whole process; other systems do not search there.
#[cfg(windows)]
#[allow(unsafe_code)]
pub fn leave_out_current_folder() {
    // SAFETY: the argument is a UTF-16 string that ends with a zero. A failure changes nothing.
    unsafe { windows_sys::Win32::System::LibraryLoader::SetDllDirectoryW([0u16].as_ptr()) };
}

/// Keeps Windows from searching for libraries in the current folder, for the whole process; other systems do not search there.
#[cfg(not(windows))]
pub fn leave_out_current_folder() {}

/// Returns the files of ONNX Runtime, or of its Python module, that are mapped into this process; none on systems other than
/// Linux, which have no list of mapped files to read.
pub(crate) fn onnx_runtimes_in_process() -> Vec<PathBuf> {
    match System::CURRENT {
        System::Linux => onnx_runtimes_in(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default()),
        System::MacOs | System::Windows => Vec::new(),
    }
}

/// Returns the files of ONNX Runtime in Linux's list of a process' mapped files.
fn onnx_runtimes_in(maps: &str) -> Vec<PathBuf> {
    let files = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)).map(PathBuf::from));
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_onnx_runtime(System::Linux, &name) || name.starts_with("onnxruntime_pybind11_state")
    };
    let copies: std::collections::BTreeSet<_> = files.filter(is_copy).collect();
    copies.into_iter().collect()
}

/// Returns the file that this code was loaded from: a shared library, or the program itself.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn code_file() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;

    static HERE: u8 = 0;
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `HERE` is in this code, `found` is writable, and a result other than 0 means that it is initialized.
    let found = unsafe {
        if libc::dladdr((&raw const HERE).cast(), found.as_mut_ptr()) == 0 {
            return None;
        }
        found.assume_init()
    };
    // SAFETY: `dli_fname` is NULL, or a string that is valid while this code is loaded.
    let file = (!found.dli_fname.is_null()).then(|| unsafe { CStr::from_ptr(found.dli_fname) })?;
    // for a program this is the name it was called by; a relative name may match another file in the current folder
    Some(PathBuf::from(OsStr::from_bytes(file.to_bytes()))).filter(|file| file.is_absolute())
}

/// Returns the file that this code was loaded from: a DLL, or the program itself.
#[cfg(windows)]
#[allow(unsafe_code)]
pub(crate) fn code_file() -> Option<PathBuf> {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleFileNameW,
        GetModuleHandleExW,
    };

    /// The longest path that Windows has, in units of UTF-16.
    const LONGEST: usize = 1 << 15;
    static HERE: u8 = 0;
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    let mut module = std::ptr::null_mut();
    // SAFETY: with this flag the second argument is an address in the module; `module` is writable.
    if unsafe { GetModuleHandleExW(flags, (&raw const HERE).cast(), &mut module) } == 0 {
        return None;
    }
    let mut name = vec![0u16; LONGEST];
    // SAFETY: `module` is the loaded module of this code, and `name` has room for `LONGEST` units.
    let written = unsafe { GetModuleFileNameW(module, name.as_mut_ptr(), LONGEST as u32) } as usize;
    let name = name.get(..written).filter(|name| !name.is_empty() && name.len() < LONGEST)?;
    Some(PathBuf::from(OsString::from_wide(name)))
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn code_file() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onnx_runtime_has_the_names_of_each_system() {
        for (name, systems) in [
            ("libonnxruntime.so", &[System::Linux][..]),
            ("libonnxruntime.so.1.32.0", &[System::Linux]),
            ("libonnxruntime.1.32.0.dylib", &[System::MacOs]),
            ("libonnxruntime.dylib", &[System::MacOs]),
            ("onnxruntime.dll", &[System::Windows]),
            ("OnnxRuntime.DLL", &[System::Windows]),
            ("libonnxruntime_providers_shared.so", &[]),
            ("libonnxruntime_providers_cuda.dylib", &[]),
            ("onnxruntime_providers_shared.dll", &[]),
            ("onnxruntime.dll.bak", &[]),
        ] {
            for system in System::ALL {
                assert_eq!(is_onnx_runtime(system, name), systems.contains(&system), "{name} on {system:?}");
            }
        }
    }

    #[test]
    fn copies_are_found_among_the_mapped_files() {
        let maps = "7f00-7f01 r-xp 00000000 08:01 12   /a b/libonnxruntime.so.1.32.0\n\
                    7f01-7f02 r--p 00000000 08:01 12   /a b/libonnxruntime.so.1.32.0\n\
                    7f02-7f03 r-xp 00000000 08:01 13   /py/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so\n\
                    7f03-7f04 rw-p 00000000 00:00 0    [heap]\n\
                    7f04-7f05 r-xp 00000000 08:01 14   /lib/libc.so.6\n";
        let found = onnx_runtimes_in(maps);
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["libonnxruntime.so.1.32.0", "onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so"]);
    }

    #[test]
    fn the_code_of_this_test_is_in_its_program() {
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        // the file is unknown if the program was called by a relative name
        if let Some(file) = code_file() {
            assert_eq!(file.canonicalize().unwrap(), program);
        }
    }
}
