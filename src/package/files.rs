//! The files of a model package, in a folder or in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Session;
use ort::session::builder::SessionBuilder;
use sha2::{Digest, Sha256};

use super::FileSum;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{read_limited, too_large};
use crate::system::for_libraries;

/// The location of a package's files.
#[derive(Clone, Debug)]
pub enum PackageFiles {
    /// Files in a folder, which must not change while the package is used.
    Folder(PathBuf),
    /// Files in memory, by name.
    Memory(BTreeMap<String, Arc<[u8]>>),
}

impl PackageFiles {
    /// Returns the description of the file `name` for messages, or of the package if `name` is empty.
    pub(crate) fn describe(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) if name.is_empty() => folder.display().to_string(),
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Memory(_) if name.is_empty() => "files in memory".into(),
            Self::Memory(_) => format!("{name} (in memory)"),
        }
    }

    /// Reads the file `name`, of at most `max` bytes.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Cow<'_, [u8]>> {
        let files = match self {
            Self::Folder(folder) => return read_limited(&folder.join(name), max).map(Cow::Owned),
            Self::Memory(files) => files,
        };
        let content = in_memory(files, name).map_err(|e| Error::new(ErrorKind::Io, "cannot be read").with_source(e))?;
        if content.len() as u64 > max {
            return Err(too_large(max));
        }
        Ok(Cow::Borrowed(&**content))
    }

    /// Returns the size of the file `name` in bytes; refuses a link that leads out of the folder.
    fn size(&self, name: &str) -> Result<u64> {
        let missing = |e| Error::new(ErrorKind::Package, "a file of the package is missing").with_source(e);
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Memory(files) => return in_memory(files, name).map(|content| content.len() as u64).map_err(missing),
        };
        let path = folder.join(name).canonicalize().map_err(missing)?;
        let folder = folder.canonicalize().map_err(missing)?;
        let is_blob = hub_contents(&folder).is_some_and(|contents| path.starts_with(contents));
        if !path.starts_with(&folder) && !is_blob {
            let what = "a link that leaves the package's folder: replace it with the file itself (cp -L)";
            return Err(Error::new(ErrorKind::Package, what));
        }
        let metadata = path.metadata().map_err(missing)?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::Package, "not a file"));
        }
        Ok(metadata.len())
    }

    fn sha256(&self, name: &str) -> std::io::Result<String> {
        match self {
            Self::Folder(folder) => sha256(&folder.join(name)),
            Self::Memory(files) => in_memory(files, name).map(|content| hexadecimal(&Sha256::digest(content))),
        }
    }

    /// Checks that the file exists in the package and has the size in `sum` and, if it has at most `summed` bytes, the
    /// SHA-256 in `sum`.
    pub(crate) fn check(&self, name: &str, sum: &FileSum, summed: u64) -> Result<()> {
        self.compare(name, sum, summed).map_err(|e| e.context(self.describe(name)))
    }

    fn compare(&self, name: &str, sum: &FileSum, summed: u64) -> Result<()> {
        let refused = |what: String| Err(Error::new(ErrorKind::Package, what));
        let size = self.size(name)?;
        if size != sum.size {
            return refused(format!("{size} bytes; the manifest says {}", sum.size));
        }
        if size > summed {
            return Ok(());
        }
        let found = self.sha256(name).map_err(|e| Error::new(ErrorKind::Io, "cannot be read").with_source(e))?;
        if found != sum.sha256.to_lowercase() {
            return refused(format!("damaged: its SHA-256 is {found}; the manifest says {}", sum.sha256));
        }
        Ok(())
    }

    /// Loads the graph in the file `name`. For a package in a folder, weights in files beside the graph are mapped into memory.
    pub(crate) fn load_graph(&self, mut builder: SessionBuilder, name: &str) -> ort::Result<Session> {
        let files = match self {
            Self::Folder(folder) => return builder.commit_from_file(for_libraries(&folder.join(name))),
            Self::Memory(files) => files,
        };
        let graph = in_memory(files, name).map_err(|e| ort::Error::new(e.to_string()))?;
        for (weights, content) in files.iter().filter(|(file, _)| file.contains(".onnx.")) {
            builder = builder.with_external_initializer_file_in_memory(weights, Arc::clone(content))?;
        }
        builder.commit_from_memory(graph)
    }
}

/// Returns the folder that the links in `folder` lead to, if `folder` is a commit in a cache of Hugging Face's hub: `blobs`
/// beside `snapshots/COMMIT`.
fn hub_contents(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
    Some(snapshots.parent()?.join("blobs"))
}

fn in_memory<'a>(files: &'a BTreeMap<String, Arc<[u8]>>, name: &str) -> std::io::Result<&'a Arc<[u8]>> {
    let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "not among the files that were given");
    files.get(name).ok_or_else(missing)
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Formats a checksum as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
