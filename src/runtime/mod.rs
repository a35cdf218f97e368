//! ONNX Runtime: finds and loads its library once, with one environment and one thread pool for the process, and runs
//! the graphs of packages.

mod attention;
mod binding;
#[cfg(test)]
mod block_products;
mod buffer;
mod clock;
mod faults;
mod finite;
mod float16;
mod graph;
mod loader;
mod moves;
mod place;
mod placements;
mod port;
mod product;
mod sizes;
mod telemetry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use half::f16;
use ort::LoadDynamicError;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::error::{Error, ErrorKind, Result};
use crate::install::own_folders;
use crate::package::PackageFiles;
use crate::processor::Processor;
use crate::provider::{
    GRAPHS, Plugins, Provider, ProviderReport, ProviderState, Providers, RECORD_PLACEMENT, Resolver, Route, in_words,
    missing_libraries,
};
use crate::system::{
    System, cache_folder, for_libraries, hold_strictly, is_onnx_runtime, onnx_runtimes_in_process, real_path,
};
use crate::time_limit::within;
use place::{Device, Told};
use sizes::Sizes;

pub(crate) use binding::{Binding, bind_rows};
pub(crate) use buffer::{Buffer, DeviceTensor};
pub use clock::GraphTime;
pub(crate) use faults::explain;
pub(crate) use finite::{check_finite, check_finite_sound};
pub(crate) use graph::{Graph, load_once};
pub(crate) use loader::GraphLoader;
pub(crate) use moves::{Mover, Moves};
pub use place::CopiedBytes;
pub(crate) use port::Port;
pub(crate) use sizes::{Fixing, Size};

/// The default time limit on loading a library.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// Options for ONNX Runtime in the process, and for the graphs of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeOptions {
    /// The library's file; by default the library is searched for (see [`Runtime::start`]).
    pub library: Option<PathBuf>,
    /// Number of threads in the pool that all graphs share; by default as many as the process may use, a container's
    /// quota included.
    pub threads: Option<usize>,
    /// The providers of a model's graphs; by default those that `UALM_PROVIDER` lists, else the CPU. Models in one
    /// process may have different providers.
    pub providers: Option<Providers>,
    /// Files of plugins with providers; by default those that `UALM_PROVIDER_LIBRARY` lists. Plugins beside ONNX
    /// Runtime's library need no mention.
    pub provider_libraries: Vec<PathBuf>,
    /// The time limit on loading a library; by default two minutes.
    pub load_limit: Option<Duration>,
    /// Reduces memory use at some cost in speed, for small machines and long recordings (`docs/edge.md`). Models in one
    /// process may differ.
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

/// The placement of a model's graphs: [`RuntimeOptions`] with everything that is left open filled in.
#[derive(Clone, Debug)]
pub(crate) struct Placing {
    pub providers: Providers,
    pub low_memory: bool,
    /// The folder in which every run is recorded, node by node; `None` to record nothing.
    record: Option<PathBuf>,
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
            record: None,
            libraries,
            limit: options.load_limit.unwrap_or(LOAD_LIMIT),
        })
    }

    /// Returns the same with every run recorded in `folder`.
    pub(crate) fn recording(self, folder: &Path) -> Self {
        Self { record: Some(folder.to_owned()), ..self }
    }
}

/// The loaded library. A process has at most one, until it ends.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    plugins: Plugins,
    devices: Mutex<Devices>,
    /// Whether the CPU multiplies bytes right, once that was checked, or what was found.
    product: OnceLock<Result<(), String>>,
    library: PathBuf,
    threads: usize,
}

/// The devices, by their providers as they were asked for.
#[derive(Debug, Default)]
struct Devices {
    all: BTreeMap<String, Arc<Device>>,
    /// The locks, by ONNX Runtime's names of the providers.
    locks: BTreeMap<String, Arc<Mutex<Told>>>,
}

