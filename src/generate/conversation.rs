//! A conversation: its sequence, and the tokens at its end that have not been run yet.

use std::sync::Arc;

use super::SegmentEnd;
use super::rules::Rules;
use super::unconditional::{UnconditionalTokens, unconditional_prefix};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{Sequence, StateMark};
use crate::limits::Limits;
use crate::modality::Modality;
use crate::prompt::{Choice, FeatureSlot, Prompt};
use crate::token::{TokenId, Tokens};

/// A conversation with a model.
pub(crate) struct Conversation {
    /// The language model's sequence.
    pub sequence: Box<dyn Sequence>,
    /// The rules that all conversations with the model share.
    pub rules: Arc<Rules>,
    /// The limits of this conversation.
    pub limits: Limits,
    /// The token that stops its work.
    pub cancel: Cancel,
    tail: Tail,
    /// The unconditional sequence, as long as the conditional one; shorter after a prompt that had none, until the
    /// conversation is rewound to before that prompt. `None` where the template has no tokens for it.
    unconditional: Option<UnconditionalTokens>,
    /// The reply in progress, if it begins with thoughts.
    thoughtful: Option<ThoughtfulReply>,
}

/// A reply that begins with thoughts.
#[derive(Clone, Debug)]
pub(crate) struct ThoughtfulReply {
    /// The state before the reply's turn.
    before: StateMark,
    /// Positions of the thoughts, 0 until they have ended.
    thoughts: usize,
    /// The answer after the thoughts, without the id that ended it; empty before there is one.
    answer: Tokens,
}

/// Tokens at the end of a conversation that have not been run yet.
#[derive(Clone, Debug)]
struct Tail {
    tokens: Tokens,
    /// The segment that ends with these tokens, if one does.
    closed: Option<ClosedSegment>,
}

/// The end of a segment, after which the conversation can also continue with another segment.
#[derive(Clone, Debug)]
struct ClosedSegment {
    modality: Modality,
    last: Vec<TokenId>,
    end: SegmentEnd,
}

/// Tokens that are run before a segment.
struct Run {
    tokens: Tokens,
    features: Vec<FeatureSlot>,
    /// The same for the unconditional sequence, if there is one.
    unconditional: Option<Tokens>,
    /// Number of first positions that belong to the turns before the reply.
    turns: usize,
}

/// A state of a conversation to restore.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    state: StateMark,
    tail: Tail,
    thoughtful: Option<ThoughtfulReply>,
}

/// The continuation of a conversation after a prompt or a segment.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// A segment with one of these openers.
    Choice(Vec<Offer>),
    /// A segment of this modality, after one more position.
    Decided(Modality, Vec<TokenId>),
}

/// A modality of the next segment, with the logit of its opener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub modality: Modality,
    /// The id that opens its segments.
    pub opener: TokenId,
    pub logit: f32,
}

impl Conversation {
    /// Creates an empty conversation on `sequence`.
    pub fn new(sequence: Box<dyn Sequence>, rules: Arc<Rules>, limits: Limits) -> Self {
        let tail = Tail::empty(&rules);
        let unconditional = UnconditionalTokens::begin(&rules);
        Self { sequence, rules, limits, cancel: Cancel::new(), tail, unconditional, thoughtful: None }
    }

    /// Returns the number of positions of the conversation before the next prompt, including those not run yet.
    pub fn position(&self) -> usize {
        let thoughtful = self.thoughtful.as_ref().and_then(|reply| {
            let kept = self.rules.without_thoughts(&reply.answer).ok().flatten()?;
            Some(reply.before.position() + kept.len())
        });
        thoughtful.unwrap_or_else(|| self.sequence.position() + self.tail.tokens.len())
    }

    /// Returns the tokens that are not run yet.
    #[cfg(test)]
    pub fn tail(&self) -> &Tokens {
        &self.tail.tokens
    }

