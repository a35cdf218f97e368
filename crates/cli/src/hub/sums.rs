//! The checksums of a file: the SHA-256 of the manifest, and the hub's id.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::args::model_name::is_hexadecimal;

/// Running checksums of a file.
#[derive(Clone)]
pub struct Sums {
    sha256: Sha256,
    git: Sha1,
}

impl Sums {
    /// Creates the checksums of a file of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self { sha256: Sha256::new(), git: Sha1::new_with_prefix(format!("blob {size}\0")) }
    }

    /// Computes the checksums of a whole file.
    pub fn of(content: &[u8]) -> Self {
        let mut sums = Self::new(content.len() as u64);
        sums.add(content);
        sums
    }

    /// Updates the checksums with `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.git.update(bytes);
    }

    /// Compares the checksums with the hub's id, a SHA-256 for large files and Git's SHA-1 for others, and with the
    /// SHA-256 of the manifest.
    ///
    /// # Errors
    /// The expected checksum, and the one found.
    pub fn check(self, id: &str, manifest: Option<&str>) -> Result<(), (String, String)> {
        let sha256 = hexadecimal(&self.sha256.finalize());
        let of_hub = if is_sha256(id) { sha256.clone() } else { hexadecimal(&self.git.finalize()) };
        let manifest = manifest.map(str::to_lowercase);
        let pairs = [(Some(id.to_owned()), of_hub), (manifest, sha256)];
        let wrong =
            pairs.into_iter().find_map(|(wanted, found)| wanted.filter(|wanted| *wanted != found).zip(Some(found)));
        wrong.map_or(Ok(()), Err)
    }
}

/// Returns whether an id of the hub is a SHA-256.
pub fn is_sha256(id: &str) -> bool {
    is_hexadecimal(id, 64)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    /// The output of `git hash-object`.
    const GIT: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";

    fn hello() -> Sums {
        let mut sums = Sums::new(5);
        sums.add(b"he");
        sums.add(b"llo");
        sums
    }

    #[test]
    fn both_checksums_must_match() {
        assert_eq!(Sums::of(b"hello").check(SHA256, None), Ok(()));
        assert_eq!(hello().check(SHA256, Some(&SHA256.to_uppercase())), Ok(()));
        assert_eq!(hello().check(GIT, None), Ok(()));
        let other = "0".repeat(64);
        assert_eq!(hello().check(GIT, Some(&other)), Err((other.clone(), SHA256.to_owned())));
        assert_eq!(hello().check(&other, Some(SHA256)), Err((other, SHA256.to_owned())));
        assert_eq!(hello().check(&"0".repeat(40), None), Err(("0".repeat(40), GIT.to_owned())));
    }
}
