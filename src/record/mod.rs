//! A conversation as data: everything needed to go on from any of its segments, or to make one again
//! (`docs/reply.md`).

mod check;
mod features;
mod json;
mod wav;

use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Draws, GenerationConfig, Segment, SegmentEnd};
use crate::modality::{Modality, SegmentConfig};
use crate::model::Model;
use crate::package::Package;
use crate::prompt::{Message, Prompt};
use crate::token::{Layout, Tokens};

pub use wav::{holds_samples, wav_format};

/// A conversation, with the package that made it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The program that wrote it.
    pub producer: String,
    /// The package that made it.
    pub package: PackageId,
    /// The chain of reasoning that it is a part of.
    pub chain: Option<Chain>,
    /// The turns, in order; all but the last one have segments.
    pub turns: Vec<Turn>,
}

/// The identity of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageId {
    /// Its name.
    pub name: String,
    /// SHA-256 of its manifest, which holds the sums of all its files; lower-case hexadecimal digits.
    pub sha256: String,
}

impl PackageId {
    /// The identity of `package`.
    pub fn of(package: &Package) -> Self {
        Self { name: package.manifest().name.clone(), sha256: package.sha256().to_owned() }
    }
}

/// A prompt and the reply to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Turn {
    /// The prompt's messages, for people; its tokens are what counts.
    pub messages: Vec<RecordedMessage>,
    /// The prompt as the model read it.
    pub prompt: Prompt,
    /// How the reply was generated.
    pub config: GenerationConfig,
    /// The reply.
    pub segments: Vec<RecordedSegment>,
}

/// A message of a prompt, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedMessage {
    /// Who speaks.
    pub role: String,
    /// What it is made of.
    #[serde(rename = "type")]
    pub modality: Modality,
    /// Words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Seconds of sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl From<&Message> for RecordedMessage {
    fn from(message: &Message) -> Self {
        use crate::prompt::Content;
        let (modality, text, seconds) = match &message.content {
            Content::Text(text) => (Modality::Text, Some(text.clone()), None),
            Content::Audio(sound) => (Modality::Audio, None, Some(sound.seconds())),
            Content::Speech(sound) => (Modality::Speech, None, Some(sound.seconds())),
        };
        Self { role: message.role.name().to_owned(), modality, text, seconds }
    }
}

/// A segment without its sound, which its frames hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedSegment {
    /// What it is made of.
    pub modality: Modality,
    /// Why it ended.
    pub end: SegmentEnd,
    /// Its tokens after the opener, the end included.
    pub tokens: Tokens,
    /// Number of its leading positions that were given rather than drawn.
    pub kept: usize,
    /// The settings it was made with.
    pub config: SegmentConfig,
    /// The random numbers it took.
    pub draws: Draws,
    /// The text of a text segment; empty for sound.
    pub text: String,
    /// The file beside the record that holds it.
    pub file: Option<String>,
}

impl From<&Segment> for RecordedSegment {
    fn from(segment: &Segment) -> Self {
        Self {
            modality: segment.modality,
            end: segment.end,
            tokens: segment.tokens.clone(),
            kept: segment.kept,
            config: segment.config,
            draws: segment.draws,
            text: segment.text.clone(),
            file: None,
        }
    }
}

impl RecordedSegment {
    /// Random numbers drawn before the position `index`.
    pub(crate) fn draws_at(&self, index: usize, layout: &Layout) -> u64 {
        let drawn = layout.draws(index.saturating_sub(self.kept), self.config.temperature);
        self.draws.from.saturating_add(drawn)
    }

    /// Positions before the one that ends it.
    pub fn content_len(&self) -> usize {
        self.tokens.len() - usize::from(matches!(self.end, SegmentEnd::Eos | SegmentEnd::Eot))
    }

    /// Positions of a sound before its run-out, in which no new frame begins: delayed codebooks that finish, or a frame
    /// that was not finished.
    pub fn sounding_len(&self, layout: &Layout) -> usize {
        layout.sounding_len(&self.tokens)
    }
}