    /// Returns a snapshot of the current state.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.sequence.mark(), tail: self.tail.clone(), thoughtful: self.thoughtful.clone() }
    }

    /// Restores `snapshot`.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.rewind(&snapshot.state);
        self.tail = snapshot.tail;
        self.thoughtful = snapshot.thoughtful;
    }

    /// Returns the reply in progress, if it begins with thoughts.
    pub fn thoughtful(&self) -> Option<&ThoughtfulReply> {
        self.thoughtful.as_ref()
    }

    /// Returns the number of steps of a segment of `modality` that the thoughts before it have taken.
    pub fn thought_steps(&self, modality: Modality) -> usize {
        let reply = self.thoughtful.as_ref().filter(|_| modality == Modality::Text);
        reply.map_or(0, |reply| reply.thoughts)
    }

    /// Rewinds the sequence to `state`, with no tokens left to run.
    pub fn rewind(&mut self, state: &StateMark) {
        self.undo_steps(state);
        self.tail = Tail::empty(&self.rules);
        self.thoughtful = None;
    }

    /// Returns a new conversation at `state`, with no tokens left to run.
    pub fn fork(&mut self, state: &StateMark) -> Result<Self> {
        let mut fork = Self::new(self.sequence.fork(state)?, Arc::clone(&self.rules), self.limits);
        fork.cancel = self.cancel.clone();
        fork.unconditional = self.unconditional.clone();
        if let Some(tokens) = &mut fork.unconditional {
            tokens.truncate(state.position());
        }
        Ok(fork)
    }

    /// Records the end of a segment of `modality` with `tokens` and the last position `last`, so that the next prompt runs
    /// the tokens that close the segment.
    pub fn close(&mut self, modality: Modality, tokens: &Tokens, last: &[TokenId], end: SegmentEnd) -> Result<()> {
        if let Some(reply) = &mut self.thoughtful {
            match modality {
                Modality::Thinking => reply.thoughts = tokens.len(),
                Modality::Text => {
                    let content = self.rules.of(modality)?.layout.content_len(tokens);
                    reply.answer = tokens.slice(0..content);
                }
                Modality::Audio | Modality::Speech => {}
            }
        }
        let tokens = self.rules.closing(modality, last, end, false)?;
        self.tail = Tail { tokens, closed: Some(ClosedSegment { modality, last: last.to_vec(), end }) };
        Ok(())
    }

    /// Returns the last state that the next prompt leaves unchanged: the state before the last reply, if the prompt drops the
    /// reply's thoughts ([`forget_thoughts`](Self::forget_thoughts)), else the current state.
    pub fn lasting_state(&self) -> StateMark {
        let forgotten = self.thoughtful.as_ref().filter(|_| !self.rules.keeps_thoughts());
        forgotten.map_or_else(|| self.sequence.mark(), |reply| reply.before)
    }

    /// Rewinds the last reply if it began with thoughts and the template drops the thoughts of earlier replies. The next
    /// prompt then runs the answer again, without the thoughts.
    pub fn forget_thoughts(&mut self) -> Result<()> {
        let Some(reply) = &self.thoughtful else { return Ok(()) };
        let before = reply.before;
        if let Some(tokens) = self.rules.without_thoughts(&reply.answer)? {
            self.undo_steps(&before);
            self.tail = Tail { tokens, closed: None };
            self.thoughtful = None;
        }
        Ok(())
    }

    /// Records that another segment follows the last one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no segment has ended, or when no segment may follow.
    pub fn reopen(&mut self) -> Result<()> {
        let Some(closed) = &self.tail.closed else {
            return Err(Error::new(ErrorKind::Invalid, "there is no reply to continue: begin with a prompt"));
        };
        let tokens = self.rules.closing(closed.modality, &closed.last, closed.end, true)?;
        self.tail = Tail { tokens, closed: None };
        Ok(())
    }

    /// Returns the tokens to run before a segment of `modality`: the tail, the prompt (before the first segment of a reply)
    /// and the template's tokens.
    fn before_segment(&self, prompt: Option<&Prompt>, modality: Modality) -> Result<Run> {
        let mut tokens = self.tail.tokens.clone();
        let mut features = Vec::new();
        let beside = self.unconditional.as_ref().filter(|beside| beside.is_beside(self.sequence.position()));
        let mut unconditional = beside.map(|_| tokens.clone());
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
        let turns = tokens.len().saturating_sub(self.rules.reply_in_prompt(modality)?);
        for part in self.rules.before_segment(modality, prompt.is_some())? {
            tokens.extend(part);
            if let Some(tokens) = &mut unconditional {
                tokens.extend(part);
            }
        }
        Ok(Run { tokens, features, unconditional, turns })
    }

    /// Runs the tokens before a segment of `modality` ([`before_segment`](Self::before_segment)), up to the model's choice, or
    /// up to the returned position, which is not run. On an error the conversation is unchanged.
    fn prefill(&mut self, prompt: Option<&Prompt>, modality: Modality) -> Result<Option<Vec<TokenId>>> {
        let Run { mut tokens, features, unconditional, turns } = self.before_segment(prompt, modality)?;
        let last = match self.rules.template.choice {
            Choice::ByOpener => None,
            Choice::ByPrompt => tokens.last().map(<[_]>::to_vec),
        };
        tokens.truncate(tokens.len() - usize::from(last.is_some()));
        let before_reply = StateMark::at(self.sequence.position() + turns);
        if !tokens.is_empty() {
            self.sequence.prefill(&tokens, &features, &self.cancel)?;
        }
        if prompt.is_some() {
            let thinks = modality == Modality::Thinking;
            let answer = self.rules.vocabulary.tokens();
            self.thoughtful = thinks.then_some(ThoughtfulReply { before: before_reply, thoughts: 0, answer });
        }
        if let (Some(all), Some(mut unconditional)) = (&mut self.unconditional, unconditional) {
            unconditional.truncate(tokens.len());
            all.extend(&unconditional, &tokens);
        }
        self.tail = Tail::empty(&self.rules);
        Ok(last)
    }

    /// Runs everything before the next segment of a reply; the first segment follows `prompt`, before which the conversation
    /// drops thoughts ([`forget_thoughts`](Self::forget_thoughts)). `wanted` is the modality of the segment, if known. On an
    /// error the conversation is otherwise unchanged.
    pub fn run_to_segment(&mut self, prompt: Option<&Prompt>, wanted: Option<Modality>) -> Result<Next> {
        if prompt.is_some() {
            self.forget_thoughts()?;
        }
        let snapshot = self.snapshot();
        let next = self.try_to_run(prompt, wanted);
        if next.is_err() {
            self.restore(snapshot);
        }
        next
    }

    fn try_to_run(&mut self, prompt: Option<&Prompt>, wanted: Option<Modality>) -> Result<Next> {
        let of_prompt = prompt.map_or(Modality::Text, |prompt| prompt.modality);
        match self.rules.template.choice {
            Choice::ByPrompt => {
                let modality = if prompt.is_some() { of_prompt } else { wanted.unwrap_or(of_prompt) };
                let leads_to =
                    |wanted| wanted == modality || (modality, wanted) == (Modality::Thinking, Modality::Text);
                if wanted.is_some_and(|wanted| !leads_to(wanted)) {
                    let what = format!("the prompt was laid out for {modality}; lay it out for the modality to make");
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                let last = self.prefill(prompt, modality)?;
                let missing = || Error::new(ErrorKind::Package, "the template has no tokens before a segment");
                Ok(Next::Decided(modality, last.ok_or_else(missing)?))
            }
            Choice::ByOpener => {
                self.prefill(prompt, wanted.unwrap_or(of_prompt))?;
                if wanted.is_some() { Ok(Next::Choice(Vec::new())) } else { self.offers().map(Next::Choice) }
            }
        }
    }

    /// Returns the modalities that may come next, with the logits of their openers, in ascending order of opener.
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

    /// Returns the position that opens a segment of `modality` in packages whose model chooses the modality.
    pub fn opening_position(&self, modality: Modality) -> Result<Vec<TokenId>> {
        let opener = self.rules.of(modality)?.opener();
        let missing =
            || Error::new(ErrorKind::Package, format!("the template has no opener for a segment of {modality}"));
        opener.last().map(<[_]>::to_vec).ok_or_else(missing)
    }

    /// Runs one position.
    pub fn step(&mut self, position: &[TokenId]) -> Result<()> {
        let before = self.sequence.position();
        self.sequence.step(position)?;
        if let Some(beside) = self.unconditional.as_mut().filter(|beside| beside.is_beside(before)) {
            beside.push(position);
        }
        Ok(())
    }

    /// Undoes the steps since the sequence was at `state`; the tail stays.
    pub fn undo_steps(&mut self, state: &StateMark) {
        self.sequence.rewind(state);
        if let Some(tokens) = &mut self.unconditional {
            tokens.truncate(state.position());
        }
    }

    /// Runs the beginning of the unconditional sequence, so that forks and later replies need not run it again.
    pub fn prepare_guidance(&mut self) -> Result<()> {
        let prefix = unconditional_prefix(&self.rules, self.unconditional.as_ref(), self.sequence.position())?;
        self.sequence.prepare_guidance(prefix, &self.cancel)
    }

    /// Begins the unconditional sequence of guidance.
    pub fn begin_guidance(&mut self) -> Result<()> {
        let prefix = unconditional_prefix(&self.rules, self.unconditional.as_ref(), self.sequence.position())?;
        self.sequence.begin_guidance(prefix, &self.cancel)
    }

    /// Checks that the prompt is of this model, within the limit, and leaves room for a segment of one position.
    pub fn check_prompt(&self, prompt: &Prompt) -> Result<()> {
        self.rules.vocabulary.check(&prompt.tokens)?;
        prompt.unconditional.iter().try_for_each(|tokens| self.rules.vocabulary.check(tokens))?;
        self.check_fits(prompt.len())
    }

    /// Checks that `positions` are within the limit and leave room for a segment of one position.
    pub fn check_fits(&self, positions: usize) -> Result<()> {
        self.limits.check_prompt(positions)?;
        let used = self.position();
        let asked = positions + self.rules.overhead() + 1;
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

impl Tail {
    fn empty(rules: &Rules) -> Self {
        Self { tokens: rules.vocabulary.tokens(), closed: None }
    }
}
