//! Loads the model, the seed, texts and recordings that the arguments name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ualm::audio::{Waveform, decode_file, decode_reader};
use ualm::internal::read_text_from;
use ualm::{Error, ErrorKind, Model, Result, RuntimeOptions};

#[cfg(feature = "hub")]
use crate::args::ModelName;
use crate::args::{Common, Sampling};
use crate::default_package::default_package;
use crate::output::{note, warn};

/// Returns the folder of the package that `--model` names, or of the default package.
pub fn package_folder(common: &Common) -> Result<PathBuf> {
    match &common.model {
        Some(package) => named_package(common, package),
        None => default_package(),
    }
}

/// Resolves `package` to a folder. The name of a package on the hub resolves to its folder in the cache, after a
/// download if needed.
pub fn named_package(common: &Common, package: &Path) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    if let Some(name) = model_name(package) {
        return crate::hub::folder(common, &name);
    }
    #[cfg(not(feature = "hub"))]
    let _ = common;
    Ok(package.to_path_buf())
}

/// Parses `package` as the name of a package on the hub, unless there is a folder of that name.
#[cfg(feature = "hub")]
pub fn model_name(package: &Path) -> Option<ModelName> {
    package.to_str()?.parse().ok().filter(|_| !package.exists())
}

/// Returns the runtime options of the command line.
pub fn runtime_options(common: &Common) -> RuntimeOptions {
    RuntimeOptions::default()
        .library(common.library.clone())
        .threads(common.threads.map(usize::from))
        .providers(common.provider.clone())
        .provider_libraries(common.provider_library.clone())
        .load_limit(common.load_timeout.map(|seconds| Duration::from_secs(seconds.into())))
        .low_memory(common.low_memory)
}

/// Loads the model of the command line.
pub fn load_model(common: &Common) -> Result<Model> {
    let model =
        Model::load_with(package_folder(common)?, &runtime_options(common))?.with_limits(common.limits.limits());
    if model.manifest().half_trained {
        warn(&format!("warning: the model {:?} is not fully trained", model.manifest().name));
    }
    Ok(model)
}

/// Returns the seed of the command line, or draws one and prints it.
pub fn seed(sampling: &Sampling, common: &Common) -> Result<u64> {
    if let Some(seed) = sampling.seed {
        return Ok(seed);
    }
    let drawn = getrandom::u32().map_err(|e| {
        Error::new(ErrorKind::Io, format!("the system has no random numbers: {e}; choose a seed with --seed"))
    })?;
    note(common, &format!("seed {drawn}"));
    Ok(u64::from(drawn))
}

/// Returns `words`, or reads standard input for `-`.
pub fn read_words(words: &str) -> Result<String> {
    let mut text = words.to_owned();
    if words == "-" {
        text = read_text_from(std::io::stdin()).map_err(|e| e.context("standard input"))?;
    }
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Invalid, "the text is empty; expected at least one word")),
        text => Ok(text.to_owned()),
    }
}

/// Decodes the recording in `path`, or on standard input for `-`, as mono; prints warnings about defects.
pub fn read_recording(path: &Path, model: &Model) -> Result<Waveform> {
    let options = model.decode_options();
    let decoded = match path.to_str() {
        Some("-") => decode_reader(std::io::stdin(), "standard input", &options),
        _ => decode_file(path, &options),
    }?;
    for warning in &decoded.warnings {
        warn(&format!("warning: {}: {warning}", path.display()));
    }
    Ok(decoded.waveform)
}
