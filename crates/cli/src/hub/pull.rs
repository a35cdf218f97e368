//! Downloads a package from the hub into the cache.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ualm::internal::counted;
use ualm::package::Manifest;
use ualm::{Cancel, Error, ErrorKind, Result};

use super::cache::{Cached, MANIFEST, Repository, remove_file};
use super::client::{Client, Commit, RemoteFile};
use super::fetch::{Fetch, Wanted};
use super::licence::Licensed;
use super::retry::Attempts;
use super::settings::Settings;
use super::sums::{Sums, is_sha256};
use crate::args::Common;
use crate::args::model_name::ModelName;
use crate::output::note;
use crate::progress::Progress;

/// The number of parallel downloads.
const PARALLEL: usize = 4;
/// The maximum size of a manifest, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;
/// The name of the lock of a model during downloads.
pub const PULL_LOCK: &str = "ualm-pull";

/// A download of the package `name`.
pub struct Pull<'a> {
    pub common: &'a Common,
    pub settings: &'a Settings,
    pub name: &'a ModelName,
    pub cancel: &'a Cancel,
}

impl Pull<'_> {
    /// Returns the package from the cache, else downloads it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the download fails, [`ErrorKind::Package`] if the model is not a package,
    /// [`ErrorKind::Invalid`] if its licence is not accepted.
    pub fn find(&self) -> Result<Cached> {
        match self.repository().package(self.name.revision()) {
            Some(cached) => self.licensed(&cached.commit, &cached.manifest).require(self.common).map(|()| cached),
            None => self.fetch(),
        }
    }

    /// Returns the newest revision of the package, after asking the hub unless the name has a commit id or
    /// `HF_HUB_OFFLINE` is set.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn update(&self) -> Result<Cached> {
        let is_offline = self.settings.is_offline;
        if self.name.is_pinned() || (is_offline && self.repository().package(self.name.revision()).is_some()) {
            if is_offline && !self.name.is_pinned() {
                let name = self.name;
                note(self.common, &format!("offline: using the downloaded {name} without looking for updates"));
            }
            return self.find();
        }
        self.fetch()
    }

    fn repository(&self) -> Repository {
        Repository::new(&self.settings.cache, self.name.repository())
    }

    fn licensed<'a>(&'a self, commit: &'a str, manifest: &'a Manifest) -> Licensed<'a> {
        let page = format!("{}/{}", self.settings.address, self.name.repository());
        Licensed { name: self.name, commit, manifest, page }
    }

    fn fetch(&self) -> Result<Cached> {
        let Self { common, settings, name, cancel } = *self;
        if settings.is_offline {
            let what = format!(
                "{name} is not in the cache ({}) and cannot be downloaded, since HF_HUB_OFFLINE is set",
                settings.cache.display()
            );
            return Err(Error::new(ErrorKind::Io, what));
        }
        let client = Client::new(settings)?;
        let commit = Attempts::default().until(cancel, &|what| note(common, what), || client.look_up(name))?;
        let manifest_file = commit.file(MANIFEST).ok_or_else(|| not_a_package(&commit))?;
        let repository = self.repository();
        let waits = || note(common, &format!("another ualm is downloading {}; waiting for it", name.repository()));
        let _lock = repository.lock(PULL_LOCK, cancel, waits)?;
        repository.make_folders()?;
        let cached = match repository.package(&commit.id) {
            Some(cached) => {
                self.licensed(&commit.id, &cached.manifest).require(common)?;
                note(common, &format!("{name} is already in the cache"));
                cached
            }
            None => {
                let manifest = self.fetch_manifest(&client, &repository, &commit, manifest_file)?;
                self.licensed(&commit.id, &manifest).require(common)?;
                let wanted = Files::of(&commit, &manifest)?;
                self.fetch_files(&client, &repository, &commit, &wanted)?;
                wanted.link(&repository, manifest_file)?
            }
        };
        repository.set_commit(name.revision(), &commit.id)?;
        Ok(cached)
    }

    fn fetch_manifest(
        &self,
        client: &Client,
        repository: &Repository,
        commit: &Commit,
        file: &RemoteFile,
    ) -> Result<Manifest> {
        if file.size > MAX_MANIFEST {
            let what = format!("{}: the manifest has {} bytes; expected at most {MAX_MANIFEST}", self.name, file.size);
            return Err(Error::new(ErrorKind::Package, what));
        }
        let progress = Progress::hidden();
        let Self { common, cancel, .. } = *self;
        let fetch = Fetch { client, repository, commit, cancel, common, progress: &progress };
        let read = || {
            fetch.fetch(&Wanted { file, sha256: None })?;
            let text = fs::read(repository.blob(&file.id));
            text.map_err(|e| Error::new(ErrorKind::Io, "the manifest cannot be read").with_source(e))
        };
        let mut text = read()?;
        if Sums::of(&text).check(&file.id, None).is_err() {
            // the copy in the cache is damaged: download it again
            remove_file(&repository.blob(&file.id))?;
            text = read()?;
        }
        Manifest::parse(&text).map_err(|e| e.context(format!("{}: {MANIFEST}", self.name)))
    }

    /// Downloads all files, several at once.
    fn fetch_files(&self, client: &Client, repository: &Repository, commit: &Commit, files: &Files) -> Result<()> {
        let Self { common, name, .. } = *self;
        let wanted = files.contents();
        // saturating, since sizes come from the hub
        let total = |bytes: &dyn Fn(&RemoteFile) -> u64| {
            wanted.iter().map(|wanted| bytes(wanted.file)).fold(0, u64::saturating_add)
        };
        let size = total(&|file| file.size);
        let here = total(&|file| repository.bytes_of(&file.id, file.size));
        self.check_space(repository, size - here)?;
        let count = counted(files.0.len(), "file");
        let id = short(&commit.id);
        let already = if here > 0 { format!(", {} of it already downloaded", bytes(here)) } else { String::new() };
        note(common, &format!("downloading {} at {id}: {count}, {}{already}", name.repository(), bytes(size)));
        let progress = Progress::of_bytes(common, size - here, "downloading");
        let stop = self.cancel.child();
        let fetch = Fetch { client, repository, commit, cancel: &stop, common, progress: &progress };
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while let Some(wanted) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = fetch.fetch(wanted) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return stop.cancel();
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..PARALLEL {
                scope.spawn(work);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn check_space(&self, repository: &Repository, needed: u64) -> Result<()> {
        // if the free space is unknown, writing reports a full disk
        let free = fs4::available_space(repository.folder()).unwrap_or(u64::MAX);
        if needed <= free {
            return Ok(());
        }
        let what = format!(
            "{} needs {} more, but the disk of {} has {} left: free some space, or name a folder on another disk with \
             HF_HUB_CACHE; nothing was downloaded",
            self.name,
            bytes(needed),
            self.settings.cache.display(),
            bytes(free)
        );
        Err(Error::new(ErrorKind::Io, what))
    }
}

/// The files of a package besides its manifest, by name.
struct Files<'a>(BTreeMap<&'a str, Wanted<'a>>, &'a str);

