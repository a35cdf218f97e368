//! The unconditional sequence of guidance, as tokens beside a conversation.

use super::rules::Rules;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::Prefix;
use crate::prompt::Unconditional;
use crate::token::{TokenId, Tokens};

/// The tokens of an unconditional sequence.
#[derive(Clone, Debug)]
pub(super) struct UnconditionalTokens {
    tokens: Tokens,
    /// Number of first positions that equal those of the conditional sequence.
    shared: usize,
}

impl UnconditionalTokens {
    /// Returns the tokens of an empty sequence; `None` if the package's template has none.
    pub fn begin(rules: &Rules) -> Option<Self> {
        rules.unconditional().map(|tokens| Self { tokens, shared: 0 })
    }

    /// Checks whether these are the tokens beside a conditional sequence of `position` positions.
    pub fn is_beside(&self, position: usize) -> bool {
        self.tokens.len() == position
    }

    /// Appends `tokens`, beside which the conditional sequence runs `conditional`.
    pub fn extend(&mut self, tokens: &Tokens, conditional: &Tokens) {
        if self.shared == self.tokens.len() {
            self.shared += tokens.iter().zip(conditional.iter()).take_while(|(a, b)| a == b).count();
        }
        self.tokens.extend(tokens);
    }

    /// Appends a position of both sequences.
    pub fn push(&mut self, position: &[TokenId]) {
        self.shared += usize::from(self.shared == self.tokens.len());
        self.tokens.push(position);
    }

    pub fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
        self.shared = self.shared.min(len);
    }
}

/// Returns the beginning of the unconditional sequence of guidance, beside a conditional sequence of `position` positions.
pub(super) fn unconditional_prefix<'a>(
    rules: &Rules,
    unconditional: Option<&'a UnconditionalTokens>,
    position: usize,
) -> Result<Prefix<'a>> {
    match (rules.template.unconditional, unconditional.filter(|beside| beside.is_beside(position))) {
        (Unconditional::Pads, _) => Ok(Prefix::Pads),
        (Unconditional::Fill(_), Some(UnconditionalTokens { tokens, shared })) => {
            Ok(Prefix::Tokens { tokens, shared: *shared })
        }
        (Unconditional::Fill(_), None) => {
            let what = "guidance needs an unconditional prompt, and this conversation has none: a recording was heard, \
                        or a text is too short; set guidance to 1";
            Err(Error::new(ErrorKind::Invalid, what))
        }
    }
}
