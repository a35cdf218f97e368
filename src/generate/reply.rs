//! A finished reply.

use serde::{Deserialize, Serialize};

use super::{Seconds, SegmentEnd, Usage};
use crate::audio::Waveform;
use crate::count::counted;
use crate::modality::{Modality, SegmentConfig};
use crate::token::{Layout, Tokens};

/// The random numbers of a segment, which reproduce it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Draws {
    /// Seed of the generator.
    pub seed: u64,
    /// Number of draws before the segment.
    pub from: u64,
    /// Number of draws up to the end of the segment.
    pub to: u64,
}

/// One segment of a reply: text, or sound.
///
/// A [`Record`](crate::Record) holds its segments without their decoded sound, which the tokens determine. Only such a
/// segment can name a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Segment {
    /// Modality of the segment.
    pub modality: Modality,
    /// The reason why the segment ended.
    pub end: SegmentEnd,
    /// The tokens after the opener, the end included.
    pub tokens: Tokens,
    /// The text of a text segment; empty for sound.
    pub text: String,
    /// The sound of a sound segment, empty if the segment is too short; `None` for text, and in a record.
    pub audio: Option<Waveform>,
    /// Number of leading positions supplied by the caller rather than sampled.
    pub kept: usize,
    /// The settings of the segment.
    pub config: SegmentConfig,
    /// The random numbers of the segment.
    pub draws: Draws,
    /// Name of the file beside the record with the segment's content, if one was written.
    pub file: Option<String>,
    /// The geometric mean of the probabilities of the drawn tokens of a text segment, each in the softmax of its logits
    /// (guided, if the segment is). `None` unless [`Generation::with_confidence`](super::Generation::with_confidence)
    /// requested it, for sound, and in a record.
    pub confidence: Option<f64>,
}

/// The largest magnitude of a sample that counts as silence: −80 dB.
const SILENCE: f32 = 1e-4;
/// A sound is doubtful if more than one code in this many is missing: small models omit a few where a stream begins and
/// ends.
const CODES_TO_A_HOLE: usize = 20;

impl Segment {
    /// Returns a copy for a record: without the sound.
    pub(crate) fn without_sound(&self) -> Self {
        Self {
            modality: self.modality,
            end: self.end,
            tokens: self.tokens.clone(),
            text: self.text.clone(),
            audio: None,
            kept: self.kept,
            config: self.config,
            draws: self.draws,
            file: self.file.clone(),
            confidence: None,
        }
    }

    /// Returns the number of random numbers drawn before the position `index`.
    pub(crate) fn draws_at(&self, index: usize, layout: &Layout) -> u64 {
        let drawn = layout.draws(index.saturating_sub(self.kept), self.config.temperature);
        self.draws.from.saturating_add(drawn)
    }

    /// Returns the number of positions before the end of the segment.
    pub fn content_len(&self) -> usize {
        self.tokens.len() - usize::from(matches!(self.end, SegmentEnd::Eos | SegmentEnd::Eot))
    }

    /// Returns the number of positions of a sound before its run-out, in which no new frame begins: positions that
    /// complete delayed codebooks, or an incomplete frame.
    pub fn sounding_len(&self, layout: &Layout) -> usize {
        layout.sounding_len(&self.tokens)
    }

    /// Returns descriptions of the defects of a sound: no samples, silence, more than one code in twenty missing, or more
    /// than one token in twenty that is not a code. `layout` is the layout of the segment's modality
    /// ([`Model::layout`](crate::Model::layout)).
    pub fn doubts(&self, layout: &Layout) -> Vec<String> {
        let Some(sound) = &self.audio else { return Vec::new() };
        if sound.is_empty() {
            return vec![format!("the clip is empty: {}; try another seed or prompt", self.why_empty(layout))];
        }
        let mut doubts = Vec::new();
        if sound.channels().iter().flatten().all(|sample| sample.abs() <= SILENCE) {
            doubts.push(format!("the sound is silent: all {} samples are below −80 dB", sound.len()));
        }
        let holes = layout.holes(&self.tokens);
        let codes = layout.frames(&self.tokens) * layout.books();
        if layout.skips() {
            let all = codes + holes;
            if holes * CODES_TO_A_HOLE > all {
                doubts.push(format!("{holes} of the {all} tokens are not codes; the sound is decoded from the rest"));
            }
        } else if holes * CODES_TO_A_HOLE > codes {
            doubts.push(format!("the model left out {holes} of {codes} codes; they are decoded as code 0"));
        }
        doubts
    }

    /// Explains why the sound has no samples.
    fn why_empty(&self, layout: &Layout) -> String {
        let steps = counted(self.tokens.len(), "step");
        let least = layout.steps_for(1);
        let has_ended = matches!(self.end, SegmentEnd::Eos | SegmentEnd::Eot | SegmentEnd::Limit);
        if !has_ended || layout.frames(&self.tokens) > 0 {
            format!("{steps} without decoded sound")
        } else if layout.skips() {
            format!("the model made {steps}, without a code")
        } else {
            format!("the model ended after {steps}, and it takes {least} to make the first frame")
        }
    }
}

/// A reply: its segments in order, and their cost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reply {
    /// The segments.
    pub segments: Vec<Segment>,
    /// Positions read and generated.
    pub usage: Usage,
    /// Time spent.
    pub seconds: Seconds,
}

impl Reply {
    /// Returns the concatenated text of all text segments, without thoughts.
    pub fn text(&self) -> String {
        self.segments.iter().filter(|s| s.modality == Modality::Text).map(|s| s.text.as_str()).collect()
    }

    /// Returns the sound of the last sound segment.
    pub fn audio(&self) -> Option<&Waveform> {
        self.segments.iter().rev().find_map(|s| s.audio.as_ref())
    }

    /// Returns whether the reply was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.segments.last().is_some_and(|s| s.end == SegmentEnd::Cancelled)
    }
}
