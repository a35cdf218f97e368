//! A session: one conversation with a model, and the points to which it can be rewound.

use std::sync::Arc;
use std::time::Instant;

use crate::cancel::Cancel;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{
    Checkpoint, Conversation, Generation, GenerationConfig, Next, PastSegment, PastTurn, Point, Points, Segment, replay,
};
use crate::language_model::{Sequence, SingleSequence, StateMark};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::{Message, Prompt};
use crate::record::{Cut, Record, Turn};
use crate::token::Tokens;

/// A conversation with a model. Its history lives in the key/value cache.
pub struct Session {
    model: Model,
    conversation: Conversation,
    points: Points,
}

/// A point between two turns to which a conversation can be rewound ([`Session::rewind`]).
#[derive(Clone, Debug)]
pub struct Mark {
    /// The point, before thoughts that the next prompt drops.
    point: Point,
}

impl Model {
    /// Opens a session, with an empty conversation.
    pub fn session(&self) -> Session {
        let sequence = SingleSequence::new(Arc::clone(self.language_model()), self.limits());
        Session::new(self.clone(), Box::new(sequence))
    }
}

impl Session {
    pub(crate) fn new(model: Model, sequence: Box<dyn Sequence>) -> Self {
        let mut conversation = Conversation::new(sequence, Arc::clone(model.rules()), *model.limits());
        conversation.cancel = model.cancel().clone();
        Self { model, conversation, points: Points::default() }
    }

    /// Returns the model, with the session's token.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Sets the token that stops the calls of this session. A session begins with its model's token
    /// ([`Model::with_cancel`]), a fork with the token of the forked session.
    ///
    /// Generation stops between two steps, a prompt between two windows of a recording or two chunks of positions. The reply
    /// then ends with its segments so far; every other call returns an error of kind [`ErrorKind::Cancelled`].
    pub fn set_cancel(&mut self, cancel: &Cancel) {
        self.model = self.model.with_cancel(cancel);
        self.conversation.cancel = cancel.clone();
    }

    /// Returns the number of positions of the conversation, including those that run with the next prompt.
    pub fn position(&self) -> usize {
        self.conversation.position()
    }

    /// Returns the maximum number of positions of the conversation.
    pub fn max_positions(&self) -> usize {
        self.conversation.sequence.max_positions()
    }