impl<'a> Files<'a> {
    /// Finds the files of the manifest in the commit, and its documents, such as the licence.
    fn of(commit: &'a Commit, manifest: &'a Manifest) -> Result<Self> {
        let wrong = |what: String| {
            let name = &commit.name;
            Err(Error::new(
                ErrorKind::Package,
                format!("{name}: the package on the hub is broken: {what}; please inform its author"),
            ))
        };
        let mut files = BTreeMap::new();
        for (name, sum) in &manifest.files {
            let Some(file) = commit.file(name) else { return wrong(format!("{name} is missing")) };
            if file.size != sum.size {
                return wrong(format!("{name} has {} bytes; its manifest says {}", file.size, sum.size));
            }
            if is_sha256(&file.id) && !file.id.eq_ignore_ascii_case(&sum.sha256) {
                return wrong(format!("{name} has the checksum {}; its manifest says {}", file.id, sum.sha256));
            }
            files.insert(name.as_str(), Wanted { file, sha256: Some(&sum.sha256) });
        }
        let documents = commit.files.iter().filter(|file| is_document(&file.name));
        for file in documents {
            files.entry(&file.name).or_insert(Wanted { file, sha256: None });
        }
        Ok(Self(files, &commit.id))
    }

    /// Returns the files with distinct contents, largest first.
    fn contents(&self) -> Vec<&Wanted<'a>> {
        let by_id: BTreeMap<_, _> = self.0.values().map(|wanted| (&wanted.file.id, wanted)).collect();
        let mut contents: Vec<_> = by_id.into_values().collect();
        contents.sort_by_key(|wanted| std::cmp::Reverse(wanted.file.size));
        contents
    }

    /// Links the files into the snapshot; the manifest comes last, which completes the package.
    fn link(&self, repository: &Repository, manifest: &RemoteFile) -> Result<Cached> {
        for (name, wanted) in &self.0 {
            repository.link(&wanted.file.id, self.1, name)?;
        }
        repository.link(&manifest.id, self.1, MANIFEST)?;
        repository.package(self.1).ok_or_else(|| {
            let what = format!(
                "{}: the package is incomplete although all files were downloaded",
                repository.snapshot(self.1).display()
            );
            Error::new(ErrorKind::Io, what)
        })
    }
}

