//! The cache of Hugging Face's tools, in the layout of `huggingface_hub`:
//!
//! ```text
//! models--OWNER--NAME/blobs/ID            file contents, by the hub's ids
//!                     blobs/ID.incomplete a partial download
//!                     snapshots/COMMIT/…  links to blobs, by file name
//!                     refs/REVISION       the commit of a branch or tag at the last lookup
//! .locks/models--OWNER--NAME/             lock files for downloads and packages in use
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use ualm::internal::{is_portable, read_text, write_whole, write_whole_with};
use ualm::package::Manifest;
use ualm::{Cancel, Error, ErrorKind, Result};

use crate::args::model_name::{ModelName, is_commit};

/// The file name of a package's manifest.
pub const MANIFEST: &str = "manifest.json";
/// The prefix of a model's folder name.
const MODELS: &str = "models--";
/// The interval between attempts to get a lock that another process holds.
const POLL: Duration = Duration::from_millis(100);

/// The part of the cache that belongs to a model.
#[derive(Clone)]
pub struct Repository {
    folder: PathBuf,
    locks: PathBuf,
}

/// A complete package in the cache, at one commit.
pub struct Cached {
    pub commit: String,
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl Repository {
    /// Returns the part of `cache` that belongs to `OWNER/NAME`.
    pub fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("{MODELS}{}", repository.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// Returns the folder of the model.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the blob `id`.
    pub fn blob(&self, id: &str) -> PathBuf {
        self.folder.join("blobs").join(id)
    }

    /// Returns the path of the partial download of the blob `id`.
    pub fn incomplete(&self, id: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{id}.incomplete"))
    }

    /// Returns whether the cache has the blob `id` with `size` bytes.
    pub fn has_blob(&self, id: &str, size: u64) -> bool {
        fs::metadata(self.blob(id)).is_ok_and(|file| file.len() == size)
    }

    /// Returns the number of downloaded bytes of the blob `id` of `size` bytes.
    pub fn bytes_of(&self, id: &str, size: u64) -> u64 {
        if self.has_blob(id, size) {
            return size;
        }
        fs::metadata(self.incomplete(id)).map_or(0, |part| part.len()).min(size)
    }

    /// Returns the folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Returns the commit of `revision`, as of the last lookup.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = read_text(self.reference(revision)).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    /// Returns the package of `revision`, if all of its files are in the cache.
    pub fn package(&self, revision: &str) -> Option<Cached> {
        let commit = self.commit(revision)?;
        let folder = self.snapshot(&commit);
        let manifest = Manifest::parse(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
        let is_complete = |(name, sum): (&String, &ualm::package::FileSum)| {
            is_portable(name) && fs::metadata(folder.join(name)).is_ok_and(|file| file.len() == sum.size)
        };
        manifest.files.iter().all(is_complete).then_some(Cached { commit, folder, manifest })
    }

    /// Returns the packages of all commits in the cache.
    pub fn packages(&self) -> Vec<Cached> {
        let commits: BTreeSet<_> = names_in(&self.folder.join("snapshots")).collect();
        commits.iter().filter(|commit| is_commit(commit)).filter_map(|commit| self.package(commit)).collect()
    }

    /// Returns the branches and tags at `commit`, as of the last lookup.
    pub fn names_of(&self, commit: &str) -> Vec<String> {
        let mut names = Vec::new();
        for path in files_below(&self.folder.join("refs")) {
            let is_it = read_text(&path).is_ok_and(|text| text.trim() == commit);
            let name = path.strip_prefix(self.folder.join("refs")).ok().and_then(Path::to_str);
            names.extend(name.filter(|_| is_it).map(|name| name.replace('\\', "/")));
        }
        names.sort();
        names
    }

    /// Stores `commit` as the commit of the branch or tag `revision`.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.reference(revision);
        path.parent().map_or(Ok(()), make_folder)?;
        write_whole(path, commit.as_bytes())
    }

    /// Removes the entry of the branch or tag `revision`.
    pub fn remove_reference(&self, revision: &str) -> Result<()> {
        remove_file(&self.reference(revision))
    }

    /// Adds the blob `id` as file `name` to the snapshot of `commit`, by a link, or by a copy if links are not
    /// permitted. Replaces another file of this name.
    pub fn link(&self, id: &str, commit: &str, name: &str) -> Result<()> {
        let blob = self.blob(id);
        let path = self.snapshot(commit).join(name);
        path.parent().map_or(Ok(()), make_folder)?;
        let is_same = |path: &Path| Some(path.canonicalize().ok()? == blob.canonicalize().ok()?);
        if is_same(&path) == Some(true) {
            return Ok(());
        }
        if fs::symlink_metadata(&path).is_ok() {
            remove_file(&path)?;
        }
        let ups = "../".repeat(2 + name.matches('/').count());
        let linked = symlink(Path::new(&format!("{ups}blobs/{id}")), &path).or_else(|_| fs::hard_link(&blob, &path));
        linked.or_else(|_| {
            let mut source = File::open(&blob).map_err(|e| unwritable(e).context(path.display()))?;
            write_whole_with(&path, |file| io::copy(&mut source, file).map(drop))
        })
    }

    /// Creates the folders for blobs and locks.
    pub fn make_folders(&self) -> Result<()> {
        make_folder(&self.folder.join("blobs"))?;
        make_folder(&self.locks)
    }

    /// Takes the exclusive lock `name`; calls `waits` once before waiting for another process.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the lock file cannot be created, [`ErrorKind::Cancelled`].
    pub fn lock(&self, name: &str, cancel: &Cancel, waits: impl FnOnce()) -> Result<Lock> {
        let path = self.locks.join(format!("{name}.lock"));
        let failed = |e: io::Error| unwritable(e).context(path.display());
        make_folder(&self.locks)?;
        let file = open_lock(&path).map_err(failed)?;
        let mut waits = Some(waits);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => waits.take().map_or((), |waits| waits()),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            cancel.check()?;
            sleep(POLL);
        }
    }

    /// Takes the exclusive lock `name`, unless another process holds it.
    pub fn try_lock(&self, name: &str) -> Option<Lock> {
        let file = open_lock(&self.locks.join(format!("{name}.lock"))).ok()?;
        file.try_lock().ok().map(|()| Lock { _file: file })
    }

    /// Takes the shared lock `name`. Returns `None` for a read-only cache, which needs no locks.
    pub fn share_lock(&self, name: &str) -> Option<Lock> {
        make_folder(&self.locks).ok()?;
        let file = open_lock(&self.locks.join(format!("{name}.lock"))).ok()?;
        file.lock_shared().ok().map(|()| Lock { _file: file })
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

/// A lock, released on drop or at the end of the process.
pub struct Lock {
    _file: File,
}

/// Returns the names of all models in `cache`, packages or not, sorted.
pub fn models(cache: &Path) -> Vec<ModelName> {
    let name = |folder: String| folder.strip_prefix(MODELS)?.replacen("--", "/", 1).parse().ok();
    let mut models: Vec<ModelName> = names_in(cache).filter_map(name).collect();
    models.sort_by(|a, b| a.repository().cmp(b.repository()));
    models
}

/// Returns the paths of all files in `folder` and below it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            Ok(_) => files.push(entry.path()),
            Err(_) => {}
        }
    }
    files
}

