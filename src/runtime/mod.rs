//! ONNX Runtime: its library, found, loaded once and its version checked, with one environment and one thread pool for the
//! process; and the graphs that run on it.

pub(crate) mod binding;
mod clock;
mod finite;
mod graph;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ort::LoadDynamicError;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::Session;

use crate::error::{Error, ErrorKind, Result};
use crate::install::own_folders;
use crate::package::PackageFiles;
use crate::provider::{
    GRAPHS, Plugins, Provider, ProviderReport, ProviderState, Providers, RECORD_PLACEMENT, Resolver, Route, in_words,
    missing_libraries,
};
use crate::time_limit::within;

pub use clock::GraphTime;
pub(crate) use finite::{check_finite, check_finite_sound};
pub(crate) use graph::{Graph, GraphLoader, Port, load_once};

/// How long a library may take to load unless the caller says otherwise.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// How to start ONNX Runtime, and what the graphs of a model run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeOptions {
    /// The library's file; by default it is looked for (see [`Runtime::start`]).
    pub library: Option<PathBuf>,
    /// Threads of the one pool that all graphs share; by default as many as the process may use, a container's quota
    /// included.
    pub threads: Option<usize>,
    /// The providers of a model's graphs; by default what `UALM_PROVIDER` asks for, else the CPU. Models in one process
    /// may have different ones.
    pub providers: Option<Providers>,
    /// Files of plugins that offer providers; by default those that `UALM_PROVIDER_LIBRARY` lists. Plugins beside ONNX
    /// Runtime's library are found without.
    pub provider_libraries: Vec<PathBuf>,
    /// How long a library may take to load; by default two minutes.
    pub load_limit: Option<Duration>,
    /// Whether to take less memory, for small machines, for long recordings above all (`docs/edge.md`). Models in one process may
    /// differ.
    pub low_memory: bool,
}

impl RuntimeOptions {
    /// Names the file of ONNX Runtime's library.
    #[must_use]
    pub fn library(self, library: impl Into<Option<PathBuf>>) -> Self {
        Self { library: library.into(), ..self }
    }

    /// Sets the number of threads of the pool.
    #[must_use]
    pub fn threads(self, threads: impl Into<Option<usize>>) -> Self {
        Self { threads: threads.into(), ..self }
    }

    /// Sets the providers of a model's graphs.
    #[must_use]
    pub fn providers(self, providers: impl Into<Option<Providers>>) -> Self {
        Self { providers: providers.into(), ..self }
    }

    /// Names the files of plugins that offer providers.
    #[must_use]
    pub fn provider_libraries(self, provider_libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { provider_libraries: provider_libraries.into_iter().collect(), ..self }
    }

    /// Sets how long a library may take to load.
    #[must_use]
    pub fn load_limit(self, load_limit: impl Into<Option<Duration>>) -> Self {
        Self { load_limit: load_limit.into(), ..self }
    }

    /// Sets whether to take less memory.
    #[must_use]
    pub fn low_memory(self, low_memory: bool) -> Self {
        Self { low_memory, ..self }
    }
}

/// What the graphs of a model are to run on: [`RuntimeOptions`] with everything that is left open filled in.
#[derive(Clone, Debug)]
pub(crate) struct Placing {
    pub providers: Providers,
    pub low_memory: bool,
    libraries: Vec<PathBuf>,
    limit: Duration,
}

impl Placing {
    pub(crate) fn new(options: &RuntimeOptions) -> Result<Self> {
        let providers = options.providers.clone().map_or_else(Providers::from_environment, Ok)?;
        let mut libraries = options.provider_libraries.clone();
        if let Some(listed) = std::env::var_os("UALM_PROVIDER_LIBRARY").filter(|_| libraries.is_empty()) {
            libraries = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
        }
        Ok(Self {
            providers,
            low_memory: options.low_memory,
            libraries,
            limit: options.load_limit.unwrap_or(LOAD_LIMIT),
        })
    }
}

/// The loaded library. There is one in a process, for ever.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    plugins: Plugins,
    library: PathBuf,
    threads: usize,
    asked: Asked,
}