/// The options that a process can set only once: the library and the number of threads; `None` leaves it open.
type Asked = (Option<PathBuf>, Option<usize>);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the library and creates the thread pool; later calls return the same runtime.
    ///
    /// The library is the one that `options` names; else the one in `ORT_DYLIB_PATH`; else one beside the shared library that
    /// holds this code, such as the C library, or in `../lib` from there, or likewise beside the program; else the one that
    /// `scripts/fetch_onnxruntime.py` put into the cache. It is never searched for in the current folder, nor in those of the
    /// system: Windows has an old ONNX Runtime of its own in System32.
    ///
    /// ONNX Runtime's telemetry is turned off before it can begin, by the environment variables `ORT_DISABLE_TELEMETRY` and
    /// `ORT_TELEMETRY_DISABLED`, which are set to 1 unless they are already. Where other threads use the environment by C
    /// functions at the time of the first call, set both before.
    ///
    /// # Errors
    /// [`ErrorKind::Library`] if no library is found, if the library cannot be loaded, is too old or does not load in
    /// time, if the process uses another copy of it, or if the process already runs with another library or number of
    /// threads than `options` name.
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = (options.library.clone(), options.threads);
        if let Some(runtime) = RUNTIME.get() {
            return runtime.check_asked(&asked).map(|()| runtime);
        }
        let runtime = Self::load(asked, options.load_limit.unwrap_or(LOAD_LIMIT))?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    /// Checks that this is the runtime that `asked` names, as far as it names one.
    fn check_asked(&self, (library, threads): &Asked) -> Result<()> {
        let is_library = library.as_ref().is_none_or(|path| real_path(path).is_ok_and(|path| path == self.library));
        if is_library && threads.is_none_or(|threads| threads == self.threads) {
            return Ok(());
        }
        let running = format!("{} with {} threads", self.library.display(), self.threads);
        let what = format!("ONNX Runtime already runs in this process: {running}; options may name these, or none");
        Err(Error::new(ErrorKind::Library, what))
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
        let copies = onnx_runtimes_in_process();
        if !copies.is_empty() && !copies.contains(&library) {
            let used: Vec<_> = copies.iter().map(|path| path.display().to_string()).collect();
            let cause = format!("another part of this process already runs on {}; name that file", used.join(", "));
            return Err(cannot_be_loaded(&library, &cause));
        }
        let runtime = Self {
            environment,
            plugins: Plugins::default(),
            devices: Mutex::default(),
            product: OnceLock::new(),
            library,
            threads,
        };
        for other in runtime.other_libraries() {
            log::warn!("another ONNX Runtime is in this process: {}", other.display());
        }
        Ok(runtime)
    }

    /// Returns the library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Returns the number of threads in the pool.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the library's build: version, commit and flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// Returns the other copies of ONNX Runtime in this process; empty on systems other than Linux. Objects of one copy
    /// do not work with another.
    pub fn other_libraries(&self) -> Vec<PathBuf> {
        onnx_runtimes_in_process().into_iter().filter(|path| *path != self.library).collect()
    }

    /// Loads the providers that `options` request, without any graph, and reports the outcome of each.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `options` name no providers and `UALM_PROVIDER` cannot be parsed. A provider that
    /// cannot serve is part of the report, not an error.
    pub fn provider_report(&self, options: &RuntimeOptions) -> Result<ProviderReport> {
        let placing = Placing::new(options)?;
        let resolver = self.resolver(&placing);
        let mut providers = Vec::new();
        for asked in placing.providers.distinct() {
            if asked.is_auto() {
                providers.extend(resolver.accelerators().iter().map(|found| resolver.resolve(found).1));
            } else {
                providers.push(resolver.resolve(asked).1);
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
            processor: Processor::get().clone(),
            asked: placing.providers.to_string(),
            unserved: unserved.map(|graph| (*graph).to_owned()).collect(),
            devices: resolver.devices(),
            providers,
            graphs: Vec::new(),
            other_libraries: self.other_libraries(),
            lost_devices: self.lost_devices(),
        })
    }

    /// Returns the device of `provider`, which ONNX Runtime calls `name`. The provider with other options may stand for
    /// another device; all have one lock.
    fn device(&self, provider: &Provider, name: &str) -> Arc<Device> {
        let mut devices = self.devices();
        let lock = Arc::clone(devices.locks.entry(name.to_owned()).or_default());
        let provider = provider.to_string();
        let new = || Arc::new(Device::new(self.environment.clone(), &provider, name, lock));
        Arc::clone(devices.all.entry(provider.clone()).or_insert_with(new))
    }

    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes copied so far between the host and each device, by provider, for steps and caches.
    pub fn copied_bytes(&self) -> BTreeMap<String, CopiedBytes> {
        self.devices().all.iter().map(|(provider, device)| (provider.clone(), device.copied())).collect()
    }

    /// Returns the devices that are lost, by provider, each with the error. What runs there fails until the process is
    /// started anew.
    pub fn lost_devices(&self) -> BTreeMap<String, String> {
        let devices = self.devices();
        let lost = |(provider, device): (&String, &Arc<Device>)| Some((provider.clone(), device.lost()?.to_owned()));
        devices.all.iter().filter_map(lost).collect()
    }

    /// Returns the resolver of the providers in `placing`.
    pub(crate) fn resolver<'e>(&'e self, placing: &'e Placing) -> Resolver<'e> {
        Resolver {
            environment: &self.environment,
            plugins: &self.plugins,
            library: &self.library,
            libraries: &placing.libraries,
            limit: placing.limit,
        }
    }

    /// Loads the graph in the file `name` of a package, for the provider of `route`, with `sizes` for its dimensions;
    /// weights in a file beside the graph are mapped into memory.
    ///
    /// Every route names its devices, also that of the CPU, so that a registered plugin cannot take over a graph. With
    /// `low_memory` a run releases its memory on the CPU after use rather than keeping it in an arena. A session that records
    /// its runs keeps nodes and weights as they are in the file, so that it tells the shapes of both.
    pub(crate) fn load_session(
        &self,
        files: &PackageFiles,
        name: &str,
        route: Route<'_>,
        sizes: &Sizes,
        placing: &Placing,
    ) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.environment)?.with_config_entry(RECORD_PLACEMENT, "1")?;
        for (dimension, size) in sizes {
            builder = builder.with_dimension_override(dimension, *size as i64)?;
        }
        if let Some(folder) = &placing.record {
            builder = builder
                .with_profiling(folder.join(name))?
                .with_config_entry("session.disable_prepacking", "1")?
                .with_optimization_level(GraphOptimizationLevel::Level1)?;
        }
        if placing.low_memory {
            let no_arena = ort::ep::CPU::default().with_arena_allocator(false).build();
            builder = builder.with_execution_providers([no_arena])?.with_memory_pattern(false)?;
        }
        files.load_graph(route.apply(builder)?, name)
    }

    /// Runs the check of attention on the devices of `route`.
    fn check_attention(&self, route: Route<'_>) -> ort::Result<bool> {
        attention::is_right(&mut self.load_check(route, attention::GRAPH)?)
    }

    /// Runs the check of float16 on the devices of `route`.
    fn check_float16(&self, route: Route<'_>) -> ort::Result<bool> {
        float16::is_right(&mut self.load_check(route, float16::GRAPH)?)
    }

    /// Loads `graph`, which is no part of a package, for the CPU.
    pub(crate) fn load_on_cpu(&self, graph: &[u8]) -> ort::Result<Session> {
        Session::builder(&self.environment)?.commit_from_memory(graph)
    }

    /// Returns what is wrong with products of bytes on the CPU, whose route is `route`, if the check finds so the first time.
    fn check_product(&self, route: Route<'_>) -> Result<(), String> {
        let check = || {
            let found = self.load_check(route, product::GRAPH).and_then(|mut session| product::is_right(&mut session));
            let what = match found {
                Ok(true) => return Ok(()),
                Ok(false) => "its products of bytes were checked and are wrong on this processor".to_owned(),
                Err(e) => format!("products of bytes do not run: {}", e.message().trim()),
            };
            log::warn!("forms of graphs for VNNI are not used: {what} ({})", Processor::get());
            Err(what)
        };
        self.product.get_or_init(check).clone()
    }

    fn load_check(&self, route: Route<'_>, graph: &[u8]) -> ort::Result<Session> {
        route.apply(Session::builder(&self.environment)?)?.commit_from_memory(graph)
    }

    /// Loads the graph that moves rows on `device`, the device of `route`.
    fn load_mover(&self, route: Route<'_>, device: &Arc<Device>, is_half: bool) -> ort::Result<Mover> {
        let session = device.with(|| {
            let builder = Session::builder(&self.environment)?.with_config_entry(RECORD_PLACEMENT, "1")?;
            let mut builder = route.apply(builder)?;
            builder.commit_from_memory(moves::graph(is_half))
        })?;
        if is_half { Mover::new::<f16>(session, device) } else { Mover::new::<f32>(session, device) }
    }
}

