//! The file of requests, one JSON object per line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use ualm::internal::{skip_mark, unreadable};
use ualm::{Error, ErrorKind, Modality, Result};

use super::names::stems;
use crate::args::{Overrides, Shard};
use crate::object::{object_or_default, optional_object, or_default};

/// The maximum length of a line, in bytes.
pub const MAX_LINE: u64 = 16 << 20;

/// A request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub id: String,
    pub messages: Vec<RequestMessage>,
    #[serde(default, deserialize_with = "or_default")]
    pub force: Vec<Modality>,
    #[serde(default, deserialize_with = "object_or_default")]
    pub text: Overrides,
    #[serde(default, deserialize_with = "object_or_default")]
    pub audio: Overrides,
    /// Settings of speech, by default those of `audio`.
    #[serde(default, deserialize_with = "optional_object")]
    pub speech: Option<Overrides>,
    /// Enables or disables thinking before a text answer; by default the package decides.
    pub thinking: Option<bool>,
    pub max_segments: Option<usize>,
    pub seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMessage {
    pub role: String,
    pub content: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Part {
    Text { text: String },
    Audio { path: PathBuf },
    Speech { path: PathBuf },
}

/// The identity of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The id, for the first line with this id.
    Id(String),
    /// The line number, for a line without an id or with the id of an earlier line.
    Line(usize),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Line(number) => write!(f, "line {number}"),
        }
    }
}

/// A line of the file.
pub struct Line {
    /// The line number, from 1.
    pub number: usize,
    pub key: Key,
    /// The request's id, if it has one.
    pub id: Option<String>,
    /// The file stem of the request's sounds.
    pub stem: String,
    /// A checksum of the line, stored in the result to detect changed requests.
    pub sum: String,
    text: Option<Vec<u8>>,
}

impl Line {
    /// Parses the request of the line.
    pub fn request(&self) -> Result<Request> {
        let invalid = |what: String| Error::new(ErrorKind::Invalid, what);
        let Some(text) = &self.text else {
            let what = format!("line {} is too long; the limit is {} MiB", self.number, MAX_LINE >> 20);
            return Err(Error::new(ErrorKind::Limit, what));
        };
        let request: Request =
            serde_json::from_slice(text).map_err(|e| invalid(format!("line {} is not a request: {e}", self.number)))?;
        match self.key {
            Key::Id(_) => Ok(request),
            Key::Line(_) => Err(invalid(format!("the id {:?} was already used by an earlier line", request.id))),
        }
    }

    fn new(number: usize, text: Option<Vec<u8>>, first: &mut HashMap<String, usize>) -> Self {
        #[derive(Deserialize)]
        struct Named {
            id: String,
        }
        let id = text.as_deref().and_then(|text| serde_json::from_slice::<Named>(text).ok()).map(|named| named.id);
        let key = match &id {
            Some(id) if *first.entry(id.clone()).or_insert(number) == number => Key::Id(id.clone()),
            _ => Key::Line(number),
        };
        let sum =
            Sha256::digest(text.as_deref().unwrap_or_default()).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Self { number, key, id, stem: String::new(), sum, text }
    }

    /// Returns the text whose hash selects the line's shard: the id, or the checksum.
    pub fn shard_key(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.sum)
    }
}

/// Reads the requests in `shard` from a file, or from standard input for `-`; empty lines are skipped.
pub fn read_requests(path: &Path, shard: Option<Shard>) -> Result<Vec<Line>> {
    let lines = match path.to_str() {
        Some("-") => lines_of(std::io::stdin().lock(), shard),
        _ => File::open(path).map_err(unreadable).and_then(|file| lines_of(BufReader::new(file), shard)),
    };
    lines.map_err(|e| e.context(path.display()))
}

/// Reads the requests in `shard` from `source`.
pub fn lines_of(mut source: impl BufRead, shard: Option<Shard>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut first = HashMap::new();
    for number in 1.. {
        let mut text = Vec::new();
        if source.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
            break;
        }
        let too_long = text.len() as u64 > MAX_LINE;
        if too_long && text.last() != Some(&b'\n') {
            source.skip_until(b'\n').map_err(unreadable)?;
        }
        let text = if number == 1 { skip_mark(&text)? } else { &text };
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let line = Line::new(number, (!too_long).then(|| text.to_vec()), &mut first);
        if shard.is_none_or(|shard| shard.holds(line.shard_key())) {
            lines.push(line);
        }
    }
    let stems = stems(first.keys().map(String::as_str));
    for line in &mut lines {
        line.stem = line.id.as_deref().and_then(|id| stems.get(id)).cloned().unwrap_or_default();
    }
    Ok(lines)
}
