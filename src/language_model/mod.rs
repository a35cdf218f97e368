//! The language model: tokens to logits, one position after another, on a state that the graphs keep outside themselves.
//!
//! The generation loop sees it through one object-safe trait, [`Sequence`].

mod batch;
mod body;
mod cache;
mod embedding;
mod graphs;
mod head;
mod single;

pub(crate) use batch::Batch;
pub(crate) use graphs::LanguageModel;
pub(crate) use head::HeadId;
pub(crate) use single::SingleSequence;

use crate::cancel::Cancel;
use crate::error::Result;
use crate::prompt::FeatureSlot;
use crate::token::{TokenId, Tokens};

/// A sequence that grows, with the state that the language model keeps of it, and under guidance a second, unconditional
/// sequence beside it.
///
/// `Send`, so that a generation may be carried on by another thread.
pub(crate) trait Sequence: Send {
    /// Positions that the state holds.
    fn position(&self) -> usize;

    /// The most positions that it can hold.
    fn max_positions(&self) -> usize;

    /// Reserves capacity for `positions`, so that steps up to it do not allocate.
    fn reserve(&mut self, positions: usize) -> Result<()>;

    /// The state as it is now, to go back to.
    fn mark(&self) -> StateMark;

    /// Goes back to `mark`, which was made of this sequence and not undone by going back further.
    fn rewind(&mut self, mark: &StateMark);

    /// Another sequence that stands at `mark`.
    fn fork(&mut self, mark: &StateMark) -> Result<Box<dyn Sequence>>;

    /// Appends `tokens`, the embeddings in `features`' places replaced; not under guidance.
    ///
    /// Looks at `cancel` between chunks; on any error the state is what it was.
    fn prefill(&mut self, tokens: &Tokens, features: &[FeatureSlot], cancel: &Cancel) -> Result<()>;

    /// Appends one position, to both sequences under guidance. On an error the state is what it was.
    fn step(&mut self, position: &[TokenId]) -> Result<()>;

    /// Begins the unconditional sequence with `prefix`, which is as long as the conditional one.
    fn begin_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()>;

    /// Drops the unconditional sequence.
    fn end_guidance(&mut self) -> Result<()>;

    /// Logits at the last position, a column for each id of `head`: one row, or two under guidance, the conditional one
    /// first.
    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]>;
}

/// A state to which a sequence can go back. Keys and values of attention are never changed once they are there, so their
/// number tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateMark {
    position: usize,
}

impl StateMark {
    /// The mark of an empty sequence.
    pub(crate) const START: Self = Self { position: 0 };

    pub(crate) fn at(position: usize) -> Self {
        Self { position }
    }

    /// Positions that the state held.
    pub(crate) fn position(&self) -> usize {
        self.position
    }
}

/// The beginning of an unconditional sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prefix<'a> {
    /// Pads, as many as the conditional sequence has positions.
    Pads,
    /// Tokens of a prompt.
    Tokens(&'a Tokens),
}

impl Prefix<'_> {
    /// Refuses a prefix that is not as long as the conditional sequence.
    pub(crate) fn check(&self, position: usize) -> Result<()> {
        use crate::error::{Error, ErrorKind};
        match self {
            Self::Tokens(tokens) if tokens.len() != position => {
                let what = format!("the unconditional prompt has {} positions; expected {position}", tokens.len());
                Err(Error::new(ErrorKind::Invalid, what))
            }
            _ => Ok(()),
        }
    }
}