    /// Lays out the next turn for a reply in text, or, if the model chooses the modality, for any reply. The first turn
    /// of a session begins the conversation.
    ///
    /// # Errors
    /// The package's template cannot lay out the messages, or sound cannot be encoded.
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.prompt_for(Modality::Text, messages)
    }

    /// Lays out the next turn for a reply that begins with a segment of `modality`, on which the prompts of some models
    /// depend.
    ///
    /// # Errors
    /// As for [`prompt`](Self::prompt).
    pub fn prompt_for(&self, modality: Modality, messages: &[Message]) -> Result<Prompt> {
        self.model.lay_out(modality, messages, self.position() == 0)
    }

    /// Begins the reply to `prompt` and returns an iterator over its events.
    ///
    /// # Errors
    /// A setting is out of its range, the package cannot produce a modality, or `prompt` is of another model or does
    /// not fit the context.
    pub fn generate(&mut self, prompt: Prompt, config: &GenerationConfig) -> Result<Generation<'_>> {
        let lasting = self.conversation.lasting_state();
        let generation = Generation::new(&mut self.conversation, prompt, config.clone())?;
        self.points.forget_after(&lasting);
        Ok(generation)
    }

    /// Runs `prompt` and returns a checkpoint, from which any number of replies can be generated
    /// ([`generate_from`](Self::generate_from)).
    ///
    /// # Errors
    /// `prompt` is of another model or does not fit the context, or the work was cancelled. The conversation is
    /// unchanged then, except for thoughts that the prompt dropped.
    pub fn checkpoint(&mut self, prompt: &Prompt) -> Result<Checkpoint> {
        let begun = Instant::now();
        self.conversation.check_prompt(prompt)?;
        self.points.forget_after(&self.conversation.lasting_state());
        let next = self.conversation.run_to_segment(Some(prompt), None)?;
        Ok(Checkpoint { prompt_positions: prompt.len(), ..self.checkpoint_here(next, begun) })
    }

    /// Begins a reply at `checkpoint`; the conversation after the checkpoint is dropped.
    ///
    /// # Errors
    /// The checkpoint is of another session, or of a part of this one that a rewind has dropped; its first positions of
    /// a segment are not valid for the modality; and as for [`generate`](Self::generate).
    pub fn generate_from(&mut self, checkpoint: &Checkpoint, config: &GenerationConfig) -> Result<Generation<'_>> {
        self.return_to(&checkpoint.point)?;
        Generation::at(&mut self.conversation, checkpoint, config.clone())
    }

    /// Runs the unconditional prompt of guidance at `checkpoint`, if `config` is guided and the package has one of tokens.
    /// Replies from the checkpoint, in forks too, do not run it again.
    ///
    /// # Errors
    /// As for [`generate_from`](Self::generate_from).
    pub(crate) fn prepare(&mut self, checkpoint: &Checkpoint, config: &GenerationConfig) -> Result<()> {
        let Next::Decided(modality, _) = &checkpoint.next else { return Ok(()) };
        if !config.segment(*modality).is_guided() {
            return Ok(());
        }
        self.return_to(&checkpoint.point)?;
        self.conversation.prepare_guidance()
    }

    /// Returns a new session at `checkpoint`, so that two threads can generate replies from the checkpoint at once.
    ///
    /// In an [`Engine`](crate::Engine) the two sessions share their steps.
    ///
    /// # Errors
    /// As for [`generate_from`](Self::generate_from), or there is no room for another session.
    pub fn fork(&mut self, checkpoint: &Checkpoint) -> Result<Self> {
        let point = &checkpoint.point;
        self.points.check(point, self.conversation.sequence.position())?;
        let conversation = self.conversation.fork(&point.state)?;
        Ok(Self { model: self.model.clone(), conversation, points: Points::of_fork(point) })
    }

    /// Replaces this conversation by the conversation of `record` up to `cut`. With the settings and the seed of the record,
    /// [`generate_from`](Self::generate_from) then reproduces the tokens of a conversation that never stopped.
    ///
    /// # Errors
    /// The record is of another package, is damaged, has no such cut or does not fit the context, or the work was
    /// cancelled. The conversation is empty then, unless the record was refused before it ran.
    pub fn restore(&mut self, record: &Record, cut: Cut) -> Result<Checkpoint> {
        record.check(self.model.package())?;
        let turn = record.turn_at(cut)?;
        let begun = Instant::now();
        self.points = Points::default();
        let wanted = turn.segments.get(cut.segment).map(|segment| segment.modality);
        let next = replay(&mut self.conversation, &past(record, cut), Some(wanted))?;
        let next = next.ok_or_else(|| Error::new(ErrorKind::Invalid, "the record has no turns"))?;
        let draws = self.draws_at(turn, cut)?;
        Ok(Checkpoint {
            opened: cut.segment,
            draws,
            kept: kept(turn, cut),
            prompt_positions: turn.prompt.len(),
            ..self.checkpoint_here(next, begun)
        })
    }

    /// Replaces this conversation by the first `turns` of `record`, after which another turn can begin.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore), or the last of these turns has no segments.
    pub fn restore_turns(&mut self, record: &Record, turns: usize) -> Result<()> {
        record.check(self.model.package())?;
        let Some(last) = turns.checked_sub(1) else {
            self.clear();
            return Ok(());
        };
        let segments = record.turns.get(last).map_or(0, |turn| turn.segments.len());
        if segments == 0 {
            let what = format!("the record has fewer than {} with replies", counted(turns, "turn"));
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        self.points = Points::default();
        let past = past(record, Cut { turn: last, segment: segments, position: 0 });
        replay(&mut self.conversation, &past, None).map(drop)
    }

    /// Reopens the last reply and returns a checkpoint after its `segments` segments, as if the last segment had let
    /// another follow. `draws` is the number of random numbers drawn up to the end of the reply
    /// ([`Draws::to`](crate::Draws)).
    ///
    /// # Errors
    /// No reply has ended, the model's replies have only one segment, the context has no room, or the work was
    /// cancelled. The conversation is unchanged then.
    pub fn go_on(&mut self, segments: usize, draws: u64) -> Result<Checkpoint> {
        let begun = Instant::now();
        let before = self.conversation.snapshot();
        let reopened = self.conversation.reopen().and_then(|()| self.conversation.check_fits(0));
        let next = reopened.and_then(|()| self.conversation.run_to_segment(None, None));
        if next.is_err() {
            self.conversation.restore(before);
        }
        let next = next?;
        Ok(Checkpoint { opened: segments, draws, ..self.checkpoint_here(next, begun) })
    }

    /// Returns a checkpoint of the current state, before the first segment of a reply; the prefill began at `begun`.
    fn checkpoint_here(&mut self, next: Next, begun: Instant) -> Checkpoint {
        let state = self.conversation.sequence.mark();
        Checkpoint {
            point: self.points.add(state, self.conversation.snapshot()),
            next,
            opened: 0,
            draws: 0,
            kept: None,
            prompt_positions: 0,
            prefill: begun.elapsed().as_secs_f64(),
        }
    }

    /// Returns a mark of the current point, between two turns: the conversation that the next prompt continues, without
    /// thoughts that the prompt drops.
    pub fn mark(&mut self) -> Mark {
        let state = self.conversation.lasting_state();
        Mark { point: self.points.add(state, self.conversation.snapshot()) }
    }

    /// Rewinds the conversation to `mark`, exactly.
    ///
    /// # Errors
    /// The mark is of another session, or of a part of this one that a rewind has dropped.
    pub fn rewind(&mut self, mark: &Mark) -> Result<()> {
        self.return_to(&mark.point)?;
        self.conversation.forget_thoughts()
    }

    /// Drops the conversation: the next prompt begins a new one.
    pub fn clear(&mut self) {
        self.rewind_to(&StateMark::START);
    }

    /// Rewinds the conversation to `point`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the point does not exist.
    fn return_to(&mut self, point: &Point) -> Result<()> {
        self.points.check(point, self.conversation.sequence.position())?;
        self.rewind_to(&point.state);
        self.conversation.restore(point.snapshot.clone());
        Ok(())
    }

    fn rewind_to(&mut self, state: &StateMark) {
        self.conversation.rewind(state);
        self.points.forget_after(state);
    }

    /// Returns the logits of the ids that may follow the conversation and `prompt`: those of the text head, and those
    /// of the sound head if the package produces sound, each with the columns of its head
    /// ([`Manifest::heads`](crate::package::Manifest)). The conversation is unchanged, except for thoughts that the prompt
    /// dropped.
    ///
    /// # Errors
    /// As for [`checkpoint`](Self::checkpoint).
    pub fn next_logits(&mut self, prompt: &Prompt) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        self.conversation.check_prompt(prompt)?;
        self.points.forget_after(&self.conversation.lasting_state());
        self.conversation.forget_thoughts()?;
        let before = self.conversation.snapshot();
        let logits = self.conversation.run_to_segment(Some(prompt), None).and_then(|next| self.logits_of(next));
        self.conversation.restore(before);
        logits
    }

    fn logits_of(&mut self, next: Next) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        if let Next::Decided(_, last) = next {
            self.conversation.step(&last)?;
        }
        let Conversation { rules, sequence, .. } = &mut self.conversation;
        let text = sequence.logits(rules.of(Modality::Text)?.head)?.to_vec();
        let sound = [Modality::Audio, Modality::Speech].into_iter().find_map(|modality| rules.of(modality).ok());
        let sound = sound.map(|rules| sequence.logits(rules.head).map(|logits| logits.to_vec())).transpose()?;
        Ok((text, sound))
    }

    /// Returns the number of random numbers drawn before `cut` of `turn`.
    fn draws_at(&self, turn: &Turn, cut: Cut) -> Result<u64> {
        match turn.segments.get(cut.segment) {
            Some(segment) => {
                let layout = &self.conversation.rules.of(segment.modality)?.layout;
                Ok(segment.draws_at(cut.position, layout))
            }
            None => Ok(turn.segments.last().map_or(0, |last| last.draws.to)),
        }
    }
}

/// Returns the turns of `record` before `cut`, of the conversation that `cut` is in alone.
fn past(record: &Record, cut: Cut) -> Vec<PastTurn<'_>> {
    let turns = record.turns.iter().take(cut.turn + 1).enumerate().skip(record.beginning_of(cut.turn));
    turns
        .map(|(index, turn)| {
            let count = if index == cut.turn { cut.segment } else { turn.segments.len() };
            PastTurn { prompt: &turn.prompt, segments: turn.segments.iter().take(count).map(past_segment).collect() }
        })
        .collect()
}

fn past_segment(segment: &Segment) -> PastSegment<'_> {
    PastSegment {
        modality: segment.modality,
        end: segment.end,
        guided: segment.config.is_guided(),
        tokens: &segment.tokens,
    }
}

/// Returns the positions before `cut` in the segment that is cut through, if one is.
fn kept(turn: &Turn, cut: Cut) -> Option<(Modality, Tokens)> {
    let segment = turn.segments.get(cut.segment).filter(|_| cut.position > 0)?;
    Some((segment.modality, segment.tokens.slice(0..cut.position)))
}
