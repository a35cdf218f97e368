//! The space of token ids, as the manifest describes it.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::{Interval, TokenId, Tokens};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of ids of a position.
const MAX_WIDTH: usize = 1 << 10;

/// The maximum number of ids of a vocabulary.
const MAX_IDS: usize = 1 << 26;

/// The space of token ids: their number, the number in a position, and the ids of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Vocabulary {
    /// Number of ids, from 0.
    pub size: usize,
    /// Number of ids in a position.
    pub width: usize,
    /// The id whose embedding is zero, for the unused columns of a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<TokenId>,
    /// The ids of the tokenizer's tokens.
    pub text: TextIds,
}

/// The ids of the tokenizer's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TextIds {
    /// Token `t` of the tokenizer is the id `ids.start + t`.
    pub ids: Interval,
    /// `true` if the tokenizer's id 0 becomes the pad in a prompt, as in UALM's trainer
    /// (`np.where(seq == pad, pad, seq + offset)`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_is_pad: bool,
}

impl Vocabulary {
    pub(crate) fn new(size: usize, width: usize, pad: Option<TokenId>, text: TextIds) -> Self {
        Self { size, width, pad, text }
    }

    /// Checks that the sizes are in range, and the ids in the vocabulary.
    pub(crate) fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("tokens: {what}")));
        for (name, size, max) in [("size", self.size, MAX_IDS), ("width", self.width, MAX_WIDTH)] {
            if !(1..=max).contains(&size) {
                return fail(format!("{name} is {size}; expected 1..={max}"));
            }
        }
        let Interval { start, end } = self.text.ids;
        if start >= end || end as usize > self.size {
            return fail(format!("text.ids is [{start}, {end}]; expected an interval within 0..{}", self.size));
        }
        match self.pad {
            Some(pad) if pad as usize >= self.size => fail(format!("pad is {pad}; expected 0..{}", self.size)),
            None if self.width > 1 => fail(format!("no pad, but a position has {} ids", self.width)),
            None if self.text.zero_is_pad => fail("no pad, but text.zero_is_pad is set".into()),
            _ => Ok(()),
        }
    }

    /// Returns an empty list of positions of this width.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(self.non_zero_width())
    }

    /// Returns the number of ids in a position, which is at least 1 in a validated vocabulary.
    pub(crate) fn non_zero_width(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.width).unwrap_or(NonZeroUsize::MIN)
    }

    /// Returns the id for the unused columns of a position; without meaning if a position has one column.
    pub(crate) fn filler(&self) -> TokenId {
        self.pad.unwrap_or(0)
    }

    /// Checks that `tokens` have this width, and no ids outside the vocabulary.
    pub(crate) fn check(&self, tokens: &Tokens) -> Result<()> {
        if tokens.width() != self.width {
            let what = format!("positions of {}; this model's have {}", counted(tokens.width(), "id"), self.width);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        match tokens.ids().iter().find(|id| **id as usize >= self.size) {
            None => Ok(()),
            Some(id) => Err(Error::new(ErrorKind::Invalid, format!("the id {id}; expected ids below {}", self.size))),
        }
    }
}
