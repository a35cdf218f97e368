//! Licences that restrict what a package may be used for: shown before its first use, which is remembered.

use std::path::PathBuf;

use ualm::internal::{state_folder, write_whole};
use ualm::package::Manifest;
use ualm::{Error, ErrorKind, Result};

use super::question::{ask, can_ask};
use crate::args::Common;
use crate::args::model_name::ModelName;
use crate::output::{note, warn};

/// Licences that allow every use, without blanks and signs: those of the Open Source Initiative and of Creative Commons that weights
/// have. Conditions on passing on, such as a name that must be told, are not about use.
const FREE: [&str; 24] = [
    "0bsd",
    "agpl30",
    "agpl30only",
    "agpl30orlater",
    "apache20",
    "apachelicense20",
    "bsd",
    "bsd2clause",
    "bsd3clause",
    "bsl10",
    "cc0",
    "cc010",
    "ccby40",
    "ccbysa40",
    "gpl30",
    "gpl30only",
    "gpl30orlater",
    "isc",
    "mit",
    "mitlicense",
    "mpl20",
    "publicdomain",
    "unlicense",
    "zlib",
];

/// The package of a commit, whose licence may have to be accepted.
pub struct Licensed<'a> {
    pub name: &'a ModelName,
    pub commit: &'a str,
    pub manifest: &'a Manifest,
    /// The address at which the licence can be read.
    pub page: String,
}

impl Licensed<'_> {
    /// Makes sure that the licence allows every use, or has been accepted: before, by `--accept-licence`, or now at the
    /// terminal.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is not accepted.
    pub fn require(&self, common: &Common) -> Result<()> {
        if is_free(&self.manifest.license) || self.mark().is_ok_and(|mark| mark.exists()) {
            return Ok(());
        }
        if common.accept_licence {
            note(common, &self.words());
            note(common, "accepted by --accept-licence");
        } else if can_ask() {
            warn(&self.words());
            if !ask("Do you accept it?")? {
                return Err(Error::new(ErrorKind::Invalid, "the licence is not accepted; nothing was done"));
            }
        } else {
            let what = format!(
                "{}\nThere is no terminal to ask whether you accept it: read it, and give --accept-licence (or \
                 UALM_ACCEPT_LICENCE=1)",
                self.words()
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        self.remember();
        Ok(())
    }

    fn words(&self) -> String {
        let Manifest { license, origin, .. } = self.manifest;
        let (name, page) = (self.name.repository(), &self.page);
        let licence = match states_none(license) {
            true => "does not state its licence: ask its author what you may use it for".to_owned(),
            false => format!("is under a licence that may restrict its use: {license}"),
        };
        let origin = if origin.is_empty() { "not stated" } else { origin };
        format!("{name} {licence}\norigin: {origin}\nread more: {page}")
    }

    /// Notes that the licence of this commit has been accepted. Where that cannot be noted, it is asked for again.
    fn remember(&self) {
        let text = format!("{}\n{}\n", self.name.at(self.commit), self.manifest.license);
        let write = |mark: PathBuf| {
            let folder = mark.parent().map(std::fs::create_dir_all).transpose();
            folder.map_err(|e| Error::new(ErrorKind::Io, "no folder can be made").with_source(e))?;
            write_whole(mark, text.as_bytes())
        };
        if let Err(error) = self.mark().and_then(write) {
            warn(&format!("warning: that the licence is accepted cannot be noted: {}", error.full_message()));
        }
    }

    /// Returns the file that says that the licence of this commit has been accepted.
    fn mark(&self) -> Result<PathBuf> {
        let folder = state_folder().ok_or_else(|| Error::new(ErrorKind::Io, "there is no home folder"))?;
        let name = self.name.repository().replace('/', "--");
        Ok(folder.join("accepted-licences").join(name).join(self.commit))
    }
}

/// Returns whether a licence is known to allow every use.
pub fn is_free(license: &str) -> bool {
    // words in other scripts count: they may restrict
    let plain: String = license.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    FREE.contains(&&*plain)
}

fn states_none(license: &str) -> bool {
    ["", "none", "not stated", "unknown"].contains(&license.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_that_allow_every_use_are_known() {
        for free in ["MIT", "Apache-2.0", "apache-2.0", "CC BY-SA 4.0", "cc-by-4.0", "CC0-1.0", "BSD-3-Clause"] {
            assert!(is_free(free), "{free}");
        }
        let restricted = [
            "NVIDIA OneWay Noncommercial License (weights brought by the user)",
            "CC BY-NC 4.0",
            "cc-by-nc-sa-4.0",
            "llama3",
            "openrail",
            "not stated",
            "other",
            "",
            "MIT or else",
            "MIT, некоммерческая",
            "MIT 非商用",
        ];
        for restricted in restricted {
            assert!(!is_free(restricted), "{restricted}");
        }
    }
}
