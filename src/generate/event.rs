//! The events of a generation.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Segment;
use crate::audio::Waveform;
use crate::modality::Modality;

/// The reason why a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SegmentEnd {
    /// The model ended its turn.
    Eos,
    /// The model ended the segment; another segment follows, within the limit on segments.
    Eot,
    /// The limit on steps was reached.
    Limit,
    /// The model's context is full.
    Context,
    /// The generation was cancelled.
    Cancelled,
    /// A step failed; the error follows.
    Failed,
}

/// The number of positions that a reply took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Positions of the prompt.
    #[serde(rename = "prompt_frames")]
    pub prompt_positions: usize,
    /// Positions generated, ends of segments included.
    pub steps: usize,
}

/// The time that a reply took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Seconds {
    /// Running prompts and segment openings.
    pub prefill: f64,
    /// Generating positions and decoding their sound.
    pub decode: f64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_positions += other.prompt_positions;
        self.steps += other.steps;
    }
}

impl AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.prefill += other.prefill;
        self.decode += other.decode;
    }
}

/// An event of a generation.
///
/// The order of events does not depend on speed: the same settings on the same machine give the same events in the same
/// order. All events of a segment are between its `SegmentStarted` and its `SegmentEnded`. Sound may be decoded beside the
/// steps; a piece follows after a fixed number of further frames, the first piece of a streamed segment at once, and the
/// last before `SegmentEnded`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A segment began.
    SegmentStarted {
        /// Index of the segment in the reply.
        index: usize,
        /// Modality of the segment.
        modality: Modality,
    },
    /// More text of the current segment.
    TextDelta(String),
    /// The current sound segment grew; its sound may not be decoded yet.
    AudioProgress {
        /// Length of the sound so far, in seconds.
        seconds: f64,
    },
    /// The next samples of the current sound segment; the concatenated chunks of a segment are its sound.
    AudioChunk(Waveform),
    /// A segment ended.
    SegmentEnded {
        /// Index of the segment in the reply.
        index: usize,
        /// The complete segment.
        segment: Segment,
    },
    /// The reply is complete, or was cancelled.
    Finished {
        /// Positions read and generated.
        usage: Usage,
        /// Time spent.
        seconds: Seconds,
    },
}
