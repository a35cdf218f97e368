//! Options for ONNX Runtime, and the placement of graphs that they request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Result;
use crate::provider::Providers;

/// The default time limit on loading a library.
pub(super) const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// Options for ONNX Runtime in the process, and for the graphs of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeOptions {
    /// The library's file; by default the library is searched for (see [`Runtime::start`](super::Runtime::start)).
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
    /// Sets the file of ONNX Runtime's library.
    #[must_use]
    pub fn library(self, library: impl Into<Option<PathBuf>>) -> Self {
        Self { library: library.into(), ..self }
    }

    /// Sets the number of threads in the pool.
    #[must_use]
    pub fn threads(self, threads: impl Into<Option<usize>>) -> Self {
        Self { threads: threads.into(), ..self }
    }

    /// Sets the providers of a model's graphs.
    #[must_use]
    pub fn providers(self, providers: impl Into<Option<Providers>>) -> Self {
        Self { providers: providers.into(), ..self }
    }

    /// Sets the files of plugins that offer providers.
    #[must_use]
    pub fn provider_libraries(self, provider_libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { provider_libraries: provider_libraries.into_iter().collect(), ..self }
    }

    /// Sets the time limit on loading a library.
    #[must_use]
    pub fn load_limit(self, load_limit: impl Into<Option<Duration>>) -> Self {
        Self { load_limit: load_limit.into(), ..self }
    }

    /// Sets whether to reduce memory use at some cost in speed.
    #[must_use]
    pub fn low_memory(self, low_memory: bool) -> Self {
        Self { low_memory, ..self }
    }
}

/// The options for the graphs of a model: those of [`RuntimeOptions`], with defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Placing {
    pub providers: Providers,
    pub low_memory: bool,
    /// The folder in which every run is recorded, node by node; `None` to record nothing.
    pub(super) record: Option<PathBuf>,
    pub(super) libraries: Vec<PathBuf>,
    pub(super) limit: Duration,
}

impl Placing {
    /// Takes the options for graphs from `options`, and what they leave open from the environment.
    ///
    /// # Errors
    /// `UALM_PROVIDER` cannot be parsed.
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

    /// Makes every run be recorded in `folder`.
    pub(crate) fn recording(self, folder: &Path) -> Self {
        Self { record: Some(folder.to_owned()), ..self }
    }
}
