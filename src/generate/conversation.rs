//! A conversation: the sequence, and the tokens that belong to it but are not run yet.

use std::sync::Arc;

use super::SegmentEnd;
use super::rules::Rules;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{Prefix, Sequence, StateMark};
use crate::limits::Limits;
use crate::modality::Modality;
use crate::prompt::{Choice, Prompt, Unconditional};
use crate::token::{TokenId, Tokens};

/// A conversation with a model.
pub(crate) struct Conversation {
    /// The language model's sequence.
    pub sequence: Box<dyn Sequence>,
    /// The rules that all conversations with the model share.
    pub rules: Arc<Rules>,
    /// The limits that this one keeps.
    pub limits: Limits,
    tail: Tail,
    /// The tokens of the unconditional sequence, as many as the conditional one has run, where the template has such
    /// tokens.
    unconditional: Option<Tokens>,
}

/// Tokens that belong to a conversation but are not run yet.
#[derive(Clone, Debug)]
struct Tail {
    tokens: Tokens,
    /// The segment that the tokens end, if they end one.
    closed: Option<ClosedSegment>,
}

/// The end of a segment, from which the conversation can also go on with another one.
#[derive(Clone, Debug)]
struct ClosedSegment {
    modality: Modality,
    last: Vec<TokenId>,
    end: SegmentEnd,
}

/// A state of a conversation, to go back to.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    state: StateMark,
    tail: Tail,
}

/// What may follow a prompt or a segment.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// The segment of one of these openers.
    Choice(Vec<Offer>),
    /// A segment of this modality, before which one position is still to be run.
    Decided(Modality, Vec<TokenId>),
}

/// A modality that may come next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub modality: Modality,
    /// The id that opens its segments.
    pub opener: TokenId,
    pub logit: f32,
}

impl Conversation {
    /// An empty conversation on `sequence`.
    pub fn new(sequence: Box<dyn Sequence>, rules: Arc<Rules>, limits: Limits) -> Self {
        let tail = Tail { tokens: rules.vocabulary.tokens(), closed: None };
        let unconditional = rules.unconditional();
        Self { sequence, rules, limits, tail, unconditional }
    }

    /// Positions of the conversation, those included that are not run yet.
    pub fn position(&self) -> usize {
        self.sequence.position() + self.tail.tokens.len()
    }

    /// The tokens that are not run yet.
    #[cfg(test)]
    pub fn tail(&self) -> &Tokens {
        &self.tail.tokens
    }

