//! A conversation with a model, and the places in it that one can come back to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Checkpoint, Generation, GenerationConfig, PastSegment, PastTurn, rebuild};
use crate::graph::{Head, LanguageModel};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::{Message, Prompt};
use crate::record::{Cut, Record, RecordedSegment, Turn};
use crate::token::Frames;

/// A conversation: the cache, and with it everything that was said.
pub struct Session {
    model: Model,
    language_model: Box<dyn LanguageModel>,
    tail: Frames,
    places: Places,
}

/// A place between two turns, to which a conversation can be taken back ([`Session::rewind`]).
#[derive(Clone, Debug)]
pub struct Mark {
    place: u64,
    position: usize,
    tail: Frames,
}

impl Session {
    pub(crate) fn new(model: Model, language_model: Box<dyn LanguageModel>) -> Self {
        let tail = Frames::new(model.manifest().vocabulary.streams);
        Self { model, language_model, tail, places: Places::default() }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Positions of the conversation so far, those included that are run with the next prompt.
    pub fn position(&self) -> usize {
        self.language_model.position() + self.tail.len()
    }

    /// Positions that the model's context holds.
    pub fn max_positions(&self) -> usize {
        self.language_model.max_positions()
    }

    /// The prompt of the next turn: the first one of a session begins the conversation.
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.prompt_until(messages, &Cancel::new())
    }

    /// [`prompt`](Self::prompt), which `cancel` stops between two windows of a recording.
    pub fn prompt_until(&self, messages: &[Message], cancel: &Cancel) -> Result<Prompt> {
        self.model.lay_out(messages, self.position() == 0, cancel)
    }

    /// Begins the reply to `prompt`: an iterator over what happens. `cancel` stops it between two steps.
    ///
    /// Errors: settings without meaning, a modality the package cannot make, a prompt that does not fit the context.
    pub fn generate(&mut self, prompt: Prompt, config: &GenerationConfig, cancel: &Cancel) -> Result<Generation<'_>> {
        let parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        Generation::new(parts, prompt, config.clone(), cancel.clone())
    }

    /// Runs `prompt`, after which any number of replies can be made from the checkpoint
    /// ([`generate_from`](Self::generate_from)).
    ///
    /// Errors: a prompt that does not fit the context; cancelled. The conversation is what it was then.
    pub fn checkpoint(&mut self, prompt: &Prompt, cancel: &Cancel) -> Result<Checkpoint> {
        let begun = Instant::now();
        let mut parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        parts.check_fits(prompt.frames.len())?;
        Ok(Checkpoint {
            offered: parts.arrive(Some(prompt), cancel)?,
            position: self.language_model.position(),
            place: self.places.add(self.language_model.position()),
            opened: 0,
            draws: 0,
            kept: None,
            prompt_frames: prompt.frames.len(),
            prefill: begun.elapsed().as_secs_f64(),
        })
    }

    /// Begins a reply at `checkpoint`; what was said after it is forgotten.
    ///
    /// Errors: a checkpoint of another session, or one before which this session was taken back; and as
    /// [`generate`](Self::generate).
    pub fn generate_from(
        &mut self,
        checkpoint: &Checkpoint,
        config: &GenerationConfig,
        cancel: &Cancel,
    ) -> Result<Generation<'_>> {
        self.places.check(checkpoint.place, checkpoint.position, self.language_model.position())?;
        self.go_back(checkpoint.position, Frames::new(self.tail.streams()));
        let parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        Generation::at(parts, checkpoint, config.clone(), cancel.clone())
    }

    /// Another conversation that stands at `checkpoint`: replies can be made from it in both at once, on two threads.
    ///
    /// In an [`Engine`](crate::Engine) they share their steps.
    ///
    /// Errors: as [`generate_from`](Self::generate_from); no room for another one.
    pub fn fork(&mut self, checkpoint: &Checkpoint) -> Result<Self> {
        self.places.check(checkpoint.place, checkpoint.position, self.language_model.position())?;
        let mut fork = Self::new(self.model.clone(), self.language_model.fork(checkpoint.position)?);
        fork.places.live.push((checkpoint.place, checkpoint.position));
        Ok(fork)
    }

    /// Forgets this conversation and runs that of `record` up to `cut`; [`generate_from`](Self::generate_from) then
    /// goes on as if the conversation had never stopped, token by token, if the settings and the seed are those of the
    /// record.
    ///
    /// Errors: a record of another package, a damaged one, no such place in it; one that does not fit the context;
    /// cancelled. The conversation is empty then, unless the record was refused.
    pub fn restore(&mut self, record: &Record, cut: Cut, cancel: &Cancel) -> Result<Checkpoint> {
        record.check(self.model.package())?;
        let turn = record.turn_at(cut)?;
        let begun = Instant::now();
        self.places = Places::default();
        let mut parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        rebuild(&mut parts, &past(record, cut), true, cancel)?;
        let offered = parts.offered()?;
        let position = self.language_model.position();
        let place = self.places.add(position);
        Ok(Checkpoint {
            place,
            position,
            offered,
            opened: cut.segment,
            draws: draws_at(turn, cut),
            kept: kept(turn, cut),
            prompt_frames: turn.prompt.frames.len(),
            prefill: begun.elapsed().as_secs_f64(),
        })
    }

    /// Forgets this conversation and runs the first `turns` of `record`, after which another turn can begin.
    ///
    /// Errors: as [`restore`](Self::restore), and a turn without segments.
    pub fn restore_turns(&mut self, record: &Record, turns: usize, cancel: &Cancel) -> Result<()> {
        record.check(self.model.package())?;
        let Some(last) = turns.checked_sub(1) else {
            self.clear();
            return Ok(());
        };
        let segments = record.turns.get(last).map_or(0, |turn| turn.segments.len());
        if segments == 0 {
            let what = format!("{turns} turns with their replies were asked for; the record has fewer");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        self.places = Places::default();
        let mut parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        rebuild(&mut parts, &past(record, Cut { turn: last, segment: segments, frame: 0 }), false, cancel)
    }

    /// Reopens the last reply and returns a checkpoint after its `segments` segments, as if it had ended with `eot`.
    /// `draws` is the number of random numbers drawn by its end ([`Draws::to`](crate::Draws::to)).
    ///
    /// Errors: nothing was said that could go on; no room in the context; cancelled.
    pub fn go_on(&mut self, segments: usize, draws: u64, cancel: &Cancel) -> Result<Checkpoint> {
        let begun = Instant::now();
        let special = &self.model.manifest().vocabulary.special;
        let closed = self.tail.last().and_then(<[_]>::first).is_some_and(|id| *id == special.eos || *id == special.eot);
        if !closed {
            return Err(Error::new(ErrorKind::Invalid, "nothing was said that could go on: begin with a prompt"));
        }
        let (said, eot) = (self.tail.clone(), special.eot);
        let mut tail = said.slice(0..said.len() - 1);
        tail.push_single(eot);
        self.tail = tail;
        let mut parts = self.model.parts(&mut *self.language_model, &mut self.tail)?;
        let offered = parts.check_fits(0).and_then(|()| parts.arrive(None, cancel));
        if offered.is_err() {
            self.tail = said;
        }
        let position = self.language_model.position();
        Ok(Checkpoint {
            offered: offered?,
            position,
            place: self.places.add(position),
            opened: segments,
            draws,
            kept: None,
            prompt_frames: 0,
            prefill: begun.elapsed().as_secs_f64(),
        })
    }

    /// The place where the conversation stands, between two turns.
    pub fn mark(&mut self) -> Mark {
        let position = self.language_model.position();
        Mark { place: self.places.add(position), position, tail: self.tail.clone() }
    }

    /// Takes the conversation back to `mark`, exactly.
    ///
    /// Errors: a mark of another session, or one before which this session was taken back.
    pub fn rewind(&mut self, mark: &Mark) -> Result<()> {
        self.places.check(mark.place, mark.position, self.language_model.position())?;
        self.go_back(mark.position, mark.tail.clone());
        Ok(())
    }

    /// Forgets the conversation: the next prompt begins another one.
    pub fn clear(&mut self) {
        self.go_back(0, Frames::new(self.tail.streams()));
    }

    fn go_back(&mut self, position: usize, tail: Frames) {
        self.language_model.rewind(position);
        self.tail = tail;
        self.places.forget_after(position);
    }

    /// Logits of what could follow the conversation and `prompt`, after `[assistant]`: those of the text head (column =
    /// id), then those of the audio head (stream blocks, eos, eot). The conversation stays as it was.
    pub fn next_logits(&mut self, prompt: &Prompt) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let start = self.language_model.position();
        let mut frames = self.tail.clone();
        let mut features = prompt.features.clone();
        features.iter_mut().for_each(|slot| slot.start += frames.len());
        frames.extend(&prompt.frames);
        frames.push_single(self.model.manifest().vocabulary.special.assistant);
        self.language_model.prefill(&frames, &features, &Cancel::new())?;
        let text = self.language_model.logits(Head::Text)?.to_vec();
        let audio = match self.model.manifest().graphs.contains_key("audio_head") {
            true => Some(self.language_model.logits(Head::Audio)?.to_vec()),
            false => None,
        };
        self.language_model.rewind(start);
        Ok((text, audio))
    }
}

