//! Model packages: the manifest, the files, and the checks of both (`onnx/README.md`).

mod check;
mod files;
mod manifest;
mod onnx;
mod v1;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::utf8::skip_mark;

#[cfg(feature = "internal")]
pub(crate) use check::check_manifest;
#[cfg(not(feature = "internal"))]
use check::check_manifest;
pub(crate) use files::PackageFiles;
use files::hexadecimal;
pub use manifest::{
    AttentionConfig, AudioEncoderConfig, CPU_VNNI, CausalState, CodecConfig, DecodingConfig, EnhancerConfig,
    FeatureRows, FileSum, Frame, LanguageModelConfig, Limits, Manifest, ModalityConfig, PREFILL, Prompts, Purpose,
    RotaryConfig, SCHEMA, StateConfig,
};
pub(crate) use onnx::Arithmetic;
#[cfg(feature = "internal")]
pub(crate) use onnx::check as check_graph;

/// The largest file whose checksum is verified whenever a package is opened; [`Package::verify`] verifies all files.
const ALWAYS_SUMMED: u64 = 64 << 20;

/// The largest manifest to read, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;

/// An opened package, whose manifest and files have been checked.
#[derive(Clone, Debug)]
pub struct Package {
    files: PackageFiles,
    manifest: Manifest,
    sha256: String,
}

impl Package {
    /// Opens the package in `folder`. ONNX Runtime does not read any file yet.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] for the first of these defects:
    ///
    /// - the manifest is missing, malformed, or of a newer schema;
    /// - its vocabulary, layouts, template or sizes are inconsistent;
    /// - a file is missing or has another size;
    /// - a file is outside the folder, by its name or by a link, except in the `blobs` of a hub's cache;
    /// - the checksum of a file of up to 64 MiB differs ([`verify`](Self::verify) checks larger files too);
    /// - a graph has operators other than those of ONNX and ONNX Runtime, or data in files outside the package.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::check(PackageFiles::Folder(folder.as_ref().to_path_buf()))
    }

    /// Opens a package from `files` in memory, each with the name that it has in a folder: manifest.json, tokenizer.json, the
    /// graphs and their weights. The files are kept in memory as long as the package.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_files<C: Into<Arc<[u8]>>>(files: impl IntoIterator<Item = (String, C)>) -> Result<Self> {
        Self::check(PackageFiles::Memory(files.into_iter().map(|(name, content)| (name, content.into())).collect()))
    }

    fn check(files: PackageFiles) -> Result<Self> {
        let (manifest, sha256) = read_manifest(&files)?;
        let package = Self { files, manifest, sha256 };
        check_manifest(&package.manifest).map_err(|e| e.context(package.files.describe("manifest.json")))?;
        package.check_files(ALWAYS_SUMMED)?;
        package.check_graphs()?;
        Ok(package)
    }

    /// Returns the package's folder, or an empty path for a package in memory.
    pub fn folder(&self) -> &Path {
        match &self.files {
            PackageFiles::Folder(folder) => folder,
            PackageFiles::Memory(_) => Path::new(""),
        }
    }

    pub(crate) fn files(&self) -> &PackageFiles {
        &self.files
    }

    /// Returns the package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the package's identity: the SHA-256 of the manifest, in lower-case hexadecimal digits. The manifest has the
    /// checksums of all other files.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.manifest.files.values().map(|file| file.size).sum()
    }

    /// Verifies the checksum of every file, however large.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] for a file whose checksum differs from the manifest's.
    pub fn verify(&self) -> Result<()> {
        self.check_files(u64::MAX)
    }

    /// Returns the arithmetic of the graph in `file`.
    pub(crate) fn arithmetic(&self, file: &str) -> Result<Arithmetic> {
        let bytes = self.files.read(file, onnx::MAX_BYTES)?;
        onnx::arithmetic(&bytes).map_err(|e| e.context(self.files.describe(file)))
    }

    /// Returns the size in bytes of the weights that each run of the graph in `file` reads.
    pub(crate) fn bytes_of_weights(&self, file: &str) -> Result<u64> {
        let bytes = self.files.read(file, onnx::MAX_BYTES)?;
        onnx::bytes_of_weights(&bytes).map_err(|e| e.context(self.files.describe(file)))
    }

    /// Returns the size in bytes of the weights of all graphs, variants excluded, without tables of which a run looks up some rows.
    ///
    /// # Errors
    /// A graph's file cannot be read.
    pub fn weights(&self) -> Result<u64> {
        self.manifest.graphs.values().map(|file| self.bytes_of_weights(file)).sum()
    }

    /// Checks all files, with the checksums of those of at most `summed` bytes.
    fn check_files(&self, summed: u64) -> Result<()> {
        for (name, sum) in &self.manifest.files {
            self.files.check(name, sum, summed)?;
        }
        Ok(())
    }

    fn check_graphs(&self) -> Result<()> {
        for (_, file) in self.manifest.graph_files() {
            let check = |bytes: Cow<[u8]>| onnx::check(&bytes, &self.manifest.files);
            let checked = self.files.read(file, onnx::MAX_BYTES).and_then(check);
            checked.map_err(|e| e.context(self.files.describe(file)))?;
        }
        Ok(())
    }
}

/// The tokenizer's file.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// The largest tokenizer to read, in bytes.
pub(crate) const MAX_TOKENIZER: u64 = 256 << 20;

/// Reads the manifest, and returns it with its SHA-256.
fn read_manifest(files: &PackageFiles) -> Result<(Manifest, String)> {
    let path = files.describe("manifest.json");
    let text = files.read("manifest.json", MAX_MANIFEST).map_err(|e| {
        let what = format!("{}: no model package is here: manifest.json", files.describe(""));
        Error::new(ErrorKind::Package, what).with_source(e)
    })?;
    let manifest = parse_manifest(&text).map_err(|e| e.context(path))?;
    Ok((manifest, hexadecimal(&Sha256::digest(&text))))
}

impl Manifest {
    /// Parses a manifest of any schema up to [`SCHEMA`], without checking its contents; opening a package checks them.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] if the text is not a manifest, or one of a newer schema.
    pub fn parse(text: &[u8]) -> Result<Self> {
        parse_manifest(text)
    }
}

/// Parses a manifest of any schema up to [`SCHEMA`].
pub(crate) fn parse_manifest(text: &[u8]) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let broken = |e: serde_json::Error| Error::new(ErrorKind::Package, format!("not a manifest: {e}"));
    let text = skip_mark(text).map_err(|e| Error::new(ErrorKind::Package, "not a manifest").with_source(e))?;
    let Versioned { schema } = serde_json::from_slice(text).map_err(broken)?;
    match schema {
        0 | 1 => v1::convert(serde_json::from_slice(text).map_err(broken)?),
        SCHEMA => serde_json::from_slice(text).map_err(broken),
        newer => {
            let what = format!("schema {newer}, but this version knows up to {SCHEMA}: update ualm");
            Err(Error::new(ErrorKind::Package, what))
        }
    }
}
