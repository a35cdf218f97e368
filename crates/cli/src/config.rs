//! The configuration file: defaults for the options of every command (docs/providers.md).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use ualm::internal::{config_folder, read_text};
use ualm::{Error, ErrorKind, Result};

use crate::args::Common;

/// The contents of a configuration file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    model: Option<PathBuf>,
    library: Option<PathBuf>,
    threads: Option<u16>,
    provider: Option<String>,
    #[serde(default)]
    provider_libraries: Vec<PathBuf>,
    load_timeout: Option<u32>,
    #[serde(default)]
    low_memory: bool,
}

impl Common {
    /// Fills options that neither the command line nor the environment sets from the configuration file.
    pub fn or_configured(mut self) -> Result<Self> {
        let (path, is_named) = match &self.config {
            Some(path) => (path.clone(), true),
            None => match config_folder() {
                Some(folder) => (folder.join("config.toml"), false),
                None => return Ok(self),
            },
        };
        if !is_named && !path.exists() {
            return Ok(self);
        }
        let text = read_text(&path)?;
        let wrong = |what: String| Error::new(ErrorKind::Invalid, format!("{}: {what}", path.display()));
        let config: Config = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if config.threads == Some(0) || config.load_timeout == Some(0) {
            return Err(wrong("threads and load_timeout must be at least 1".into()));
        }
        let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
        if self.provider.is_none() {
            self.provider =
                config.provider.map(|text| text.parse()).transpose().map_err(|e: Error| e.context("provider"))?;
        }
        self.model = self.model.or(config.model.map(|model| package(&model, beside(model.clone()))));
        self.library = self.library.or(config.library.map(beside));
        self.threads = self.threads.or(config.threads);
        self.load_timeout = self.load_timeout.or(config.load_timeout);
        self.low_memory |= config.low_memory;
        if self.provider_library.is_empty() {
            self.provider_library = config.provider_libraries.into_iter().map(beside).collect();
        }
        Ok(self)
    }
}

/// Resolves `model` to a package: `folder`, or a package on the hub if there is no such folder.
fn package(model: &Path, folder: PathBuf) -> PathBuf {
    #[cfg(feature = "hub")]
    if !folder.exists() && crate::setup::model_name(model).is_some() {
        return model.to_path_buf();
    }
    let _ = model;
    folder
}