/// Returns the error of a failed write to the cache.
pub fn unwritable(error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; downloaded files are kept: free some space and run the same command again, or name \
             another folder with HF_HUB_CACHE"
        }
        io::ErrorKind::FileTooLarge => {
            "the system does not allow such a large file here; downloaded files are kept: raise the limit, or name \
             another folder with HF_HUB_CACHE"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the cache cannot be written: name a writable folder with HF_HUB_CACHE"
        }
        _ => "the cache cannot be written",
    };
    Error::new(ErrorKind::Io, what).with_source(error)
}

/// Removes a file of the cache.
pub fn remove_file(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|e| unwritable(e).context(path.display()))
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| unwritable(e).context(folder.display()))
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Creates a symbolic link, for which Windows requires developer mode or an administrator.
#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    let target: PathBuf = target.components().collect(); // with the system's separators
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const ID: &str = "89abcdef0123456789abcdef0123456789abcdef";

    fn repository() -> (tempfile::TempDir, Repository) {
        let cache = tempfile::tempdir().unwrap();
        let repository = Repository::new(cache.path(), "a/b");
        repository.make_folders().unwrap();
        (cache, repository)
    }

    #[test]
    fn a_branch_has_the_stored_commit() {
        let (cache, repository) = repository();
        assert_eq!(repository.commit("main"), None);
        repository.set_commit("refs/pr/1", COMMIT).unwrap();
        repository.set_commit("main", COMMIT).unwrap();
        assert_eq!(repository.commit("main").as_deref(), Some(COMMIT));
        assert_eq!(repository.commit(COMMIT).as_deref(), Some(COMMIT));
        assert_eq!(repository.names_of(COMMIT), ["main", "refs/pr/1"]);
        fs::write(cache.path().join("models--a--b/refs/main"), "../../elsewhere").unwrap();
        assert_eq!(repository.commit("main"), None, "not a commit id");
        assert_eq!(models(cache.path()), ["a/b".parse().unwrap()]);
    }

    #[test]
    fn a_link_leads_to_the_blob_and_replaces_another_file() {
        let (_cache, repository) = repository();
        fs::write(repository.blob(ID), "contents").unwrap();
        for name in ["file", "folder/file"] {
            let path = repository.snapshot(COMMIT).join(name);
            repository.link(ID, COMMIT, name).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "contents");
            fs::remove_file(&path).unwrap();
            fs::write(&path, "old").unwrap();
            repository.link(ID, COMMIT, name).unwrap();
            repository.link(ID, COMMIT, name).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "contents");
        }
    }

    #[test]
    fn a_lock_keeps_others_out() {
        let (_cache, repository) = repository();
        let lock = repository.lock("pull", &Cancel::new(), || panic!("the lock is free")).unwrap();
        assert!(repository.try_lock("pull").is_none());
        let cancel = Cancel::new();
        let cancelled = repository.lock("pull", &cancel, || cancel.cancel());
        assert_eq!(cancelled.err().unwrap().kind(), ErrorKind::Cancelled);
        drop(lock);
        let shared = [repository.share_lock("pull").unwrap(), repository.share_lock("pull").unwrap()];
        assert!(repository.try_lock("pull").is_none());
        drop(shared);
        assert!(repository.try_lock("pull").is_some());
    }
}
