//! Records: conversations as data, with everything needed to continue from any segment or to reproduce it
//! (`docs/reply.md`).

mod check;
mod features;
mod json;
mod wav;

use serde::{Deserialize, Serialize};

use crate::chain::{Chain, ChainRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{GenerationConfig, Segment};
use crate::modality::Modality;
use crate::model::Model;
use crate::package::Package;
use crate::prompt::{Message, Prompt, Role};

pub use wav::{holds_samples, wav_format};

/// A conversation, with the identity of its package.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The program that wrote the record.
    pub producer: String,
    /// The package that generated the replies.
    pub package: PackageId,
    /// The reasoning chain of the conversation, if it is one.
    pub chain: Option<Chain>,
    /// The request of a chain by prompt.
    pub request: Option<ChainRequest>,
    /// The turns, in order; all but the last have segments.
    pub turns: Vec<Turn>,
}

/// The identity of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageId {
    /// Name of the package.
    pub name: String,
    /// SHA-256 of the manifest, which has the sums of all other files; lower-case hexadecimal digits.
    pub sha256: String,
}

impl PackageId {
    /// Returns the identity of `package`.
    pub fn of(package: &Package) -> Self {
        Self { name: package.manifest().name.clone(), sha256: package.sha256().to_owned() }
    }
}

/// A prompt and the reply to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Turn {
    /// The prompt's messages, for people; replies depend on the tokens of `prompt` alone.
    pub messages: Vec<RecordedMessage>,
    /// The prompt in tokens and features.
    pub prompt: Prompt,
    /// The settings of the reply.
    pub config: GenerationConfig,
    /// The reply, without its decoded sound.
    pub segments: Vec<Segment>,
    /// `true` if the turn begins a new conversation: the turns before it are not in the model's context.
    pub begins: bool,
}

/// A message of a prompt, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedMessage {
    /// Role of the speaker.
    pub role: String,
    /// Modality of the content.
    #[serde(rename = "type")]
    pub modality: Modality,
    /// The text of a text message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Length of a sound, in seconds.
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

/// A cut through a record: before position `position` of segment `segment` of turn `turn`, all counted from 0.
///
/// The segment may be the one after the last of its turn, and the position the one after the last of its segment. The
/// position that ends a segment does not count, so that a cut there reopens the segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "three indices name a position of a record")]
pub struct Cut {
    /// Index of the turn.
    pub turn: usize,
    /// Index of the segment in its turn.
    pub segment: usize,
    /// Index of the position in its segment.
    pub position: usize,
}

impl Record {
    /// Creates an empty record.
    pub fn new(package: &Package) -> Self {
        let producer = format!("ualm {}", env!("CARGO_PKG_VERSION"));
        Self { producer, package: PackageId::of(package), chain: None, request: None, turns: Vec::new() }
    }

    /// Adds a turn without segments.
    pub fn begin_turn(&mut self, messages: &[Message], prompt: &Prompt, config: &GenerationConfig) {
        self.turns.push(Turn {
            messages: messages.iter().map(RecordedMessage::from).collect(),
            prompt: prompt.clone(),
            config: config.clone(),
            segments: Vec::new(),
            begins: false,
        });
    }

    /// Adds a turn without segments whose prompt begins a new conversation.
    pub fn begin_conversation(&mut self, messages: &[Message], prompt: &Prompt, config: &GenerationConfig) {
        self.begin_turn(messages, prompt, config);
        let is_first = self.turns.len() == 1;
        if let Some(turn) = self.turns.last_mut() {
            turn.begins = !is_first;
        }
    }

    /// Returns the index of the turn that begins the conversation which the turn at `turn` belongs to.
    pub(crate) fn beginning_of(&self, turn: usize) -> usize {
        self.turns.iter().take(turn.saturating_add(1)).rposition(|turn| turn.begins).unwrap_or_default()
    }

    /// Adds `segment` to the last turn, if there is one, without its decoded sound.
    pub fn push(&mut self, segment: &Segment) {
        if let Some(turn) = self.turns.last_mut() {
            turn.segments.push(segment.without_sound());
        }
    }

    /// Returns the cut before segment `segment` of the last turn.
    pub fn before_segment(&self, segment: usize) -> Cut {
        Cut { turn: self.turns.len().saturating_sub(1), segment, position: 0 }
    }

    /// Returns the last segment of the record, and the cut before its first sampled position.
    pub fn last_segment(&self) -> Option<(&Segment, Cut)> {
        let turn = self.turns.len().checked_sub(1)?;
        let segments = &self.turns.last()?.segments;
        let segment = segments.len().checked_sub(1)?;
        let last = segments.last()?;
        Some((last, Cut { turn, segment, position: last.kept }))
    }

    /// Returns the seed of the segment at `cut`, or of the last one before it; 0 when there is none.
    pub fn seed_at(&self, cut: Cut) -> u64 {
        let segments = self.turns.iter().take(cut.turn + 1).enumerate().flat_map(|(index, turn)| {
            let max = if index == cut.turn { cut.segment + 1 } else { turn.segments.len() };
            turn.segments.iter().take(max)
        });
        segments.last().map_or(0, |segment| segment.draws.seed)
    }

    /// Returns the part of the record before `cut`, in whole segments.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the record has no such turn, segment or position.
    pub fn before(&self, cut: Cut) -> Result<Record> {
        self.turn_at(cut)?;
        let mut before = self.clone();
        before.turns.truncate(cut.turn + 1);
        if let Some(turn) = before.turns.last_mut() {
            turn.segments.truncate(cut.segment);
        }
        Ok(before)
    }

    /// Returns a record of the last `count` turns only, with the tokens that begin a conversation with `model`.
    ///
    /// # Errors
    /// The tokenizer fails on these tokens.
    pub fn last_turns(&self, count: usize, model: &Model) -> Result<Record> {
        let mut record = self.clone();
        record.turns.drain(..self.turns.len().saturating_sub(count));
        let gives_system =
            |turn: &Turn| turn.messages.first().is_some_and(|message| message.role == Role::System.name());
        if let Some(first) = record.turns.first_mut().filter(|turn| !gives_system(turn)) {
            let begin = model.rules().begin(&first.prompt)?;
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
            return fail(format!("turn {} was requested; the record has {}", cut.turn, self.turns.len()));
        };
        let count = turn.segments.len();
        if cut.segment > count {
            return fail(format!("segment {} was requested; expected 0..={count}, 0 being the first", cut.segment));
        }
        let positions = turn.segments.get(cut.segment).map_or(0, Segment::content_len);
        if cut.position > positions {
            return fail(format!(
                "position {} of segment {} was requested; it has {positions}",
                cut.position, cut.segment
            ));
        }
        Ok(turn)
    }
}
