//! Names of models on the hub.

use std::fmt;
use std::str::FromStr;

/// The default revision.
const MAIN: &str = "main";
/// The maximum length of `OWNER/NAME`.
const MAX_LEN: usize = 96;

/// A model on the hub, `OWNER/NAME` or `OWNER/NAME@REVISION`: a branch, a tag or the id of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    repository: String,
    revision: Option<String>,
}

impl ModelName {
    /// Returns `OWNER/NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the revision, by default the main branch.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// Returns whether a revision is given.
    pub fn has_revision(&self) -> bool {
        self.revision.is_some()
    }

    /// Returns whether the revision is the full id of a commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(self.revision())
    }

    /// Returns the same model at `revision`.
    pub fn at(&self, revision: &str) -> Self {
        Self { repository: self.repository.clone(), revision: Some(revision.to_owned()) }
    }
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let is_name = |part: &str| {
            is_plain(part) && !part.contains("--") && !part.ends_with(['-', '.']) && !part.starts_with('-')
        };
        let is_repository = repository.len() <= MAX_LEN
            && repository.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name));
        if !is_repository || !revision.is_none_or(|revision| revision.split('/').all(is_plain)) {
            return Err("expected OWNER/NAME or OWNER/NAME@REVISION, as on the hub".into());
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.map(str::to_owned) })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

/// Returns whether `revision` is the full id of a commit.
pub fn is_commit(revision: &str) -> bool {
    is_hexadecimal(revision, 40)
}

/// Returns whether `text` consists of `digits` lower-case hexadecimal digits.
pub fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether `part` is safe as a component of a URL and of a path on every system.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && !part.contains("..")
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ModelName {
        text.parse().unwrap()
    }

    #[test]
    fn names_have_an_owner_and_an_optional_revision() {
        let plain = name("nvidia/Nemotron-Labs-Audex-2B");
        assert_eq!((plain.repository(), plain.revision()), ("nvidia/Nemotron-Labs-Audex-2B", "main"));
        assert!(!plain.has_revision() && !plain.is_pinned());
        assert_eq!(name("a/b@v1.0").revision(), "v1.0");
        assert_eq!(name("a/b@refs/pr/3").revision(), "refs/pr/3");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert!(name("a/b").at(commit).is_pinned());
        assert!(!name("a/b@0123456").is_pinned(), "an abbreviated commit id is not pinned");
    }

    #[test]
    fn paths_and_malformed_names_are_refused() {
        let wrong = [
            "", "model", "./a/b", "a/b/c", "/a/b", "../b", "a/..", "a/b@", "a/b@..", "a/b@../x", "a/b@x//y", "a\\b",
            "a/b c", "-a/b", "a/b-", "a--b/c", "a/b@-\n", "C:/a", "~/a", "a/.b", "a/b@/x",
        ];
        for text in wrong {
            assert!(text.parse::<ModelName>().is_err(), "{text:?}");
        }
        assert!(format!("a/{}", "b".repeat(95)).parse::<ModelName>().is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_printed_as_it_was_given(text in "[a-z0-9._/@-]{0,40}") {
            if let Ok(name) = text.parse::<ModelName>() {
                prop_assert_eq!(name.to_string(), text);
                prop_assert!(name.revision().split('/').chain(name.repository().split('/')).all(is_plain));
            }
        }
    }
}
