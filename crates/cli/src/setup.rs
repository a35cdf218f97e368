//! From arguments to a model, a seed, words and recordings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ualm::audio::{Waveform, decode_file, decode_reader};
use ualm::internal::{read_text_from, real_path};
use ualm::{Error, ErrorKind, Model, Result, RuntimeOptions};

#[cfg(feature = "hub")]
use crate::args::ModelName;
use crate::args::{Common, Sampling};
use crate::output::{note, warn};

/// The package that `--model` names, or the one that comes with the program.
pub fn package_folder(common: &Common) -> Result<PathBuf> {
    match &common.model {
        Some(package) => named_package(common, package),
        None => default_package(),
    }
}

/// Returns the folder of `package`: itself, or, where there is none and it may be the name of a model at the hub, that of
/// the cache, into which it is fetched if need be.
pub fn named_package(common: &Common, package: &Path) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    if let Some(name) = model_name(package) {
        return crate::hub::folder(common, &name);
    }
    #[cfg(not(feature = "hub"))]
    let _ = common;
    Ok(package.to_path_buf())
}

/// Returns the model at the hub for which `package` stands, unless there is a folder of that name.
#[cfg(feature = "hub")]
pub fn model_name(package: &Path) -> Option<ModelName> {
    package.to_str()?.parse().ok().filter(|_| !package.exists())
}

/// Returns how `common` wants ONNX Runtime started, and the graphs placed.
pub fn runtime_options(common: &Common) -> RuntimeOptions {
    RuntimeOptions::default()
        .library(common.library.clone())
        .threads(common.threads.map(usize::from))
        .providers(common.provider.clone())
        .provider_libraries(common.provider_library.clone())
        .load_limit(common.load_timeout.map(|seconds| Duration::from_secs(seconds.into())))
        .low_memory(common.low_memory)
}

/// Loads the model that `common` names.
pub fn load_model(common: &Common) -> Result<Model> {
    let model =
        Model::load_with(package_folder(common)?, &runtime_options(common))?.with_limits(common.limits.limits());
    if model.manifest().half_trained {
        warn(&format!("warning: the training of {:?} was not finished", model.manifest().name));
    }
    Ok(model)
}

/// `onnx/default` beside the program or above it (a source checkout), or `share/ualm/default` of an installation.
pub fn default_package() -> Result<PathBuf> {
    let program = std::env::current_exe().and_then(real_path).unwrap_or_default();
    let installed = program.ancestors().nth(2).map(|prefix| prefix.join("share/ualm/default"));
    let beside = program.ancestors().skip(1).map(|folder| folder.join("onnx/default"));
    installed.into_iter().chain(beside).find(|folder| folder.join("manifest.json").is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::Package,
            "no default package lies beside the program: name one with --model or UALM_MODEL",
        )
    })
}

/// The seed that was asked for, or one drawn from the system, which is then told.
pub fn seed(sampling: &Sampling, common: &Common) -> Result<u64> {
    if let Some(seed) = sampling.seed {
        return Ok(seed);
    }
    let drawn = getrandom::u32()
        .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no random numbers: {e}; give a --seed")))?;
    note(common, &format!("seed {drawn}"));
    Ok(u64::from(drawn))
}

/// `words` themselves, or standard input for `-`.
pub fn read_words(words: &str) -> Result<String> {
    let mut text = words.to_owned();
    if words == "-" {
        text = read_text_from(std::io::stdin()).map_err(|e| e.context("standard input"))?;
    }
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Invalid, "the text is empty; expected some words")),
        text => Ok(text.to_owned()),
    }
}

/// The recording in `path` (`-` is standard input), mono; what is wrong with it is told.
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