/// What `record` holds before `cut`.
fn past(record: &Record, cut: Cut) -> Vec<PastTurn<'_>> {
    let turns = record.turns.iter().take(cut.turn + 1).enumerate();
    turns
        .map(|(index, turn)| {
            let count = if index == cut.turn { cut.segment } else { turn.segments.len() };
            PastTurn { prompt: &turn.prompt, segments: turn.segments.iter().take(count).map(past_segment).collect() }
        })
        .collect()
}

fn past_segment(segment: &RecordedSegment) -> PastSegment<'_> {
    PastSegment {
        modality: segment.modality,
        end: segment.end,
        guided: segment.config.is_guided(),
        frames: &segment.frames,
    }
}

/// Random numbers drawn before `cut` of `turn`.
fn draws_at(turn: &Turn, cut: Cut) -> u64 {
    match turn.segments.get(cut.segment) {
        Some(segment) => segment.draws_at(cut.frame),
        None => turn.segments.last().map_or(0, |last| last.draws.to),
    }
}

/// The frames before `cut` of the segment that it cuts through.
fn kept(turn: &Turn, cut: Cut) -> Option<(Modality, Frames)> {
    let segment = turn.segments.get(cut.segment).filter(|_| cut.frame > 0)?;
    Some((segment.modality, segment.frames.slice(0..cut.frame)))
}

/// The places of a session that can be come back to.
#[derive(Default)]
struct Places {
    /// Name and position.
    live: Vec<(u64, usize)>,
}

impl Places {
    /// Names the place at `position`; no other place of any session has that name.
    fn add(&mut self, position: usize) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = NEXT.fetch_add(1, Ordering::Relaxed);
        self.live.push((name, position));
        name
    }

    fn forget_after(&mut self, position: usize) {
        self.live.retain(|(_, at)| *at <= position);
    }

    fn check(&self, name: u64, position: usize, now: usize) -> Result<()> {
        if position > now || !self.live.contains(&(name, position)) {
            let what = "a place of another session, or of what this one was taken back from: it cannot be found again";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(())
    }
}
