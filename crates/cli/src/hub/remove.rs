//! `models remove`: removes a package from the cache.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use same_file::Handle;
use serde::Serialize;
use ualm::internal::counted;
use ualm::{Error, ErrorKind, Result};

use super::cache::{Cached, Lock, MANIFEST, Repository, files_below, remove_file, unwritable};
use super::pull::{PULL_LOCK, bytes};
use super::question::{ask, can_ask};
use super::use_lock;
use crate::args::{Common, RemoveModel};
use crate::output::{note, print_json};

/// The JSON of a removal (`--json`).
#[derive(Serialize)]
struct Removed {
    name: String,
    revisions: Vec<String>,
    bytes: u64,
}

/// `ualm models remove`.
pub fn remove(common: &Common, args: &RemoveModel, cache: &Path) -> Result<()> {
    let name = &args.name;
    let repository = Repository::new(cache, name.repository());
    let packages = if name.has_revision() {
        repository.package(name.revision()).into_iter().collect()
    } else {
        repository.packages()
    };
    let is_whole = !name.has_revision();
    if packages.is_empty() && !(is_whole && repository.has_partial_download()) {
        let what = format!("the cache ({}) has no package {name}; `ualm models` lists the packages", cache.display());
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    let _locks = lock(&repository, &packages, args)?;
    let leaving: Vec<_> = packages.iter().map(|package| &*package.folder).collect();
    let contents = repository.contents_of(&leaving, is_whole);
    let _more_locks = lock_contents(&repository, &contents, args)?;
    let size = contents.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum();
    confirm(args, &packages, size)?;
    packages.iter().try_for_each(|package| repository.remove_snapshot(package))?;
    contents.iter().try_for_each(|path| remove_file(path))?;
    repository.remove_if_empty();
    let revisions: Vec<_> = packages.into_iter().map(|package| package.commit).collect();
    note(common, &format!("removed {name}: {} freed", bytes(size)));
    if common.json {
        print_json(&Removed { name: name.repository().to_owned(), revisions, bytes: size })?;
    }
    Ok(())
}

/// Takes the locks of the packages, unless they are in use.
fn lock(repository: &Repository, packages: &[Cached], args: &RemoveModel) -> Result<Vec<Lock>> {
    repository.make_folders()?;
    let pull = repository.try_lock(PULL_LOCK).ok_or_else(|| taken(args, "being downloaded"))?;
    let uses = packages.iter().map(|package| {
        let lock = repository.try_lock(&use_lock(&package.commit));
        lock.ok_or_else(|| taken(args, "in use"))
    });
    std::iter::once(Ok(pull)).chain(uses).collect()
}

/// Takes the locks of blobs, unless one of Hugging Face's tools is downloading one of them.
fn lock_contents(repository: &Repository, contents: &[PathBuf], args: &RemoveModel) -> Result<Vec<Lock>> {
    // partial downloads are ID.incomplete or ID.SUFFIX.incomplete
    let id = |path: &PathBuf| Some(path.file_name()?.to_str()?.split('.').next()?.to_owned());
    let ids: BTreeSet<_> = contents.iter().filter_map(id).collect();
    ids.iter().map(|id| repository.try_lock(id).ok_or_else(|| taken(args, "being downloaded"))).collect()
}

fn taken(args: &RemoveModel, what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{} is {what} by another program: stop that program first", args.name))
}

fn confirm(args: &RemoveModel, packages: &[Cached], size: u64) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    let refused = |what: &str| Err(Error::new(ErrorKind::Invalid, what));
    if !can_ask() {
        return refused("there is no terminal to ask for confirmation: confirm with --yes");
    }
    let question = format!("Remove {} ({}, {})?", args.name, counted(packages.len(), "revision"), bytes(size));
    if ask(&question)? { Ok(()) } else { refused("nothing was removed") }
}

impl Repository {
    /// Returns whether the cache has a partial download.
    fn has_partial_download(&self) -> bool {
        let is_partial = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "incomplete");
        files_below(&self.folder().join("blobs")).iter().any(is_partial)
    }

    /// Returns the blobs that only the snapshots `leaving` use; with `all`, also those that no snapshot uses, such as
    /// partial downloads.
    fn contents_of(&self, leaving: &[&Path], all: bool) -> Vec<PathBuf> {
        // symbolic and hard links have the same identity as the blob
        let identities =
            |folder: &Path| files_below(folder).into_iter().filter_map(|path| Handle::from_path(path).ok());
        let snapshots = fs::read_dir(self.folder().join("snapshots")).into_iter().flatten().flatten();
        let staying = snapshots.map(|entry| entry.path()).filter(|path| !leaving.contains(&&**path));
        let kept: HashSet<_> = staying.flat_map(|folder| identities(&folder)).collect();
        let left: HashSet<_> = leaving.iter().flat_map(|folder| identities(folder)).collect();
        let goes = |path: &PathBuf| {
            Handle::from_path(path).is_ok_and(|file| !kept.contains(&file) && (all || left.contains(&file)))
        };
        files_below(&self.folder().join("blobs")).into_iter().filter(goes).collect()
    }

    /// Removes the snapshot of a package; the manifest first, so that a partly removed snapshot is not taken for a
    /// package.
    fn remove_snapshot(&self, package: &Cached) -> Result<()> {
        remove_file(&package.folder.join(MANIFEST))?;
        self.names_of(&package.commit).iter().try_for_each(|name| self.remove_reference(name))?;
        fs::remove_dir_all(&package.folder).map_err(|e| unwritable(e).context(package.folder.display()))
    }

    /// Removes the model's folder if it has no files. The lock files stay, since other processes may wait for them.
    fn remove_if_empty(&self) {
        if files_below(self.folder()).is_empty() {
            // failures are ignored: empty folders do no harm
            let _ = fs::remove_dir_all(self.folder());
        }
    }
}
