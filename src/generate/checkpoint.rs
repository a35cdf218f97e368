//! A place in a conversation at which the model continues, and to which replies can come back.

use super::conversation::Next;
use crate::language_model::StateMark;
use crate::modality::Modality;
use crate::token::Tokens;

/// A place in a conversation where the model may open a segment: the prompt has been run, and perhaps some segments of the
/// reply.
///
/// Any number of replies can be made from it ([`Session::generate_from`](crate::Session::generate_from)), and what was
/// run is not run again.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Names the place within its session.
    pub(crate) id: u64,
    /// The state of the sequence.
    pub(crate) state: StateMark,
    /// What may follow.
    pub(crate) next: Next,
    /// Segments of the reply before it.
    pub(crate) opened: usize,
    /// Random numbers drawn before it.
    pub(crate) draws: u64,
    /// The segment to open there, and its first positions.
    pub(crate) kept: Option<(Modality, Tokens)>,
    /// Positions of the reply's prompt.
    pub(crate) prompt_frames: usize,
    /// Seconds it took to get there.
    pub(crate) prefill: f64,
}

impl Checkpoint {
    /// Positions of the conversation before it.
    pub fn position(&self) -> usize {
        self.state.position()
    }

    /// Segments of the reply before it: the next one has this number.
    pub fn segments(&self) -> usize {
        self.opened
    }

    /// The same checkpoint with the first positions of the next segment given: tokens of a segment of `modality`, without
    /// its opener. They are checked when a reply is made from the checkpoint.
    pub fn with_kept(mut self, modality: Modality, tokens: Tokens) -> Self {
        self.kept = Some((modality, tokens));
        self
    }
}
