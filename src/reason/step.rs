//! The results of a chain's stages.

use super::event::SegmentPosition;
use crate::audio::Waveform;
use crate::error::Error;
use crate::generate::Segment;

/// The result of a stage.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainStep {
    /// A segment was made.
    Segment(Box<ChainSegment>),
    /// The last draft was given to the audio encoder.
    Heard,
    /// The model has asked a question; the chain continues after [`ChainRunner::answer`](crate::ChainRunner::answer).
    Question,
    /// All stages are done.
    Finished,
}

/// A segment of a chain.
#[derive(Debug)]
#[non_exhaustive]
pub struct ChainSegment {
    /// The segment's position, with the take that was chosen.
    pub position: SegmentPosition,
    /// The segment.
    pub segment: Segment,
    /// The sound, enhanced if the package has an enhancer; `None` for text.
    pub sound: Option<Waveform>,
    /// The reason why the chain cannot continue after the segment; `None` if it can.
    pub stop: Option<ChainStop>,
}

/// The reason why a chain cannot continue. Its record holds all segments so far, and the chain can be resumed from it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainStop {
    /// Stopped on request.
    Cancelled,
    /// The model's context is full.
    Context,
    /// The segment, or another take of it, failed.
    Failed(Error),
    /// All takes were made, but not ranked.
    NotRanked(Error),
}
