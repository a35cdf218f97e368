//! ONNX Runtime: finds and loads its library once, with one environment and one thread pool for the process, and runs
//! the graphs of packages.

mod attention;
mod binding;
#[cfg(test)]
mod block_products;
mod buffer;
mod checks;
mod clock;
mod device;
mod faults;
mod finite;
mod float16;
mod forms;
mod graph;
mod library;
mod loader;
mod moves;
mod options;
mod place;
mod placed;
mod placements;
mod port;
mod product;
mod sizes;
mod telemetry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::package::PackageFiles;
use crate::processor::Processor;
use crate::provider::{
    GRAPHS, Plugins, Provider, ProviderReport, ProviderState, ProviderStatus, RECORD_PLACEMENT, Resolver, Route,
};
use crate::system::{onnx_runtimes_in_process, real_path};
use crate::time_limit::within;
use device::{Device, Devices};
use library::{available_threads, cannot_be_loaded, new_environment};
use moves::Movers;
use options::LOAD_LIMIT;
use sizes::Sizes;

pub(crate) use binding::{Binding, bind_rows};
pub(crate) use buffer::{Buffer, DeviceTensor};
pub use clock::GraphTime;
pub use device::CopiedBytes;
pub(crate) use faults::explain;
pub(crate) use finite::{check_finite, check_finite_sound};
pub(crate) use graph::{Graph, load_once};
pub use library::find_library;
pub(crate) use loader::GraphLoader;
pub(crate) use moves::{Mover, Moves};
pub(crate) use options::Placing;
pub use options::RuntimeOptions;
pub(crate) use port::Port;
pub(crate) use sizes::{Fixing, Size};

/// The loaded library. A process has at most one, until it ends.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    plugins: Plugins,
    devices: Devices,
    movers: Movers,
    /// The result of the check of products on the CPU, with the reason if it failed.
    product: OnceLock<Result<(), String>>,
    library: PathBuf,
    threads: usize,
}

/// The options that a process can set only once; `None` accepts any value.
struct ProcessOptions {
    library: Option<PathBuf>,
    threads: Option<usize>,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the library and creates the thread pool; later calls return the same runtime.
    ///
    /// The library is the first of these: the file in `options`; the file in `ORT_DYLIB_PATH`; a library beside the shared
    /// library that holds this code, such as the C library, or in `../lib` from there; likewise beside the program; the
    /// library that `scripts/fetch_onnxruntime.py` put into the cache. The current folder and the system's folders are not
    /// searched: Windows has an old ONNX Runtime of its own in System32.
    ///
    /// ONNX Runtime's telemetry is turned off before it can begin: this call sets the environment variables
    /// `ORT_DISABLE_TELEMETRY` and `ORT_TELEMETRY_DISABLED` to 1. If other threads may read or write the environment through
    /// C functions during the first call, set both variables before.
    ///
    /// # Errors
    /// [`ErrorKind::Library`] if no library is found, if the library cannot be loaded, is too old or does not load in
    /// time, if the process uses another copy of it, or if the process already runs with another library or number of
    /// threads than `options` name.
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = ProcessOptions { library: options.library.clone(), threads: options.threads };
        if let Some(runtime) = RUNTIME.get() {
            return runtime.check_asked(&asked).map(|()| runtime);
        }
        let runtime = Self::load(asked, options.load_limit.unwrap_or(LOAD_LIMIT))?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    /// Checks that this runtime is the one that `asked` names, where it names one.
    fn check_asked(&self, ProcessOptions { library, threads }: &ProcessOptions) -> Result<()> {
        let is_library = library.as_ref().is_none_or(|path| real_path(path).is_ok_and(|path| path == self.library));
        if is_library && threads.is_none_or(|threads| threads == self.threads) {
            return Ok(());
        }
        let running = format!("{} with {}", self.library.display(), counted(self.threads, "thread"));
        let what = format!("ONNX Runtime already runs in this process: {running}; the options may name these, or none");
        Err(Error::new(ErrorKind::Library, what))
    }

    fn load(asked: ProcessOptions, limit: Duration) -> Result<Self> {
        let library = find_library(asked.library.as_deref())?;
        let threads = asked.threads.unwrap_or_else(available_threads);
        let file = library.clone();
        let loaded = within(limit, move || new_environment(&file, threads));
        let environment = loaded.map_err(|why| why.to_string()).flatten();
        let environment = environment.map_err(|cause| cannot_be_loaded(&library, &cause))?;
        let copies = onnx_runtimes_in_process();
        if !copies.is_empty() && !copies.contains(&library) {
            let used: Vec<_> = copies.iter().map(|path| path.display().to_string()).collect();
            let cause = format!("another part of this process already runs on {}; name that file", used.join(", "));
            return Err(cannot_be_loaded(&library, &cause));
        }
        let runtime = Self {
            environment,
            plugins: Plugins::default(),
            devices: Devices::default(),
            movers: Movers::default(),
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

    /// Returns the other copies of ONNX Runtime in this process; empty on systems other than Linux. Objects of one copy do
    /// not work with another copy.
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
            let is_ready = |p: &ProviderStatus| p.asked == name && p.state == ProviderState::Ready;
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

    /// Returns the device of `provider`, whose name in ONNX Runtime is `name`.
    fn device(&self, provider: &Provider, name: &str) -> Arc<Device> {
        self.devices.of(&self.environment, provider, name)
    }

    /// Returns the bytes copied so far between the host and each device, by provider, for steps and caches.
    pub fn copied_bytes(&self) -> BTreeMap<String, CopiedBytes> {
        self.devices.copied()
    }

    /// Returns the devices that are lost, by provider, each with its error. Graphs on them fail until the process is
    /// restarted.
    pub fn lost_devices(&self) -> BTreeMap<String, String> {
        self.devices.lost()
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
    /// Every route names its devices, the CPU's route too, so that a registered plugin cannot take over a graph. With
    /// `low_memory` a run on the CPU releases its memory after use rather than keeping it in an arena. A session that records
    /// its runs keeps nodes and weights as they are in the file, because the record is to have their shapes.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_name_the_running_library_or_none_are_accepted() {
        let usual = RuntimeOptions::default;
        let runtime = Runtime::start(&usual()).unwrap();
        let library = runtime.library().to_owned();
        let threads = runtime.threads();
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
