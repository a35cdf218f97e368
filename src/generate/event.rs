//! What the caller sees while a reply is being made.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Segment;
use crate::audio::Waveform;
use crate::modality::Modality;

/// Why a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SegmentEnd {
    /// The model ended its turn.
    Eos,
    /// The model ended the segment; another one follows, unless the limit on segments forbids it.
    Eot,
    /// The limit on steps was reached.
    Limit,
    /// The model's context is full.
    Context,
    /// Stopped on request.
    Cancelled,
    /// An error came in between; it follows.
    Failed,
}

/// What it took to make a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Frames of the prompt.
    pub prompt_frames: usize,
    /// Frames generated, closing ones included.
    pub steps: usize,
}

/// Where the time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Seconds {
    /// Running prompts and segment openings.
    pub prefill: f64,
    /// Generating frames and decoding their sound.
    pub decode: f64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_frames += other.prompt_frames;
        self.steps += other.steps;
    }
}

impl AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.prefill += other.prefill;
        self.decode += other.decode;
    }
}

/// An event of a reply in the making.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A segment began.
    SegmentStarted {
        /// Its place in the reply, from 0.
        index: usize,
        /// What it is made of.
        modality: Modality,
    },
    /// More text of the current segment.
    TextDelta(String),
    /// The current sound segment grew to this many seconds, not yet decoded.
    AudioProgress {
        /// Seconds so far.
        seconds: f64,
    },
    /// The next samples of the current sound segment.
    AudioChunk(Waveform),
    /// A segment ended; here it is, whole.
    SegmentEnded {
        /// Its place in the reply, from 0.
        index: usize,
        /// The segment.
        segment: Segment,
    },
    /// The reply is complete, or was stopped.
    Finished {
        /// Frames read and written.
        usage: Usage,
        /// Time spent.
        seconds: Seconds,
    },
}
