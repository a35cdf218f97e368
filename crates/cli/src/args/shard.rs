//! The shard and the default seed of a request: both depend only on its id, so that several machines can divide the
//! requests.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Shard `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Returns whether the request `id` belongs to this shard.
    pub fn holds(self, id: &str) -> bool {
        number(id, 8) % self.count + 1 == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').map(|(index, count)| (index.parse(), count.parse()));
        match numbers {
            Some((Ok(index), Ok(count))) if (1..=count).contains(&index) && count <= 9999 => Ok(Self { index, count }),
            _ => Err("expected I/N with I in 1..=N and N in 1..=9999, as in 2/4".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.index, self.count)
    }
}

/// Returns the default seed of the request `id`.
pub fn seed_of(id: &str) -> u64 {
    number(id, 0)
}

/// Returns a hash of `id`: eight bytes of its SHA-256, from byte `from` on.
fn number(id: &str, from: usize) -> u64 {
    Sha256::digest(id.as_bytes()).iter().skip(from).take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
