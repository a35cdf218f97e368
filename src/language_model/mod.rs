//! The language model: tokens to logits, one position after another, on a state kept outside the graphs.
//!
//! The generation loop uses the language model through one object-safe trait, [`Sequence`].

mod batch;
mod body;
mod bound;
mod embedding;
mod graphs;
mod head;
mod pieces;
mod ports;
mod prefill;
mod rotary;
mod single;

pub(crate) use batch::Batch;
pub(crate) use graphs::LanguageModel;
pub(crate) use head::HeadId;
pub(crate) use single::SingleSequence;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::FeatureSlot;
use crate::token::{TokenId, Tokens};

/// A growing sequence with its language-model state, and, under guidance, a second, unconditional sequence.
///
/// The trait is `Send` so that another thread can continue a generation.
pub(crate) trait Sequence: Send {
    /// Returns the number of positions in the state.
    fn position(&self) -> usize;

    /// Returns the maximum number of positions of the state.
    fn max_positions(&self) -> usize;

    /// Reserves capacity for `positions`, so that steps up to it do not allocate.
    fn reserve(&mut self, positions: usize) -> Result<()>;

    /// Returns a mark of the current state, for [`rewind`](Self::rewind).
    fn mark(&self) -> StateMark;

    /// Rewinds to `mark`, a mark of this sequence whose state no rewind has removed.
    fn rewind(&mut self, mark: &StateMark);

    /// Returns a new sequence with the state at `mark`.
    fn fork(&mut self, mark: &StateMark) -> Result<Box<dyn Sequence>>;

    /// Appends `tokens`, with embeddings replaced by `features` at their positions; not allowed under guidance.
    ///
    /// Checks `cancel` between chunks. On any error the state is unchanged.
    fn prefill(&mut self, tokens: &Tokens, features: &[FeatureSlot], cancel: &Cancel) -> Result<()>;

    /// Appends one position, under guidance to both sequences. On an error the state is unchanged.
    fn step(&mut self, position: &[TokenId]) -> Result<()>;

    /// Runs the beginning of the unconditional sequence, which must be as long as the conditional sequence, so that guidance
    /// can begin at once, in this sequence and in its forks. The same beginning is not run twice.
    fn prepare_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()>;

    /// Begins the unconditional sequence with `prefix`; runs what [`prepare_guidance`](Self::prepare_guidance) has not run.
    fn begin_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()>;

    /// Drops the unconditional sequence.
    fn end_guidance(&mut self) -> Result<()>;

    /// Returns the logits at the last position, a column for each id of `head`: one row, or two under guidance, the
    /// conditional one first.
    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]>;
}

/// A state to which a sequence can be rewound. Keys and values of attention do not change once written, so that the number of
/// positions identifies a state.
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

    /// Returns the number of positions in the state.
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
    Tokens {
        tokens: &'a Tokens,
        /// Number of first positions that equal those of the conditional sequence.
        shared: usize,
    },
}

/// Tokens that the unconditional row of a sequence begins with.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    tokens: Tokens,
    /// Number of first positions that were copied from the conditional sequence. Computed beside other positions, their keys
    /// and values may be rounded differently.
    shared: usize,
}

impl Prepared {
    pub(crate) fn new(tokens: &Tokens, shared: usize) -> Self {
        Self { tokens: tokens.clone(), shared }
    }

    /// Returns whether a run of `tokens`, with `shared` first positions copied, gives the same keys and values.
    pub(crate) fn is_for(&self, tokens: &Tokens, shared: usize) -> bool {
        self.shared == shared && self.tokens == *tokens
    }

    /// Returns the number of positions.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }
}

impl Prefix<'_> {
    /// Checks that the prefix is as long as the conditional sequence.
    pub(crate) fn check(&self, position: usize) -> Result<()> {
        match self {
            Self::Tokens { tokens, .. } if tokens.len() != position => {
                let what = format!("the unconditional prompt has {} positions; expected {position}", tokens.len());
                Err(Error::new(ErrorKind::Invalid, what))
            }
            _ => Ok(()),
        }
    }
}