impl Commit {
    fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// Returns whether a file is a document at the top of the package.
fn is_document(name: &str) -> bool {
    !name.contains('/') && ["README", "LICENSE", "LICENCE", "NOTICE"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the error for a model that is not a package, with instructions to export a checkpoint.
fn not_a_package(commit: &Commit) -> Error {
    let name = &commit.name;
    let is_checkpoint = |name: &str| {
        ["config.json", "train.yaml"].contains(&name)
            || [".safetensors", ".pt", ".bin"].iter().any(|end| name.ends_with(end))
    };
    let what = if commit.files.iter().any(|file| is_checkpoint(&file.name)) {
        let folder = name.repository().split('/').next_back().unwrap_or_default();
        let model = if name.has_revision() { name.to_string() } else { name.repository().to_owned() };
        format!(
            "{name} is a checkpoint for a training framework, not a package that ualm runs (it has no \
                 {MANIFEST}). Export it:\n\n    ualm-export {model} {folder} --precision int4\n\n(from a checkout of \
                 the sources: python3 export/export.py {model} {folder} --precision int4), then use --model {folder}"
        )
    } else {
        format!("{name} is not a package: it has no {MANIFEST}. ualm's exporter writes packages")
    };
    Error::new(ErrorKind::Package, what)
}

/// Abbreviates a commit id.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Formats a size with a unit.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => counted(bytes, "byte"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(names: &[&str]) -> Commit {
        let file = |name: &&str| RemoteFile { name: (*name).to_owned(), id: "0".repeat(40), size: 1 };
        let name = "nvidia/Nemotron-Labs-Audex-2B".parse().unwrap();
        Commit { name, id: "1".repeat(40), files: names.iter().map(file).collect() }
    }

    #[test]
    fn the_error_for_a_checkpoint_has_the_export_command() {
        let message = not_a_package(&commit(&["config.json", "model-00001.safetensors"])).to_string();
        assert!(message.contains("is a checkpoint"), "{message}");
        assert!(
            message.contains("ualm-export nvidia/Nemotron-Labs-Audex-2B Nemotron-Labs-Audex-2B --precision int4"),
            "{message}"
        );
        assert!(!not_a_package(&commit(&["data.csv"])).to_string().contains("ualm-export"));
    }

    #[test]
    fn sizes_have_a_suitable_unit() {
        assert_eq!([bytes(900), bytes(31_400_000), bytes(1_920_000_000)], ["900 bytes", "31.4 MB", "1.92 GB"]);
    }

    #[test]
    fn documents_are_at_the_top() {
        assert!(
            is_document("README.md")
                && is_document("LICENSE")
                && !is_document("docs/README.md")
                && !is_document("model.safetensors")
        );
    }
}
