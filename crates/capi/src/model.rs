//! Models.

use std::ffi::c_char;

use ualm::{Model, Package};

use super::argument::{StringPlace, list, path, text};
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::{Handle, Place, free, share};
use super::runtime_options::{runtime_options, ualm_runtime_options};

/// A loaded model: immutable, for all threads.
pub struct ualm_model(pub(super) Model);

/// A file of a package that is in memory. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_file {
    /// Its name in the package's folder.
    pub name: *const c_char,
    /// Its content.
    pub data: *const u8,
    /// Bytes of the content.
    pub len: usize,
}

impl Handle for ualm_model {
    const NAME: &'static str = "model";
}

/// Loads the model package in `folder`; `options` may be NULL. The language model is loaded now, the graphs for sound
/// when they are first used. A package is a folder, whose files stay where they are while the model is used (its
/// weights are mapped into memory).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load(
    folder: *const c_char,
    options: *const ualm_runtime_options,
    model: *mut *mut ualm_model,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, folder, options) =
            unsafe { (Place::new(model)?, path(folder, "folder")?, runtime_options(options)?) };
        place.fill(ualm_model(Model::load_with(folder, &options)?));
        Ok(())
    })
}

/// As ualm_model_load, of a package whose `file_count` files are in memory: manifest.json, tokenizer.json, the graphs and
/// their weights. Their contents are copied, and stay in memory as long as the model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load_files(
    files: *const ualm_file,
    file_count: usize,
    options: *const ualm_runtime_options,
    model: *mut *mut ualm_model,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, options) = unsafe { (Place::new(model)?, runtime_options(options)?) };
        // SAFETY: the header's law.
        let files = unsafe { list(files, file_count, "files") }?.iter().map(|file| {
            // SAFETY: the header's law.
            let (name, content) = unsafe { (text(file.name, "name of a file")?, list(file.data, file.len, "data")?) };
            Ok((name.to_owned(), content))
        });
        let package = Package::from_files(files.collect::<Result<Vec<_>>>()?)?;
        place.fill(ualm_model(Model::from_package(package, &options)?));
        Ok(())
    })
}

/// Sums every file of the model's package, however large, and refuses (UALM_STATUS_PACKAGE) one that is damaged; loading
/// sums those of up to 64 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_verify(model: *const ualm_model) -> ualm_status {
    // SAFETY: the header's law.
    entry(|| Ok(unsafe { share(model) }?.0.package().verify()?))
}

/// What names the model's package: SHA-256 of its manifest, which holds the sums of all other files, in hexadecimal
/// digits. Free `digits` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_sha256(model: *const ualm_model, digits: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model) = unsafe { (StringPlace::new(digits, "digits")?, share(model)?) };
        place.fill(model.0.package().sha256())
    })
}

/// Loads every graph that is not loaded yet, so that nothing waits later and nothing is wrong unnoticed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load_all(model: *const ualm_model) -> ualm_status {
    // SAFETY: the header's law.
    entry(|| Ok(unsafe { share(model) }?.0.load_all()?))
}

/// What the package says of itself, its manifest.json: name, precision, modalities and their defaults, rates, licence.
/// Free `json` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_manifest(model: *const ualm_model, json: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model) = unsafe { (StringPlace::new(json, "json")?, share(model)?) };
        let text = serde_json::to_string(model.0.manifest())
            .map_err(|e| Failure::invalid(format!("the manifest cannot be written as JSON: {e}")))?;
        place.fill(&text)
    })
}

/// Frees a model; sessions of it go on. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_free(model: *mut ualm_model) {
    // SAFETY: the header's law.
    unsafe { free(model) }
}
