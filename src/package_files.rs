//! The files of a model package: in a folder, or in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Session;
use ort::session::builder::SessionBuilder;
use sha2::{Digest, Sha256};

use crate::package::FileSum;
use crate::{Error, ErrorKind, Result};

/// Where a package's files are.
#[derive(Clone, Debug)]
pub enum PackageFiles {
    /// In a folder; they stay there while the package is used.
    Folder(PathBuf),
    /// In memory, by their names.
    Memory(BTreeMap<String, Arc<[u8]>>),
}

impl PackageFiles {
    /// What a message calls the file `name`, or all of them for an empty one.
    pub(crate) fn describe(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) if name.is_empty() => folder.display().to_string(),
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Memory(_) if name.is_empty() => "files in memory".into(),
            Self::Memory(_) => format!("{name} (in memory)"),
        }
    }

    /// The whole content of the file `name`.
    pub(crate) fn read(&self, name: &str) -> std::io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Folder(folder) => std::fs::read(folder.join(name)).map(Cow::Owned),
            Self::Memory(files) => in_memory(files, name).map(|content| Cow::Borrowed(&**content)),
        }
    }

    fn size(&self, name: &str) -> std::io::Result<u64> {
        match self {
            Self::Folder(folder) => std::fs::metadata(folder.join(name)).map(|metadata| metadata.len()),
            Self::Memory(files) => in_memory(files, name).map(|content| content.len() as u64),
        }
    }

    fn sha256(&self, name: &str) -> std::io::Result<String> {
        match self {
            Self::Folder(folder) => sha256(&folder.join(name)),
            Self::Memory(files) => in_memory(files, name).map(|content| hexadecimal(&Sha256::digest(content))),
        }
    }

    /// Refuses a file that is missing, has another size than `sum` says or, if it has `summed` bytes at the most,
    /// another SHA-256.
    pub(crate) fn check(&self, name: &str, sum: &FileSum, summed: u64) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("{}: {what}", self.describe(name))));
        let size = match self.size(name) {
            Ok(size) => size,
            Err(e) => return fail(format!("a file of the package is missing: {e}")),
        };
        if size != sum.size {
            return fail(format!("{size} bytes; the manifest says {}", sum.size));
        }
        if size > summed {
            return Ok(());
        }
        let unread = |e| Error::new(ErrorKind::Io, format!("{}: cannot be read", self.describe(name))).with_source(e);
        let found = self.sha256(name).map_err(unread)?;
        if found != sum.sha256.to_lowercase() {
            return fail(format!("damaged: its SHA-256 is {found}; the manifest says {}", sum.sha256));
        }
        Ok(())
    }

    /// Loads the graph in the file `name`. In a folder its weights, which lie beside it, are mapped into memory.
    pub(crate) fn load_graph(&self, mut builder: SessionBuilder, name: &str) -> ort::Result<Session> {
        let files = match self {
            Self::Folder(folder) => return builder.commit_from_file(folder.join(name)),
            Self::Memory(files) => files,
        };
        let graph = in_memory(files, name).map_err(|e| ort::Error::new(e.to_string()))?;
        for (weights, content) in files.iter().filter(|(weights, _)| weights.starts_with(name) && *weights != name) {
            builder = builder.with_external_initializer_file_in_memory(weights, Arc::clone(content))?;
        }
        builder.commit_from_memory(graph)
    }
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
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The digits of a sum, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
