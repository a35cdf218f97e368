//! The layout of the one vocabulary that text, control tokens and every codec stream share.

use serde::{Deserialize, Serialize};

use super::TokenId;
use crate::error::{Error, ErrorKind, Result};

/// A half-open range of token ids, written `[start, end]` in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[TokenId; 2]", into = "[TokenId; 2]")]
pub struct Interval {
    /// The first id.
    pub start: TokenId,
    /// One past the last id.
    pub end: TokenId,
}

impl Interval {
    /// How many ids the interval holds; none when it ends before it starts.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `id` lies in it.
    pub fn contains(&self, id: TokenId) -> bool {
        (self.start..self.end).contains(&id)
    }
}

impl From<[TokenId; 2]> for Interval {
    fn from([start, end]: [TokenId; 2]) -> Self {
        Self { start, end }
    }
}

impl From<Interval> for [TokenId; 2] {
    fn from(interval: Interval) -> Self {
        [interval.start, interval.end]
    }
}

/// The control tokens that the runtime itself writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Special {
    /// Padding; embeds to the zero vector.
    pub pad: TokenId,
    /// Begins a conversation.
    pub bos: TokenId,
    /// Ends a turn.
    pub eos: TokenId,
    /// Ends a segment; another one of the same role follows.
    pub eot: TokenId,
    /// Opens a message of the system.
    pub system: TokenId,
    /// Opens a message of the user.
    pub user: TokenId,
    /// Opens a segment of the model.
    pub assistant: TokenId,
    /// Modality token of text.
    pub text: TokenId,
    /// Modality token of sound and music.
    pub audio: TokenId,
    /// Modality token of speech.
    pub speech: TokenId,
}

/// One vocabulary for everything: special ids, then text, then one block of codec codes for every stream.
///
/// The first id of a stream's block is that stream's own pad; code `c` of stream `i` is `audio[i].start + 1 + c`
/// (`vocab_intervals` in the authors' trainer).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Number of ids.
    pub size: usize,
    /// Ids in a frame: the codec's codebooks.
    pub streams: usize,
    /// The control tokens.
    pub special: Special,
    /// Text: the tokenizer's id plus `text.start`.
    pub text: Interval,
    /// The block of every stream.
    pub audio: Vec<Interval>,
}

impl Vocabulary {
    /// Checks that the intervals are ordered, disjoint and inside the vocabulary.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("vocabulary: {what}")));
        if self.streams == 0 || self.audio.len() != self.streams {
            return fail(format!("{} streams but {} audio blocks", self.streams, self.audio.len()));
        }
        if self.text.start >= self.text.end {
            return fail(format!("the text interval {:?} is empty", self.text));
        }
        let mut end = self.text.end;
        for (stream, block) in self.audio.iter().enumerate() {
            if block.start < end || block.end < block.start.saturating_add(2) {
                return fail(format!("the audio block {block:?} of stream {stream} overlaps, or holds no code"));
            }
            end = block.end;
        }
        if end as usize > self.size {
            return fail(format!("ids go up to {end}, but the size is {}", self.size));
        }
        let s = &self.special;
        if s.pad != 0 {
            return fail(format!("pad is {}; expected 0", s.pad));
        }
        let special = [s.pad, s.bos, s.eos, s.eot, s.system, s.user, s.assistant, s.text, s.audio, s.speech];
        match special.iter().find(|id| **id >= self.text.start) {
            Some(id) => fail(format!("the special id {id} is not below the text ids")),
            None => Ok(()),
        }
    }

    /// Number of codes in every codebook: the smallest block's length without its pad.
    pub fn codebook_size(&self) -> usize {
        self.audio.iter().map(|block| block.len().saturating_sub(1)).min().unwrap_or(0)
    }

    /// Whether `id` ends a segment.
    pub fn closes(&self, id: TokenId) -> bool {
        id == self.special.eos || id == self.special.eot
    }
}
