//! Models.

use std::ffi::c_char;

use super::argument::{StringPlace, path};
use super::boundary::{Failure, entry, ualm_status};
use super::handle::{Handle, Place, free, share};
use super::options::{runtime_options, ualm_runtime_options};
use crate::model::Model;

/// A loaded model: immutable, for all threads.
pub struct ualm_model(pub(super) Model);

impl Handle for ualm_model {
    const NAME: &'static str = "model";
}

/// Loads the model package in `folder`; `options` may be NULL. The language model is loaded now, the graphs for sound
/// when they are first used. A package is a folder, whose files stay where they are while the model is used (its
/// weights are mapped into memory); packages in memory cannot be loaded.
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
