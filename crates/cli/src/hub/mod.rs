//! Packages on the Hugging Face Hub: downloads into the cache of its tools, lists and removes them (`docs/models.md`).
//!
//! Only this module makes network requests; the library makes none.

mod cache;
mod client;
mod fetch;
mod licence;
mod list;
mod origin;
mod pull;
mod question;
mod remove;
mod retry;
mod settings;
mod sums;

use std::path::PathBuf;

use serde::Serialize;
use ualm::{Cancel, Error, ErrorKind, Result};

use crate::args::{Common, ModelName, Models, ModelsCommand, Pull as PullArgs};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{note, print, print_json};
use cache::{Cached, Repository};
use pull::Pull;
use settings::Settings;

/// Returns the folder of the package `name`, after a download if it is not in the cache. While this process runs, the
/// package cannot be removed.
///
/// # Errors
/// [`ErrorKind::Io`] if the download fails, [`ErrorKind::Package`] if the model is not a package,
/// [`ErrorKind::Invalid`] if its licence is not accepted.
pub fn folder(common: &Common, name: &ModelName) -> Result<PathBuf> {
    let settings = Settings::of_process()?;
    let pull = Pull { common, settings: &settings, name, cancel: &Cancel::new() };
    let found = pull.find().map_err(|e| match e.kind() {
        ErrorKind::Io => e.context(format!("{name}: there is no such folder, and looking it up on the hub failed")),
        _ => e,
    })?;
    let repository = Repository::new(&settings.cache, name.repository());
    let lock = repository.share_lock(&use_lock(&found.commit));
    if repository.package(&found.commit).is_none() {
        return Err(Error::new(ErrorKind::Io, format!("{name} is being removed by another program")));
    }
    std::mem::forget(lock); // held until the process ends
    Ok(found.folder)
}

/// `ualm pull`.
pub fn pull(common: &Common, args: &PullArgs) -> Result<()> {
    #[derive(Serialize)]
    struct Pulled<'a> {
        name: &'a str,
        revision: &'a str,
        folder: String,
        bytes: u64,
    }
    let settings = Settings::of_process()?;
    let cancel = cancel_on_signal()?;
    let pull = Pull { common, settings: &settings, name: &args.name, cancel: &cancel };
    let Cached { commit, folder, manifest } = pull.update().map_err(|e| match e.kind() {
        ErrorKind::Cancelled => interrupted("downloaded files are kept; run the same command again to resume"),
        _ => e,
    })?;
    let name = args.name.repository();
    let folder = folder.display().to_string();
    if common.json {
        let bytes = manifest.files.values().map(|file| file.size).sum();
        return print_json(&Pulled { name, revision: &commit, folder, bytes });
    }
    print(&format!("{folder}\n"))?;
    note(common, &format!("use it with: --model {}", args.name));
    Ok(())
}

/// `ualm models`.
pub fn models(common: &Common, args: &Models) -> Result<()> {
    let settings = Settings::of_process()?;
    match &args.command {
        None => list::list(common, &settings.cache),
        Some(ModelsCommand::Remove(args)) => remove::remove(common, args, &settings.cache),
    }
}

/// Returns the name of the lock that is held while a package is in use.
fn use_lock(commit: &str) -> String {
    format!("ualm-use-{commit}")
}
