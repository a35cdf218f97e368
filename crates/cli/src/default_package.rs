//! The location of the package that ships with the program.

use std::path::PathBuf;

use ualm::internal::real_path;
use ualm::{Error, ErrorKind, Result};

/// Returns the default package: `share/ualm/default` of an installation, or `onnx/default` in a folder above the
/// program (a source checkout).
pub fn default_package() -> Result<PathBuf> {
    let program = std::env::current_exe().and_then(real_path).unwrap_or_default();
    let installed = program.ancestors().nth(2).map(|prefix| prefix.join("share/ualm/default"));
    let beside = program.ancestors().skip(1).map(|folder| folder.join("onnx/default"));
    installed.into_iter().chain(beside).find(|folder| folder.join("manifest.json").is_file()).ok_or_else(|| {
        Error::new(ErrorKind::Package, "the default package was not found: name a package with --model or UALM_MODEL")
    })
}