/// What can be asked for only once in a process: the library and the threads.
type Asked = (Option<PathBuf>, Option<usize>);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the library and makes the thread pool; later calls give what the first one made.
    ///
    /// The library is the one that `options` names; else the one in `ORT_DYLIB_PATH`; else one beside the program or in
    /// `../lib` of it, or so placed to the C library; else the one that `scripts/fetch_onnxruntime.py` put into the
    /// cache. Errors, all of kind [`ErrorKind::Library`]: none is found, it cannot be loaded, it is too old, it does not
    /// load in time, another copy is in use, or a process that already runs on another library or number of threads asks
    /// for these.
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = (options.library.clone(), options.threads);
        if let Some(runtime) = RUNTIME.get() {
            return match asked == runtime.asked || asked == Asked::default() {
                true => Ok(runtime),
                false => {
                    Err(Error::new(ErrorKind::Library, "ONNX Runtime already runs in this process with other options"))
                }
            };
        }
        let runtime = Self::load(asked, options.load_limit.unwrap_or(LOAD_LIMIT))?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    fn load(asked: Asked, limit: Duration) -> Result<Self> {
        let library = find_library(asked.0.as_deref())?;
        let threads = asked.1.unwrap_or_else(available_threads);
        let file = library.clone();
        let environment = match within(limit, move || new_environment(&file, threads)) {
            Some(environment) => environment.map_err(|cause| cannot_be_loaded(&library, &cause))?,
            None => {
                let cause = format!("it did not load within {} s, the limit on loading", limit.as_secs_f64());
                return Err(cannot_be_loaded(&library, &cause));
            }
        };
        let copies = loaded_copies();
        if !copies.is_empty() && !copies.contains(&library) {
            let used: Vec<_> = copies.iter().map(|path| path.display().to_string()).collect();
            let cause = format!("another part of this process already runs on {}; name that file", used.join(", "));
            return Err(cannot_be_loaded(&library, &cause));
        }
        let runtime = Self { environment, plugins: Plugins::default(), library, threads, asked };
        for other in runtime.other_libraries() {
            log::warn!("another ONNX Runtime is in this process: {}", other.display());
        }
        Ok(runtime)
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

    /// Other copies of ONNX Runtime in this process, as far as the system tells (Linux does): what was made for one does
    /// not work with another.
    pub fn other_libraries(&self) -> Vec<PathBuf> {
        loaded_copies().into_iter().filter(|path| *path != self.library).collect()
    }

    /// What came of the providers that `options` ask for: each is loaded, none is given a graph.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `UALM_PROVIDER` is needed and makes no sense. A provider that cannot serve is no error
    /// here: the report tells it.
    pub fn provider_report(&self, options: &RuntimeOptions) -> Result<ProviderReport> {
        let placing = Placing::new(options)?;
        let resolver = self.resolver(&placing);
        let mut providers = Vec::new();
        for asked in placing.providers.distinct() {
            match asked.is_auto() {
                true => providers.extend(resolver.accelerators().iter().map(|found| resolver.resolve(found).1)),
                false => providers.push(resolver.resolve(asked).1),
            }
        }
        let serves = |provider: &Provider| {
            let name = provider.to_string();
            let is_ready = |p: &crate::provider::ProviderStatus| p.asked == name && p.state == ProviderState::Ready;
            provider.is_auto() || providers.iter().any(is_ready)
        };
        let unserved = GRAPHS.iter().filter(|graph| {
            let list = placing.providers.of(graph);
            !list.is_empty() && !list.iter().any(serves)
        });
        Ok(ProviderReport {
            asked: placing.providers.to_string(),
            unserved: unserved.map(|graph| (*graph).to_owned()).collect(),
            devices: resolver.devices(),
            providers,
            graphs: Vec::new(),
            other_libraries: self.other_libraries(),
        })
    }

    /// Where the providers of `placing` come from.
    pub(crate) fn resolver<'e>(&'e self, placing: &'e Placing) -> Resolver<'e> {
        Resolver {
            environment: &self.environment,
            plugins: &self.plugins,
            library: &self.library,
            libraries: &placing.libraries,
            limit: placing.limit,
        }
    }

    /// Loads the graph in the file `name` of a package to run by way of `route`; its weights are mapped into memory where they lie beside it.
    ///
    /// Every route names its devices, the CPU's too: a plugin that is registered cannot take a graph over. With
    /// `low_memory` what a run needs on the CPU is given back after use, and not kept in an arena.
    pub(crate) fn load_session(
        &self,
        files: &PackageFiles,
        name: &str,
        route: Route<'_>,
        low_memory: bool,
    ) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.environment)?.with_config_entry(RECORD_PLACEMENT, "1")?;
        if low_memory {
            let no_arena = ort::ep::CPU::default().with_arena_allocator(false).build();
            builder = builder.with_execution_providers([no_arena])?.with_memory_pattern(false)?;
        }
        files.load_graph(route.apply(builder)?, name)
    }
}

fn new_environment(library: &Path, threads: usize) -> Result<Environment, String> {
    let words = |e: ort::Error| e.message().to_owned();
    let builder = ort::init_from(library).map_err(|e| why_not_loaded(library, &e))?;
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)
        .and_then(|pool| pool.with_inter_threads(1))
        .map_err(words)?;
    let environment = builder
        .with_name("ualm")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(Arc::new(|level, _, id, _, message| log::log!(log_level(level), "{id}: {message}")))
        .build()
        .map_err(words)?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

/// The cause in words, down to a library that the library needs.
fn why_not_loaded(library: &Path, error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("it is version {version_str}; expected 1.{} or later", ort::MINOR_VERSION)
        }
        LoadDynamicError::MissingApi { .. } => "it is another library: it does not export OrtGetApiBase".to_owned(),
        LoadDynamicError::Dlopen { error, .. } => match missing_libraries(library) {
            missing if missing.is_empty() => error.to_string(),
            missing => format!("a library is missing: {}", in_words(&missing)),
        },
        other => other.to_string(),
    }
}

fn cannot_be_loaded(library: &Path, cause: &str) -> Error {
    let what = format!("{}: ONNX Runtime cannot be loaded: {cause}", library.display());
    Error::new(ErrorKind::Library, format!("{what}. {HOW_TO_GET_IT}"))
}

/// The files of ONNX Runtime, or of Python's module that holds it, that are mapped into this process.
#[cfg(target_os = "linux")]
fn loaded_copies() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_library(&name) || name.starts_with("onnxruntime_pybind11_state")
    };
    let copies: std::collections::BTreeSet<_> = files.filter(is_copy).collect();
    copies.into_iter().collect()
}

/// No other system tells it in safe code.
#[cfg(not(target_os = "linux"))]
fn loaded_copies() -> Vec<PathBuf> {
    Vec::new()
}

const HOW_TO_GET_IT: &str = "Run `python3 scripts/fetch_onnxruntime.py`, or name a library of version 1.31 or later, as in \
                             ORT_DYLIB_PATH";

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

/// Whether a file of this name is ONNX Runtime's library, whatever its version.
fn is_library(name: &str) -> bool {
    if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

/// The library in `folder`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found: Vec<_> =
        entries.filter(|e| e.file_name().to_str().is_some_and(is_library)).map(|e| e.path()).collect();
    found.sort();
    found.first().and_then(|path| path.canonicalize().ok())
}