/// A cut through a record: before position `frame` of segment `segment` of turn `turn`, all from 0.
///
/// A segment may be the one that follows the last, a position the one that follows a segment's last; the end of a segment
/// counts for none, so that a cut there opens the segment again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The turn.
    pub turn: usize,
    /// The segment within its turn.
    pub segment: usize,
    /// The position within its segment.
    pub frame: usize,
}

impl Record {
    /// An empty one.
    pub fn new(package: &Package) -> Self {
        let producer = format!("ualm {}", env!("CARGO_PKG_VERSION"));
        Self { producer, package: PackageId::of(package), chain: None, turns: Vec::new() }
    }

    /// Adds a turn that has no segments yet.
    pub fn begin_turn(&mut self, messages: &[Message], prompt: &Prompt, config: &GenerationConfig) {
        self.turns.push(Turn {
            messages: messages.iter().map(RecordedMessage::from).collect(),
            prompt: prompt.clone(),
            config: config.clone(),
            segments: Vec::new(),
        });
    }

    /// Adds `segment` to the last turn, if there is one.
    pub fn push(&mut self, segment: &Segment) {
        if let Some(turn) = self.turns.last_mut() {
            turn.segments.push(segment.into());
        }
    }

    /// The place before segment `segment` of the last turn.
    pub fn before_segment(&self, segment: usize) -> Cut {
        Cut { turn: self.turns.len().saturating_sub(1), segment, frame: 0 }
    }

    /// The last segment of all, and the cut before the first of its positions that was drawn.
    pub fn last_segment(&self) -> Option<(&RecordedSegment, Cut)> {
        let turn = self.turns.len().checked_sub(1)?;
        let segments = &self.turns.last()?.segments;
        let segment = segments.len().checked_sub(1)?;
        let last = segments.last()?;
        Some((last, Cut { turn, segment, frame: last.kept }))
    }

    /// Returns the seed of the segment at `cut`, or of the last one before it; 0 when there is none.
    pub fn seed_at(&self, cut: Cut) -> u64 {
        let segments = self.turns.iter().take(cut.turn + 1).enumerate().flat_map(|(index, turn)| {
            let most = if index == cut.turn { cut.segment + 1 } else { turn.segments.len() };
            turn.segments.iter().take(most)
        });
        segments.last().map_or(0, |segment| segment.draws.seed)
    }

    /// What was said and made before `cut`, whole segments only.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is no such place.
    pub fn before(&self, cut: Cut) -> Result<Record> {
        self.turn_at(cut)?;
        let mut before = self.clone();
        before.turns.truncate(cut.turn + 1);
        if let Some(turn) = before.turns.last_mut() {
            turn.segments.truncate(cut.segment);
        }
        Ok(before)
    }

    /// A conversation of the last `count` turns alone, which begins as every conversation with `model` does.
    ///
    /// # Errors
    /// The beginning cannot be tokenized.
    pub fn last_turns(&self, count: usize, model: &Model) -> Result<Record> {
        let mut record = self.clone();
        record.turns.drain(..self.turns.len().saturating_sub(count));
        if let Some(first) = record.turns.first_mut() {
            let begin = model.rules().begin(first.prompt.modality)?;
            first.prompt.begin(&begin);
        }
        Ok(record)
    }

    /// Returns the turn that `cut` is in.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the record has no such turn, segment or position.
    pub fn turn_at(&self, cut: Cut) -> Result<&Turn> {
        let fail = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        let Some(turn) = self.turns.get(cut.turn) else {
            return fail(format!("turn {} was asked for; the record has {}", cut.turn, self.turns.len()));
        };
        let count = turn.segments.len();
        if cut.segment > count {
            return fail(format!("segment {} was asked for; expected 0..={count}, 0 being the first", cut.segment));
        }
        let positions = turn.segments.get(cut.segment).map_or(0, RecordedSegment::content_len);
        if cut.frame > positions {
            return fail(format!(
                "position {} of segment {} was asked for; it has {positions}",
                cut.frame, cut.segment
            ));
        }
        Ok(turn)
    }
}