fn new_environment(library: &Path, threads: usize) -> Result<Environment, String> {
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

/// Returns the cause in words; names the missing libraries that `library` depends on.
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

/// Returns the libraries that `library` depends on and that are missing, in words, or else the system's words.
fn why_not_opened(library: &Path, words: &str) -> String {
    match missing_libraries(library) {
        missing if missing.is_empty() => words.to_owned(),
        missing => {
            let is_runtime = |name: &str| ["msvcp140", "vcruntime140"].iter().any(|own| name.starts_with(own));
            let is_visual = missing.iter().any(|one| is_runtime(&one.name.to_ascii_lowercase()));
            let hint = if is_visual { "; install Microsoft's Visual C++ Redistributable (2015 to 2022)" } else { "" };
            format!("a library is missing: {}{hint}", in_words(&missing))
        }
    }
}

fn cannot_be_loaded(library: &Path, cause: &str) -> Error {
    let what = format!("{}: ONNX Runtime cannot be loaded: {cause}", library.display());
    Error::new(ErrorKind::Library, format!("{what}. {HOW_TO_GET_IT}"))
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

/// Returns the number of threads that the process may use, by its affinity and its container's quota.
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Returns the file of ONNX Runtime's library: the one that is named, else the one of `ORT_DYLIB_PATH`, else the first that is
/// found beside the program or in the cache.
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

/// Returns the folders to search for the library: that of the C library and `lib` next to it, the same for the program,
/// and the versions in the cache, newest first.
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

/// Returns the numbers in a folder's name, which sort `1.9.0` before `1.31.1`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_for_all_who_name_it_or_leave_it_open() {
        let usual = RuntimeOptions::default;
        let runtime = Runtime::start(&usual()).unwrap();
        let (library, threads) = (runtime.library().to_owned(), runtime.threads());
        let named = usual().library(library.clone());
        for options in [named.clone(), usual().threads(threads), named.threads(threads)] {
            assert!(std::ptr::eq(Runtime::start(&options).unwrap(), runtime), "{options:?}");
        }
        let elsewhere = usual().library(library.with_file_name("no library"));
        for options in [elsewhere, usual().threads(threads + 1)] {
            let error = Runtime::start(&options).unwrap_err();
            assert!(error.kind() == ErrorKind::Library && error.to_string().contains("already runs"), "{error}");
        }
    }
}
