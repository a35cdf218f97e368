//! Licences that restrict the use of a package: shown for acceptance before its first use.

use std::path::PathBuf;

use ualm::internal::{state_folder, write_whole};
use ualm::package::Manifest;
use ualm::{Error, ErrorKind, Result};

use super::question::{ask, can_ask};
use crate::args::Common;
use crate::args::model_name::ModelName;
use crate::output::{note, warn};

/// Licences that allow every use, in lower case without punctuation: licences of the Open Source Initiative and of
/// Creative Commons that are common for weights. Conditions on redistribution, such as attribution, do not restrict
/// use.
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

/// A package whose licence may need acceptance.
pub struct Licensed<'a> {
    pub name: &'a ModelName,
    pub commit: &'a str,
    pub manifest: &'a Manifest,
    /// The URL of the model's page.
    pub page: String,
}

impl Licensed<'_> {
    /// Checks that the licence allows every use or has been accepted, by `--accept-licence` or at the terminal, now or
    /// before.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the licence is not accepted.
    pub fn require(&self, common: &Common) -> Result<()> {
        if is_free(&self.manifest.license) || self.mark().is_ok_and(|mark| mark.exists()) {
            return Ok(());
        }
        if common.accept_licence {
            note(common, &self.words());
            note(common, "accepted by --accept-licence");
        } else if can_ask() {
            warn(&self.words());
            if !ask("Do you accept this licence?")? {
                return Err(Error::new(ErrorKind::Invalid, "the licence was not accepted; nothing was done"));
            }
        } else {
            let what = format!(
                "{}\nThere is no terminal to ask for acceptance: read the licence, and accept it with --accept-licence (or \
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
        let name = self.name.repository();
        let page = &self.page;
        let licence = if is_unstated(license) {
            "does not state its licence: ask its author for the terms of use".to_owned()
        } else {
            format!("is under a licence that may restrict its use: {license}")
        };
        let origin = if origin.is_empty() { "not stated" } else { origin };
        format!("{name} {licence}\norigin: {origin}\nread more: {page}")
    }

    /// Stores that the licence of this commit was accepted. If that fails, the user is asked again next time.
    fn remember(&self) {
        let text = format!("{}\n{}\n", self.name.at(self.commit), self.manifest.license);
        let write = |mark: PathBuf| {
            let folder = mark.parent().map(std::fs::create_dir_all).transpose();
            folder.map_err(|e| Error::new(ErrorKind::Io, "the folder cannot be created").with_source(e))?;
            write_whole(mark, text.as_bytes())
        };
        if let Err(error) = self.mark().and_then(write) {
            warn(&format!("warning: the acceptance of the licence cannot be stored: {}", error.full_message()));
        }
    }

    /// Returns the file that marks the licence of this commit as accepted.
    fn mark(&self) -> Result<PathBuf> {
        let folder = state_folder().ok_or_else(|| Error::new(ErrorKind::Io, "there is no home folder"))?;
        let name = self.name.repository().replace('/', "--");
        Ok(folder.join("accepted-licences").join(name).join(self.commit))
    }
}

/// Returns whether a licence is known to allow every use.
pub fn is_free(license: &str) -> bool {
    // words in other scripts are kept, since they may be restrictions
    let plain: String = license.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    FREE.contains(&&*plain)
}

fn is_unstated(license: &str) -> bool {
    ["", "none", "not stated", "unknown"].contains(&license.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_licences_are_recognized() {
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
