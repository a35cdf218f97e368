//! ONNX Runtime's library: found, loaded once, its version checked; one environment and one thread pool for the process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::Session;

use crate::package_files::PackageFiles;
use crate::place::own_folders;
use crate::{Error, ErrorKind, Result};

/// The provider that every graph runs on.
const CPU: &str = "CPUExecutionProvider";

/// How to start ONNX Runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The library's file; by default it is looked for (see [`Runtime::start`]).
    pub library: Option<PathBuf>,
    /// Threads of the one pool that all graphs share; by default as many as the process may use, a container's quota
    /// included.
    pub threads: Option<usize>,
}

/// The loaded library. There is one in a process, for ever.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    threads: usize,
    options: RuntimeOptions,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the library and makes the thread pool; later calls give what the first one made.
    ///
    /// The library is the one that `options` names; else the one in `ORT_DYLIB_PATH`; else one beside the program or in
    /// `../lib` of it, or so placed to the C library; else the one that `scripts/fetch_onnxruntime.py` put into the cache. Errors, all of kind
    /// [`ErrorKind::Library`]: none is found, it cannot be loaded, it is too old, or a process that already runs on
    /// other options asks for these.
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return match *options == runtime.options || *options == RuntimeOptions::default() {
                true => Ok(runtime),
                false => {
                    Err(Error::new(ErrorKind::Library, "ONNX Runtime already runs in this process with other options"))
                }
            };
        }
        let runtime = Self::load(options)?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    fn load(options: &RuntimeOptions) -> Result<Self> {
        let library = find_library(options.library.as_deref())?;
        let failed = |cause: String| {
            let what = format!("{}: ONNX Runtime cannot be loaded: {cause}", library.display());
            Error::new(ErrorKind::Library, format!("{what}. {HOW_TO_GET_IT}"))
        };
        let builder = ort::init_from(&library).map_err(|e| failed(format!("{e:?}")))?;
        let threads = options.threads.unwrap_or_else(available_threads);
        let pool = GlobalThreadPoolOptions::default()
            .with_intra_threads(threads)
            .and_then(|pool| pool.with_inter_threads(1))
            .map_err(|e| failed(e.to_string()))?;
        let environment = builder
            .with_name("ualm")
            .with_telemetry(false)
            .with_global_thread_pool(pool)
            .with_logger(Arc::new(|level, _, id, _, message| log::log!(log_level(level), "{id}: {message}")))
            .build()
            .map_err(|e| failed(e.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment, library, threads, options: options.clone() })
    }

    /// The library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Threads of the pool.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The library's build: version, commit and flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// The devices that the library's execution providers offer: provider and kind of hardware.
    pub fn devices(&self) -> Vec<(String, String)> {
        let name = |device: &ort::device::Device| device.ep().unwrap_or("unnamed provider").to_owned();
        self.environment.devices().map(|d| (name(&d), format!("{:?}", d.hardware_device().ty()))).collect()
    }

    /// Loads the graph in the file `name` of a package.
    ///
    /// It runs on the CPU by name: a provider plugin that another part of the process registered cannot take it over.
    pub(crate) fn load_session(&self, files: &PackageFiles, name: &str) -> Result<Session> {
        let load = || -> ort::Result<Session> {
            let cpu = self.environment.devices().filter(|device| device.ep().is_ok_and(|name| name == CPU));
            files.load_graph(Session::builder(&self.environment)?.with_devices(cpu, None)?, name)
        };
        load().map_err(|e| {
            let what = format!("{}: ONNX Runtime cannot load this graph: {}", files.describe(name), e.message());
            Error::new(ErrorKind::Package, what)
        })
    }
}

const HOW_TO_GET_IT: &str = "Run `python3 scripts/fetch_onnxruntime.py`, or name a library of version 1.31 or later with \
                             --library or ORT_DYLIB_PATH";

fn log_level(level: LogLevel) -> log::Level {
    match level {
        LogLevel::Fatal | LogLevel::Error => log::Level::Error,
        LogLevel::Warning => log::Level::Warn,
        LogLevel::Info => log::Level::Info,
        LogLevel::Verbose => log::Level::Debug,
    }
}

/// Threads that the process may use: its affinity and its container's quota count.
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn find_library(named: Option<&Path>) -> Result<PathBuf> {
    let from_environment = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_path_buf).or(from_environment) {
        return match path.canonicalize() {
            Ok(found) if found.is_file() => Ok(found),
            Ok(_) => Err(missing(format!("{}: is no file; expected ONNX Runtime's library", path.display()))),
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

/// Where the library may lie: beside the program and in `lib` next to its folder, the same for the C library, in the
/// versions of the cache (newest first).
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

/// The numbers in a folder's name, for sorting `1.9.0` before `1.31.1`.
fn version(path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').map_while(|part| part.parse().ok()).collect()
}

/// This project's folder in the user's cache: `$XDG_CACHE_HOME/ualm`, `~/.cache/ualm`, or `%LOCALAPPDATA%\ualm`.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME")
        .or_else(|| if cfg!(windows) { set("LOCALAPPDATA") } else { set("HOME").map(|home| home.join(".cache")) })?;
    Some(base.join("ualm"))
}

/// The library in `folder`, whatever version its file name carries.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |name: &str| {
        if cfg!(windows) {
            name.eq_ignore_ascii_case("onnxruntime.dll")
        } else if cfg!(target_os = "macos") {
            name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
        } else {
            name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
        }
    };
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found: Vec<_> =
        entries.filter(|e| e.file_name().to_str().is_some_and(is_library)).map(|e| e.path()).collect();
    found.sort();
    found.first().and_then(|path| path.canonicalize().ok())
}
