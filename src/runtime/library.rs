//! ONNX Runtime's library: the search for its file, and its loading.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::LoadDynamicError;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;

use super::{faults, telemetry};
use crate::error::{Error, ErrorKind, Result};
use crate::install::own_folders;
use crate::provider::{in_words, missing_libraries};
use crate::system::{System, cache_folder, for_libraries, hold_strictly, is_onnx_runtime, real_path};

const HOW_TO_GET_IT: &str = "Run `python3 scripts/fetch_onnxruntime.py`, or name a library of version 1.31 or later, as in \
                             ORT_DYLIB_PATH";

/// Returns the file of ONNX Runtime's library: the file `named`, else the file in `ORT_DYLIB_PATH`, else the first library
/// found beside the program or in the cache.
///
/// # Errors
/// [`ErrorKind::Library`] when the file is missing, or when no library is found.
pub fn find_library(named: Option<&Path>) -> Result<PathBuf> {
    let from_environment = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_path_buf).or(from_environment) {
        return match real_path(&path) {
            Ok(found) if found.is_file() => Ok(found),
            Ok(_) => Err(missing(format!("{}: not a file; expected ONNX Runtime's library", path.display()))),
            Err(e) => Err(missing(format!("{}: {e}", path.display()))),
        };
    }
    let folders = library_folders();
    match folders.iter().find_map(|folder| library_in(folder)) {
        Some(library) => Ok(library),
        None => {
            let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            Err(missing(format!("ONNX Runtime's library was not found in {}", looked.join(", "))))
        }
    }
}

fn missing(what: String) -> Error {
    Error::new(ErrorKind::Library, format!("{what}. {HOW_TO_GET_IT}"))
}

/// Returns the folders to search for the library: the folder of the C library and `lib` next to it, the same of the
/// program, and the versions in the cache, newest first.
fn library_folders() -> Vec<PathBuf> {
    let mut folders = own_folders();
    if let Some(cache) = cache_folder() {
        let mut versions: Vec<_> =
            std::fs::read_dir(cache.join("onnxruntime")).into_iter().flatten().flatten().map(|e| e.path()).collect();
        versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
        if versions.is_empty() {
            versions.push(cache.join("onnxruntime"));
        }
        folders.extend(versions);
    }
    folders
}

/// Returns the numbers in a folder's name, by which `1.9.0` sorts before `1.31.1`.
fn version(path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Returns the library in `folder`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let is_library = |name: &str| is_onnx_runtime(System::CURRENT, name);
    let mut found: Vec<_> =
        entries.filter(|e| e.file_name().to_str().is_some_and(is_library)).map(|e| e.path()).collect();
    found.sort();
    found.first().and_then(|path| real_path(path).ok())
}

/// Loads `library` and creates the environment, with a pool of `threads`.
///
/// # Errors
/// The cause in words.
pub(super) fn new_environment(library: &Path, threads: usize) -> Result<Environment, String> {
    let words = |e: ort::Error| e.message().to_owned();
    telemetry::turn_off();
    let file = for_libraries(library);
    let _held = hold_strictly(&file).map_err(|words| why_not_opened(library, &words))?;
    let builder = ort::init_from(&*file).map_err(|e| why_not_loaded(library, &e))?;
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)
        .and_then(|pool| pool.with_inter_threads(1))
        .map_err(words)?;
    let environment = builder
        .with_name("ualm")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(Arc::new(|level, _, id, _, message| {
            faults::note(message);
            log::log!(log_level(level), "{id}: {message}");
        }))
        .build()
        .map_err(words)?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

/// Returns the cause of `error` in words, with the missing dependencies of `library`.
fn why_not_loaded(library: &Path, error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("it is version {version_str}; expected 1.{} or later", ort::MINOR_VERSION)
        }
        LoadDynamicError::MissingApi { .. } => "it is another library: it does not export OrtGetApiBase".to_owned(),
        LoadDynamicError::Dlopen { error, .. } => why_not_opened(library, &error.to_string()),
        other => other.to_string(),
    }
}

/// Names the missing dependencies of `library`, with advice; returns `words`, those of the system, if none is missing.
fn why_not_opened(library: &Path, words: &str) -> String {
    let missing = missing_libraries(library);
    if missing.is_empty() {
        return words.to_owned();
    }
    let is_runtime = |name: &str| ["msvcp140", "vcruntime140"].iter().any(|own| name.starts_with(own));
    let is_visual = missing.iter().any(|one| is_runtime(&one.name.to_ascii_lowercase()));
    let hint = if is_visual { "; install Microsoft's Visual C++ Redistributable (2015 to 2022)" } else { "" };
    format!("a library is missing: {}{hint}", in_words(&missing))
}

/// Returns the error that `library` cannot be loaded for `cause`, with advice.
pub(super) fn cannot_be_loaded(library: &Path, cause: &str) -> Error {
    let what = format!("{}: ONNX Runtime cannot be loaded: {cause}", library.display());
    Error::new(ErrorKind::Library, format!("{what}. {HOW_TO_GET_IT}"))
}

fn log_level(level: LogLevel) -> log::Level {
    match level {
        LogLevel::Fatal | LogLevel::Error => log::Level::Error,
        LogLevel::Warning => log::Level::Warn,
        LogLevel::Info => log::Level::Info,
        LogLevel::Verbose => log::Level::Debug,
    }
}

/// Returns the number of threads that the process may use, by its affinity and its container's quota.
pub(super) fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
