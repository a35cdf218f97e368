//! API keys.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use ualm::internal::read_text;
use ualm::{Error, ErrorKind, Result};

/// The hashes of the keys. Comparing hashes leaks nothing about a key by its timing.
pub struct Keys(HashSet<[u8; 32]>);

impl Keys {
    /// Reads a file of keys, one per line; empty lines and lines that begin with # are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Invalid`] if it is not text or has no key.
    pub fn read(path: &Path) -> Result<Self> {
        let keys = Self::parse(&read_text(path)?);
        if keys.0.is_empty() {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("{}: the file has no keys; expected one per line", path.display()),
            ))
        } else {
            Ok(keys)
        }
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(hash).collect())
    }

    /// Returns whether the header `Authorization` has one of the keys.
    pub fn admit(&self, authorization: Option<&str>) -> bool {
        let shown = authorization.and_then(|value| value.split_once(' '));
        shown.is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && self.0.contains(&hash(key.trim())))
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_the_file_are_admitted() {
        let keys = Keys::parse("# the team's\n  one \n\ntwo\r\n");
        for shown in ["Bearer one", "bearer two", "Bearer  two "] {
            assert!(keys.admit(Some(shown)), "{shown}");
        }
        for shown in ["Bearer ", "Bearer three", "one", "Basic one", "Bearer # the team's", "Bearer one two", ""] {
            assert!(!keys.admit(Some(shown)), "{shown}");
        }
        assert!(!keys.admit(None) && !Keys::parse("").admit(Some("Bearer ")));
    }
}
