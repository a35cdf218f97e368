//! A finished reply.

use serde::{Deserialize, Serialize};

use super::{Seconds, SegmentEnd, Usage};
use crate::audio::Waveform;
use crate::modality::{Modality, SegmentConfig};
use crate::token::{Layout, Tokens};

/// The random numbers that a segment took: with them it can be made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Draws {
    /// Seed of the generator.
    pub seed: u64,
    /// Numbers drawn before the segment.
    pub from: u64,
    /// Numbers drawn by its end.
    pub to: u64,
}

/// One segment of a reply: text, or sound.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Segment {
    /// What it is made of.
    pub modality: Modality,
    /// Why it ended.
    pub end: SegmentEnd,
    /// Its tokens after the opener, the end included.
    pub tokens: Tokens,
    /// The text of a text segment; empty for sound.
    pub text: String,
    /// The sound of a sound segment; without samples when the segment was too short to hold any.
    pub audio: Option<Waveform>,
    /// Number of its leading positions that were given rather than drawn.
    pub kept: usize,
    /// The settings it was made with.
    pub config: SegmentConfig,
    /// The random numbers it took.
    pub draws: Draws,
}

/// The loudest sample that still counts as silence: −80 dB.
const SILENCE: f32 = 1e-4;
/// One code in so many may be left out before a sound is doubtful: small models slip where a stream begins and ends.
const CODES_TO_A_HOLE: usize = 20;

impl Segment {
    /// Doubts about a sound, in sentences for a person: silence, and codes that the model left out if they are more than
    /// one in twenty. `layout` is that of the segment's modality ([`Model::layout`](crate::Model::layout)).
    pub fn doubts(&self, layout: &Layout) -> Vec<String> {
        let Some(sound) = self.audio.as_ref().filter(|sound| !sound.is_empty()) else { return Vec::new() };
        let mut doubts = Vec::new();
        if sound.channels().iter().flatten().all(|sample| sample.abs() <= SILENCE) {
            doubts.push(format!("the sound is silent: all {} samples are below −80 dB", sound.len()));
        }
        let (holes, codes) = (layout.holes(&self.tokens), layout.frames(&self.tokens) * layout.books());
        if holes * CODES_TO_A_HOLE > codes {
            doubts.push(format!("the model left out {holes} of {codes} codes; code 0 sounds in their place"));
        }
        doubts
    }
}

/// A reply: its segments in order, and what they took to make.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reply {
    /// The segments.
    pub segments: Vec<Segment>,
    /// Frames read and written.
    pub usage: Usage,
    /// Time spent.
    pub seconds: Seconds,
}

impl Reply {
    /// The text of all text segments, one after another.
    pub fn text(&self) -> String {
        self.segments.iter().map(|s| s.text.as_str()).collect()
    }

    /// The last sound segment's sound.
    pub fn audio(&self) -> Option<&Waveform> {
        self.segments.iter().rev().find_map(|s| s.audio.as_ref())
    }

    /// Whether it was stopped on request.
    pub fn is_cancelled(&self) -> bool {
        self.segments.last().is_some_and(|s| s.end == SegmentEnd::Cancelled)
    }
}
