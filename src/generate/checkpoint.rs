//! A checkpoint: a point in a conversation from which any number of replies can be generated.

use super::conversation::Next;
use super::point::Point;
use crate::modality::Modality;
use crate::token::Tokens;

/// A point in a conversation at which the model may open a segment: after the prompt, or after some segments of the
/// reply.
///
/// Any number of replies can be generated from a checkpoint ([`Session::generate_from`](crate::Session::generate_from))
/// without running the conversation before it again.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The point, after everything before the segment was run.
    pub(crate) point: Point,
    /// The continuation of the conversation.
    pub(crate) next: Next,
    /// Number of segments of the reply before the checkpoint.
    pub(crate) opened: usize,
    /// Number of random numbers drawn before the checkpoint.
    pub(crate) draws: u64,
    /// The modality and the first positions of the segment to open, if given.
    pub(crate) kept: Option<(Modality, Tokens)>,
    /// Positions of the reply's prompt.
    pub(crate) prompt_positions: usize,
    /// Seconds spent on reaching the checkpoint.
    pub(crate) prefill: f64,
}

impl Checkpoint {
    /// Returns the number of positions of the conversation before the checkpoint.
    pub fn position(&self) -> usize {
        self.point.state.position()
    }

    /// Returns the number of segments of the reply before the checkpoint, which is the index of the next segment.
    pub fn segments(&self) -> usize {
        self.opened
    }

    /// Sets the first positions of the next segment: `tokens` of a segment of `modality`, without its opener. A reply
    /// from the checkpoint checks them.
    pub fn with_kept(mut self, modality: Modality, tokens: Tokens) -> Self {
        self.kept = Some((modality, tokens));
        self
    }
}
