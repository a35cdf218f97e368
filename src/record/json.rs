//! The JSON form of a record.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::features::WrittenFeatures;
use super::{PackageId, Record, RecordedMessage, Turn};
use crate::chain::{Chain, ChainRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::file::{read_limited, write_whole};
use crate::generate::{Draws, GenerationConfig, Segment, SegmentEnd};
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::Prompt;
use crate::token::{TokenId, Tokens};
use crate::utf8::skip_mark;

/// The value of `format` in every record.
const FORMAT: &str = "ualm-record";
/// The newest schema that this version reads.
const SCHEMA: u32 = 2;
/// The largest record to read, in bytes.
pub(super) const MAX_BYTES: u64 = 1 << 28;
/// The maximum number of ids of a position that a record may have.
const MAX_WIDTH: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Written {
    format: String,
    schema: u32,
    producer: String,
    package: PackageId,
    /// Number of ids of a position; schema 1 named the field `streams`.
    #[serde(alias = "streams")]
    width: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<Chain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<ChainRequest>,
    turns: Vec<WrittenTurn>,
}

#[derive(Serialize, Deserialize)]
struct WrittenTurn {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    begins: bool,
    messages: Vec<RecordedMessage>,
    /// The modality that the prompt was laid out for; prompts of schema 1 were for any modality.
    #[serde(default = "text")]
    modality: Modality,
    #[serde(alias = "frames")]
    tokens: Vec<Vec<TokenId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconditional: Option<Vec<Vec<TokenId>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<WrittenFeatures>,
    config: GenerationConfig,
    segments: Vec<WrittenSegment>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSegment {
    modality: Modality,
    end: SegmentEnd,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    config: SegmentConfig,
    draws: Draws,
    #[serde(default)]
    kept: usize,
    #[serde(alias = "frames")]
    tokens: Vec<Vec<TokenId>>,
}

fn text() -> Modality {
    Modality::Text
}

impl Record {
    /// Returns the record as one line of JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a setting is a number that JSON cannot represent.
    pub fn to_json(&self) -> Result<String> {
        let width = self.turns.first().map_or(1, |turn| turn.prompt.tokens.width());
        let written = Written {
            format: FORMAT.into(),
            schema: SCHEMA,
            producer: self.producer.clone(),
            package: self.package.clone(),
            width,
            chain: self.chain,
            request: self.request.clone(),
            turns: self.turns.iter().map(WrittenTurn::from).collect(),
        };
        serde_json::to_string(&written)
            .map_err(|e| Error::new(ErrorKind::Invalid, "the record cannot be written as JSON").with_source(e))
    }

    /// Reads a record from the output of [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `json` is not a record, is damaged, or has a newer schema.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let json = skip_mark(json)?;
        check_version(json)?;
        let written: Written = serde_json::from_slice(json).map_err(|e| damaged(&e.to_string()))?;
        let width = NonZeroUsize::new(written.width).filter(|width| width.get() <= MAX_WIDTH);
        let Some(width) = width else {
            return Err(damaged(&format!("positions of {} ids; expected 1..={MAX_WIDTH}", written.width)));
        };
        let turns: Vec<_> =
            written.turns.iter().map(|turn| turn.read(width)).collect::<Result<_, _>>().map_err(|e| damaged(&e))?;
        let Written { producer, package, chain, request, .. } = written;
        Ok(Self { producer, package, chain, request, turns })
    }

    /// Writes the record to `path` atomically.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the record cannot be written; a previous file at `path` stays.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path, (self.to_json()? + "\n").as_bytes())
    }

    /// Reads a record from `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Limit`] when it is too large, and as for
    /// [`from_json`](Self::from_json).
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let json = read_limited(path, MAX_BYTES).map_err(|e| e.context(path.display()))?;
        Self::from_json(&json).map_err(|e| e.context(path.display()))
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("a damaged record: {what}"))
}

/// Checks the format and the schema before anything else, so that the error names a foreign or a newer file as such.
fn check_version(json: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Marks {
        format: String,
        schema: u32,
    }
    let foreign = |what: String| Err(Error::new(ErrorKind::Invalid, format!("not a record of ualm: {what}")));
    match serde_json::from_slice::<Marks>(json) {
        Err(e) => foreign(e.to_string()),
        Ok(marks) if marks.format != FORMAT => foreign(format!("its format is {:?}, not {FORMAT:?}", marks.format)),
        Ok(marks) if marks.schema > SCHEMA => {
            let what =
                format!("a record of schema {}, but this program knows up to {SCHEMA}: update ualm", marks.schema);
            Err(Error::new(ErrorKind::Invalid, what))
        }
        Ok(_) => Ok(()),
    }
}

impl From<&Turn> for WrittenTurn {
    fn from(turn: &Turn) -> Self {
        Self {
            begins: turn.begins,
            messages: turn.messages.clone(),
            modality: turn.prompt.modality,
            tokens: lists(&turn.prompt.tokens),
            unconditional: turn.prompt.unconditional.as_ref().map(lists),
            features: turn.prompt.features.iter().map(WrittenFeatures::from).collect(),
            config: turn.config.clone(),
            segments: turn.segments.iter().map(WrittenSegment::from).collect(),
        }
    }
}

impl From<&Segment> for WrittenSegment {
    fn from(segment: &Segment) -> Self {
        Self {
            modality: segment.modality,
            end: segment.end,
            file: segment.file.clone(),
            text: segment.text.clone(),
            config: segment.config,
            draws: segment.draws,
            kept: segment.kept,
            tokens: lists(&segment.tokens),
        }
    }
}

impl WrittenTurn {
    fn read(&self, width: NonZeroUsize) -> Result<Turn, String> {
        let features = self.features.iter().map(WrittenFeatures::read).collect::<Result<_, _>>()?;
        Ok(Turn {
            messages: self.messages.clone(),
            prompt: Prompt {
                tokens: tokens(&self.tokens, width)?,
                features,
                unconditional: self.unconditional.as_ref().map(|lists| tokens(lists, width)).transpose()?,
                modality: self.modality,
            },
            config: self.config.clone(),
            segments: self.segments.iter().map(|segment| segment.read(width)).collect::<Result<_, _>>()?,
            begins: self.begins,
        })
    }
}

impl WrittenSegment {
    fn read(&self, width: NonZeroUsize) -> Result<Segment, String> {
        Ok(Segment {
            modality: self.modality,
            end: self.end,
            tokens: tokens(&self.tokens, width)?,
            kept: self.kept,
            config: self.config,
            draws: self.draws,
            text: self.text.clone(),
            audio: None,
            file: self.file.clone(),
            confidence: None,
        })
    }
}

fn lists(tokens: &Tokens) -> Vec<Vec<TokenId>> {
    tokens.iter().map(<[_]>::to_vec).collect()
}

fn tokens(lists: &[Vec<TokenId>], width: NonZeroUsize) -> Result<Tokens, String> {
    let mut tokens = Tokens::with_capacity(width, lists.len());
    for (index, list) in lists.iter().enumerate() {
        if list.len() != width.get() {
            return Err(format!("position {index} has {} ids; expected {width}", list.len()));
        }
        tokens.push(list);
    }
    Ok(tokens)
}
