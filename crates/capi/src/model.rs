//! Models.

use std::ffi::c_char;

use ualm::{Model, Package};

use super::argument::{StringOut, list, path, text};
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::{Handle, Out, free, share};
use super::runtime_options::{runtime_options, ualm_runtime_options};

/// A loaded model: immutable, and usable from all threads at once.
pub struct ualm_model(pub(super) Model);

/// A file of a package in memory. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_file {
    /// The name in the package's folder.
    pub name: *const c_char,
    /// The content.
    pub data: *const u8,
    /// Bytes of the content.
    pub len: usize,
}

impl Handle for ualm_model {
    const NAME: &'static str = "model";
}

/// Loads the model package in `folder`; `options` may be NULL. The language model is loaded now, the graphs for sound
/// when they are first used. The files must not be moved or changed while the model is in use, since its weights are
/// mapped into memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load(
    folder: *const c_char,
    options: *const ualm_runtime_options,
    model: *mut *mut ualm_model,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, folder, options) = unsafe { (Out::new(model)?, path(folder, "folder")?, runtime_options(options)?) };
        out.fill(ualm_model(Model::load_with(folder, &options)?));
        Ok(())
    })
}

/// Loads a package whose `file_count` files are in memory (manifest.json, tokenizer.json, the graphs and their
/// weights), as ualm_model_load does. The contents are copied, and stay in memory as long as the model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load_files(
    files: *const ualm_file,
    file_count: usize,
    options: *const ualm_runtime_options,
    model: *mut *mut ualm_model,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, options) = unsafe { (Out::new(model)?, runtime_options(options)?) };
        // SAFETY: per the header's contract.
        let files = unsafe { list(files, file_count, "files") }?.iter().map(|file| {
            // SAFETY: per the header's contract.
            let (name, content) = unsafe { (text(file.name, "name of a file")?, list(file.data, file.len, "data")?) };
            Ok((name.to_owned(), content))
        });
        let package = Package::from_files(files.collect::<Result<Vec<_>>>()?)?;
        out.fill(ualm_model(Model::from_package(package, &options)?));
        Ok(())
    })
}

/// Verifies the checksum of every file of the model's package and fails with UALM_STATUS_PACKAGE for a damaged one.
/// Loading verifies files of up to 64 MiB only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_verify(model: *const ualm_model) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| Ok(unsafe { share(model) }?.0.package().verify()?))
}

/// Returns the identity of the model's package: SHA-256 of its manifest, which holds the checksums of all other files,
/// in hexadecimal digits. Free `digits` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_sha256(model: *const ualm_model, digits: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (StringOut::new(digits, "digits")?, share(model)?) };
        out.fill(model.0.package().sha256())
    })
}

/// Loads all remaining graphs, so that no later call waits for loading or fails because of a broken graph.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_load_all(model: *const ualm_model) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| Ok(unsafe { share(model) }?.0.load_all()?))
}

/// Returns the package's manifest.json: name, precision, modalities and their defaults, rates, licence. Free `json`
/// with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_manifest(model: *const ualm_model, json: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (StringOut::new(json, "json")?, share(model)?) };
        let text = serde_json::to_string(model.0.manifest())
            .map_err(|e| Failure::invalid(format!("the manifest cannot be written as JSON: {e}")))?;
        out.fill(&text)
    })
}

/// Frees a model; its sessions stay usable. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_free(model: *mut ualm_model) {
    // SAFETY: per the header's contract.
    unsafe { free(model) }
}
