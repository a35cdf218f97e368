//! A place in a conversation where the model takes the word, to which replies can come back.

use super::parts::Offer;
use crate::modality::Modality;
use crate::token::Frames;

/// A place where the model may open a segment: the prompt has been run, and perhaps some segments of the reply.
///
/// Any number of replies can be made from it ([`Session::generate_from`](crate::Session::generate_from)), and what was
/// run is not run again.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Names the place within its session.
    pub(crate) place: u64,
    /// Positions in the cache, `[assistant]` being the last.
    pub(crate) position: usize,
    /// What the model would open there.
    pub(crate) offered: Vec<Offer>,
    /// Segments of the reply before it.
    pub(crate) opened: usize,
    /// Random numbers drawn before it.
    pub(crate) draws: u64,
    /// The segment to open there, and its first frames.
    pub(crate) kept: Option<(Modality, Frames)>,
    /// Frames of the reply's prompt.
    pub(crate) prompt_frames: usize,
    /// Seconds it took to get there.
    pub(crate) prefill: f64,
}

impl Checkpoint {
    /// Positions of the conversation up to there.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Segments of the reply before it: the next one has this number.
    pub fn segments(&self) -> usize {
        self.opened
    }

    /// The same place with the segment's first frames given: those of `modality`, without a closing one.
    pub fn with_kept(mut self, modality: Modality, frames: Frames) -> Self {
        self.kept = Some((modality, frames));
        self
    }
}
