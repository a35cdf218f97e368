//! Events of takes in progress, of a plain reply or of a stage of a chain.

use super::cost::StageCost;
use super::ranking::Ranked;
use crate::audio::Waveform;
use crate::chain::Stage;
use crate::generate::Segment;
use crate::modality::Modality;
use crate::record::Record;

/// A segment's position among the takes of a reply or a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentPosition {
    /// Index of the take, from 0.
    pub take: usize,
    /// Number of the segment in its reply, from 1; in a chain, number of the stage ([`Stages::number`](crate::Stages::number)).
    pub number: usize,
    /// The stage of a chain.
    pub stage: Option<Stage>,
    /// The segment's modality.
    pub modality: Modality,
}

/// An event of takes in progress. Takes that are made at once interleave their events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TakeEvent<'a> {
    /// A stage of a chain begins, at this cost.
    StageStarted(StageCost),
    /// A segment began.
    SegmentStarted(SegmentPosition),
    /// More text of a segment.
    TextDelta(SegmentPosition, String),
    /// A sound segment grew to this many seconds, not yet decoded.
    AudioProgress(SegmentPosition, f64),
    /// The next samples of a sound segment, without the package's enhancer.
    AudioChunk(SegmentPosition, Waveform),
    /// A segment ended.
    SegmentEnded {
        /// The segment's position.
        position: SegmentPosition,
        /// The segment.
        segment: &'a Segment,
        /// The sound, enhanced if the package has an enhancer; `None` for text.
        sound: Option<&'a Waveform>,
        /// The record of the take, which ends with this segment.
        record: &'a Record,
    },
    /// The transcript of a recording, in a spoken conversation.
    Heard(&'a str),
    /// All takes are made, and the model begins to listen to them.
    RankingStarted,
    /// The model has listened to a take.
    Ranked(&'a Ranked),
}