    /// The state of the conversation.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.sequence.mark(), tail: self.tail.clone() }
    }

    /// Takes the conversation back to `snapshot`.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.rewind(&snapshot.state);
        self.tail = snapshot.tail;
    }

    /// Takes the sequence back to `state`, with nothing left to run.
    pub fn rewind(&mut self, state: &StateMark) {
        self.sequence.rewind(state);
        if state.position() == 0 {
            self.unconditional = self.rules.unconditional();
        }
        if let Some(tokens) = &mut self.unconditional {
            tokens.truncate(state.position());
        }
        self.tail = Tail { tokens: self.rules.vocabulary.tokens(), closed: None };
    }

    /// Another conversation that stands at `state`, with nothing left to run.
    pub fn fork(&mut self, state: &StateMark) -> Result<Self> {
        let mut fork = Self::new(self.sequence.fork(state)?, Arc::clone(&self.rules), self.limits);
        fork.unconditional = self.unconditional.clone();
        if let Some(tokens) = &mut fork.unconditional {
            tokens.truncate(state.position());
        }
        Ok(fork)
    }

    /// Notes that a segment ended, so that the next prompt runs what the state lacks of it.
    pub fn close(&mut self, modality: Modality, last: &[TokenId], end: SegmentEnd) -> Result<()> {
        let tokens = self.rules.closing(modality, last, end, false)?;
        self.tail = Tail { tokens, closed: Some(ClosedSegment { modality, last: last.to_vec(), end }) };
        Ok(())
    }

    /// Notes that another segment follows the one that ended last.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no segment has ended, or none may follow.
    pub fn reopen(&mut self) -> Result<()> {
        let Some(closed) = &self.tail.closed else {
            return Err(Error::new(ErrorKind::Invalid, "nothing was said that could go on: begin with a prompt"));
        };
        let tokens = self.rules.closing(closed.modality, &closed.last, closed.end, true)?;
        self.tail = Tail { tokens, closed: None };
        Ok(())
    }

    /// Runs the tail, the prompt (for the first segment of a reply) and the tokens before a segment of `modality`; then
    /// only the model's choice, or the returned position, stands before that segment. On failure the conversation is what
    /// it was.
    fn prefill(
        &mut self,
        prompt: Option<&Prompt>,
        modality: Modality,
        cancel: &Cancel,
    ) -> Result<Option<Vec<TokenId>>> {
        let (mut tokens, mut features) = (self.tail.tokens.clone(), Vec::new());
        let mut unconditional = self.unconditional.is_some().then(|| tokens.clone());
        if let Some(prompt) = prompt {
            features.clone_from(&prompt.features);
            for slot in &mut features {
                slot.start += tokens.len();
            }
            tokens.extend(&prompt.tokens);
            match (&mut unconditional, &prompt.unconditional) {
                (Some(tokens), Some(prompt)) => tokens.extend(prompt),
                (unconditional, _) => *unconditional = None,
            }
        }
        let rules = Arc::clone(&self.rules);
        let before = rules.before_segment(modality, prompt.is_some())?;
        let opener = match rules.template.choice {
            Choice::ByOpener => None,
            Choice::ByPrompt => Some(rules.voice(modality)?.opener()),
        };
        for part in std::iter::once(before).chain(opener) {
            tokens.extend(part);
            unconditional.iter_mut().for_each(|tokens| tokens.extend(part));
        }
        let last = opener.and_then(|_| tokens.last().map(<[_]>::to_vec));
        let run = tokens.len() - usize::from(last.is_some());
        tokens.truncate(run);
        self.sequence.prefill(&tokens, &features, cancel)?;
        match (&mut self.unconditional, unconditional) {
            (Some(all), Some(mut tokens)) => {
                tokens.truncate(run);
                all.extend(&tokens);
            }
            (unconditional, _) => *unconditional = None,
        }
        self.tail = Tail { tokens: self.rules.vocabulary.tokens(), closed: None };
        Ok(last)
    }

    /// Runs everything before the next segment of a reply, whose first one follows `prompt`; `wanted` is the modality that
    /// it must have, if it is known. On failure the conversation is what it was.
    pub fn arrive(&mut self, prompt: Option<&Prompt>, wanted: Option<Modality>, cancel: &Cancel) -> Result<Next> {
        let snapshot = self.snapshot();
        let next = self.try_to_arrive(prompt, wanted, cancel);
        if next.is_err() {
            self.restore(snapshot);
        }
        next
    }

    fn try_to_arrive(&mut self, prompt: Option<&Prompt>, wanted: Option<Modality>, cancel: &Cancel) -> Result<Next> {
        let of_prompt = prompt.map_or(Modality::Text, |prompt| prompt.modality);
        match self.rules.template.choice {
            Choice::ByPrompt => {
                let modality = if prompt.is_some() { of_prompt } else { wanted.unwrap_or(of_prompt) };
                if wanted.is_some_and(|wanted| wanted != modality) {
                    let what = format!("the prompt was laid out for {modality}; lay it out for what is to be made");
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                let last = self.prefill(prompt, modality, cancel)?;
                let missing = || Error::new(ErrorKind::Package, "nothing stands before a segment");
                Ok(Next::Decided(modality, last.ok_or_else(missing)?))
            }
            Choice::ByOpener => {
                self.prefill(prompt, wanted.unwrap_or(of_prompt), cancel)?;
                if wanted.is_some() { Ok(Next::Choice(Vec::new())) } else { self.offers().map(Next::Choice) }
            }
        }
    }

    /// The modalities that may come next, with the logits of their openers, in ascending order of opener.
    pub fn offers(&mut self) -> Result<Vec<Offer>> {
        let rules = Arc::clone(&self.rules);
        let Some(choice) = &rules.choice else { return Ok(Vec::new()) };
        let logits = self.sequence.logits(choice.head)?;
        let missing = || Error::new(ErrorKind::Graph, format!("{} gave {} logits", choice.head_name, logits.len()));
        let offer = |(modality, opener, column): &(Modality, TokenId, usize)| {
            let logit = logits.get(*column).copied().ok_or_else(missing)?;
            Ok(Offer { modality: *modality, opener: *opener, logit })
        };
        choice.openers.iter().map(offer).collect()
    }

    /// The position that opens a segment of `modality`, when the model chose it.
    pub fn opening_position(&self, modality: Modality) -> Result<Vec<TokenId>> {
        let opener = self.rules.voice(modality)?.opener();
        let missing = || Error::new(ErrorKind::Package, format!("nothing opens a segment of {modality}"));
        opener.last().map(<[_]>::to_vec).ok_or_else(missing)
    }

    /// Runs one position.
    pub fn step(&mut self, position: &[TokenId]) -> Result<()> {
        self.sequence.step(position)?;
        if let Some(tokens) = &mut self.unconditional {
            tokens.push(position);
        }
        Ok(())
    }

    /// Takes back the last step, before which the sequence stood at `state`.
    pub fn undo_step(&mut self, state: &StateMark) {
        self.sequence.rewind(state);
        if let Some(tokens) = &mut self.unconditional {
            tokens.truncate(state.position());
        }
    }

    /// Begins the unconditional sequence of guidance.
    pub fn begin_guidance(&mut self, cancel: &Cancel) -> Result<()> {
        let prefix = match (self.rules.template.unconditional, &self.unconditional) {
            (Unconditional::Pads, _) => Prefix::Pads,
            (Unconditional::Fill(_), Some(tokens)) => Prefix::Tokens(tokens),
            (Unconditional::Fill(_), None) => {
                let what = "guidance needs an unconditional prompt, and this conversation has none: a recording was heard, \
                            or a text is too short; set guidance to 1";
                return Err(Error::new(ErrorKind::Invalid, what));
            }
        };
        self.sequence.begin_guidance(prefix, cancel)
    }

    /// Refuses a prompt of another model, one longer than the limit, and one that leaves no room for a segment of one
    /// position.
    pub fn check_prompt(&self, prompt: &Prompt) -> Result<()> {
        self.rules.vocabulary.check(&prompt.tokens)?;
        prompt.unconditional.iter().try_for_each(|tokens| self.rules.vocabulary.check(tokens))?;
        self.check_fits(prompt.len())
    }

    /// Refuses `positions` that leave no room for a segment of one position.
    pub fn check_fits(&self, positions: usize) -> Result<()> {
        self.limits.check_prompt(positions)?;
        let (used, asked) = (self.position(), positions + self.rules.overhead() + 1);
        if used + asked > self.sequence.max_positions() {
            let what = format!(
                "the prompt takes {asked} positions and {used} are in use, but the model's context holds {}: \
                 give shorter text or audio",
                self.sequence.max_positions()
            );
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
}

impl Snapshot {
    /// The state of the sequence.
    pub fn state(&self) -> &StateMark {
        &self.state
    }
}
