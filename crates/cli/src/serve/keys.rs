//! API keys.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use ualm::internal::read_text;
use ualm::{Error, ErrorKind, Result};

/// The sums of the keys: comparing sums tells nobody how much of a key was right.
pub struct Keys(HashSet<[u8; 32]>);

impl Keys {
    /// Reads a file of keys, one a line; empty lines and those that begin with # do not count.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Invalid`] when it is no text or holds no key.
    pub fn read(path: &Path) -> Result<Self> {
        let keys = Self::parse(&read_text(path)?);
        if keys.0.is_empty() {
            Err(Error::new(ErrorKind::Invalid, format!("{}: holds no key, one a line", path.display())))
        } else {
            Ok(keys)
        }
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(sum).collect())
    }

    /// Returns whether the header `Authorization` holds one of the keys.
    pub fn admit(&self, authorization: Option<&str>) -> bool {
        let shown = authorization.and_then(|value| value.split_once(' '));
        shown.is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && self.0.contains(&sum(key.trim())))
    }
}

fn sum(key: &str) -> [u8; 32] {
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
