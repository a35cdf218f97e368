//! Several takes of one prompt, made at once: they share the prefill of the prompt, and then their steps.

use std::iter::once;
use std::sync::mpsc::sync_channel;
use std::thread::scope;

use super::event::{SegmentPosition, TakeEvent};
use super::ranking::Ranked;
use super::score::Expected;
use crate::audio::Waveform;
use crate::chain::Stage;
use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Checkpoint, Event, GenerationConfig, Seconds, Segment, SegmentEnd, Usage};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::Prompt;
use crate::record::Record;
use crate::session::Session;

/// The maximum number of takes that are made at once: with more of them, none would be finished sooner.
pub const MOST_AT_ONCE: usize = 8;
/// Number of events of takes that may wait for the caller.
const WAITING: usize = 64;

/// The callback for events.
pub(super) type OnEvent<'a> = dyn FnMut(TakeEvent<'_>) -> Result<()> + 'a;

/// A take: one reply of several to the same prompt.
#[derive(Debug)]
#[non_exhaustive]
pub struct Take {
    /// Index of the take, from 0.
    pub index: usize,
    /// The segments that were made.
    pub segments: Vec<Segment>,
    /// The last sound, enhanced if the package has an enhancer.
    pub sound: Option<Waveform>,
    /// The record of the take, with all of its segments.
    pub record: Record,
    /// The error that ended the take.
    pub failure: Option<Error>,
}

impl Take {
    /// Returns why the last segment ended; `None` before there is one.
    pub fn end(&self) -> Option<SegmentEnd> {
        self.segments.last().map(|segment| segment.end)
    }

    /// Returns whether the take is complete: neither failed nor cancelled.
    pub fn is_whole(&self) -> bool {
        self.failure.is_none() && self.end().is_some_and(|end| end != SegmentEnd::Cancelled)
    }
}

/// A session with room for several takes of one prompt.
///
/// ```no_run
/// use ualm::{Expected, Message, Modality, Model, Record, TakeEvent, TakeRunner};
///
/// # fn main() -> ualm::Result<()> {
/// let model = Model::load("onnx/default")?;
/// let messages = [Message::text("a dog barks, then rain")];
/// let config = model.config().only(Modality::Audio);
/// let prompt = model.prompt(&messages)?;
/// let mut runner = TakeRunner::for_prompt(&model, 4, &prompt, &config)?;
/// let mut record = Record::new(model.package());
/// record.begin_turn(&messages, &prompt, &config);
/// let checkpoint = runner.session_mut().checkpoint(&prompt)?;
/// let takes = runner.make(&checkpoint, &record, &config, 4, |_| Ok(()))?;
/// let expected = Expected::of("a dog barks, then rain");
/// let (ranked, _) = runner.rank(&takes, Modality::Audio, &expected, |_| Ok(()))?;
/// println!("the best take is {}", ranked[0].take);
/// # Ok(())
/// # }
/// ```
pub struct TakeRunner {
    session: Session,
    at_once: usize,
    /// The engine that runs the steps of the takes; `None` if takes are made one by one, or in the caller's engine.
    engine: Option<Engine>,
    usage: Usage,
    seconds: Seconds,
}

/// The start of takes.
#[derive(Clone, Copy)]
pub(super) struct TakeStart<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    /// Everything before the takes.
    pub(super) record: &'a Record,
    /// The number and the stage of the one segment, in a chain.
    pub(super) stage: Option<(usize, Stage)>,
    /// Number of segments before the takes, from which their numbers continue outside of a chain.
    pub(super) before: usize,
}

impl TakeRunner {
    /// Returns a runner for `takes` takes of any reply, each within the model's whole context. At most [`MOST_AT_ONCE`] are
    /// made at once, or fewer if memory does not suffice.
    ///
    /// # Errors
    /// The errors of [`Engine::new`], but for its limit on memory.
    pub fn new(model: &Model, takes: usize) -> Result<Self> {
        Self::with_room(model, takes, usize::MAX, None)
    }

    /// Returns a runner for `takes` replies to `prompt` with `config`, which needs less memory than [`new`](Self::new) if
    /// `config` allows only one segment.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_prompt(model: &Model, takes: usize, prompt: &Prompt, config: &GenerationConfig) -> Result<Self> {
        Self::with_room(model, takes, positions(model, prompt, config), Some(config))
    }

    /// Returns a runner on the caller's session, which makes up to `at_once` takes at once, within the free slots of the
    /// session's engine.
    pub fn in_session(session: Session, at_once: usize) -> Self {
        Self { session, at_once: at_once.max(1), engine: None, usage: Usage::default(), seconds: Seconds::default() }
    }

    fn with_room(model: &Model, takes: usize, positions: usize, config: Option<&GenerationConfig>) -> Result<Self> {
        let max = model.manifest().language_model.max_positions.min(model.limits().context);
        for at_once in (2..=MOST_AT_ONCE.min(takes)).rev() {
            let slots = at_once * config.map_or(2, Engine::slots_for);
            let options = EngineOptions { slots, context: Some(positions.min(max)), ..EngineOptions::default() };
            match Engine::new(model, &options) {
                Ok(engine) => {
                    let session = config.map_or_else(|| engine.session(), |config| engine.session_for(config))?;
                    return Ok(Self { engine: Some(engine), ..Self::in_session(session, at_once) });
                }
                Err(error) if error.kind() == ErrorKind::Limit => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::in_session(model.session(), 1))
    }

    /// Returns the session that runs the prompts.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the session that runs the prompts, mutably.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Returns the number of takes that are made at once.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Returns the positions read and written by all takes so far. A prompt that takes share counts once, and of several
    /// prompts the longest.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns the time spent on all takes so far: the sum over the takes, although they run at the same time. Prefill counts
    /// as prompts do in [`usage`](Self::usage).
    pub fn seconds(&self) -> Seconds {
        self.seconds
    }

    /// Makes `count` takes from `checkpoint` and returns the takes that were begun, in order. The seed of a take is the seed
    /// of `config` plus the take's index. `record` is the conversation up to `checkpoint`, which the records of the takes
    /// continue.
    ///
    /// A take that fails or is cancelled keeps its segments so far. The takes that run at the same time are finished; no
    /// others are begun.
    ///
    /// # Errors
    /// The error of `on_event`, which stops all takes; a `count` of 0; a failed enhancer; and the first failure, or
    /// [`ErrorKind::Cancelled`], if no take has a segment.
    pub fn make(
        &mut self,
        checkpoint: &Checkpoint,
        record: &Record,
        config: &GenerationConfig,
        count: usize,
        mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>,
    ) -> Result<Vec<Take>> {
        let start = TakeStart { checkpoint, record, stage: None, before: 0 };
        self.make_from(start, config, count, &mut on_event)
    }

    pub(super) fn make_from(
        &mut self,
        start: TakeStart<'_>,
        config: &GenerationConfig,
        count: usize,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Vec<Take>> {
        if count == 0 {
            return Err(Error::new(ErrorKind::Invalid, "0 takes were requested; expected at least 1"));
        }
        if count > 1 {
            self.session.prepare(start.checkpoint, config)?;
        }
        let mut takes = Vec::new();
        while takes.len() < count && takes.iter().all(Take::is_whole) {
            let mut forks = self.forks(start.checkpoint, self.at_once.min(count - takes.len()) - 1)?;
            takes.extend(self.make_at_once(start, config, takes.len(), &mut forks, on_event)?);
        }
        if takes.iter().all(|take| take.segments.is_empty()) {
            let failure = takes.into_iter().find_map(|take| take.failure);
            return Err(failure.unwrap_or_else(nothing_made));
        }
        Ok(takes)
    }

    /// Forks the session up to `max` times, or until there is no room.
    fn forks(&mut self, checkpoint: &Checkpoint, max: usize) -> Result<Vec<Session>> {
        let mut forks = Vec::new();
        while forks.len() < max {
            match self.session.fork(checkpoint) {
                Ok(fork) => forks.push(fork),
                Err(error) if error.kind() == ErrorKind::Limit => break,
                Err(error) => return Err(error),
            }
        }
        Ok(forks)
    }

    /// Makes a take in the session and one in each fork, all at once. `first` is the index of the first take.
    fn make_at_once(
        &mut self,
        start: TakeStart<'_>,
        config: &GenerationConfig,
        first: usize,
        forks: &mut [Session],
        on_event: &mut OnEvent<'_>,
    ) -> Result<Vec<Take>> {
        let model = self.session.model().clone();
        let indices = first..=first + forks.len();
        let with_seed = |index| GenerationConfig { seed: config.seed.wrapping_add(index as u64), ..config.clone() };
        let configs: Vec<_> = indices.clone().map(with_seed).collect();
        let mut takes: Vec<_> = indices.map(|index| OpenTake::new(index, start)).collect();
        let usage = &mut self.usage;
        let seconds = &mut self.seconds;
        run_at_once(&mut self.session, forks, start.checkpoint, &configs, |index, event| {
            let Some(take) = takes.get_mut(index) else { return Ok(()) };
            match event {
                Err(error) => take.take.failure = Some(error),
                Ok(Event::Finished { usage: used, seconds: spent }) => {
                    usage.prompt_positions = usage.prompt_positions.max(used.prompt_positions);
                    usage.steps += used.steps;
                    seconds.prefill = seconds.prefill.max(spent.prefill);
                    seconds.decode += spent.decode;
                }
                Ok(event) => take.follow(event, &model, on_event)?,
            }
            Ok(())
        })?;
        Ok(takes.into_iter().map(|take| take.take).collect())
    }

    /// Ranks `takes` by the score of the model's own caption of each last sound against `expected`, the best first. Takes
    /// without a sound have no rank. An error that ends the ranking early (the package cannot listen, for instance) is
    /// returned with the takes ranked before it.
    ///
    /// The model listens in the runner's session, which is cleared, or in a new session if the runner has an engine of its own.
    ///
    /// # Errors
    /// The error of `on_event`.
    pub fn rank(
        &mut self,
        takes: &[Take],
        modality: Modality,
        expected: &Expected,
        mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>,
    ) -> Result<(Vec<Ranked>, Option<Error>)> {
        self.rank_sounds(takes, modality, expected, &mut on_event)
    }

    pub(super) fn rank_sounds(
        &mut self,
        takes: &[Take],
        modality: Modality,
        expected: &Expected,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(Vec<Ranked>, Option<Error>)> {
        let (indices, sounds): (Vec<_>, Vec<_>) =
            takes.iter().filter_map(|take| Some((take.index, take.sound.clone()?))).unzip();
        if sounds.is_empty() {
            return Ok((Vec::new(), None));
        }
        on_event(TakeEvent::RankingStarted)?;
        let of_take = |ranked: Ranked| Ranked { take: indices.get(ranked.take).copied().unwrap_or_default(), ..ranked };
        // a slot of the runner's own engine may be too small for a recording
        let mut apart = self.engine.is_some().then(|| self.session.model().session());
        let session = apart.as_mut().unwrap_or(&mut self.session);
        let ranking = match session.ranking(&sounds, modality, expected) {
            Ok(ranking) => ranking,
            Err(error) => return Ok((Vec::new(), Some(error))),
        };
        let (ranked, failure) = ranking.into_partial(|ranked| on_event(TakeEvent::Ranked(&of_take(ranked.clone()))))?;
        Ok((ranked.into_iter().map(of_take).collect(), failure))
    }
}

/// Returns the maximum number of positions that `prompt` and its reply may take.
fn positions(model: &Model, prompt: &Prompt, config: &GenerationConfig) -> usize {
    // thinking is followed by another segment
    if config.max_segments > 1 || prompt.modality() == Modality::Thinking {
        return usize::MAX;
    }
    let steps = |modality: &Modality| config.segment(*modality).max_steps;
    let max = match config.force.first() {
        Some(forced) => steps(forced),
        None => Modality::ALL.iter().map(steps).max().unwrap_or_default(),
    };
    model.positions(prompt, max)
}

pub(super) fn nothing_made() -> Error {
    Error::new(ErrorKind::Cancelled, "stopped on request; nothing was made yet")
}

/// A take in the making.
struct OpenTake {
    take: Take,
    position: SegmentPosition,
    before: usize,
}

impl OpenTake {
    fn new(index: usize, start: TakeStart<'_>) -> Self {
        let (number, stage) = start.stage.unzip();
        let modality = stage.and_then(Stage::modality).unwrap_or(Modality::Text);
        let record = start.record.clone();
        Self {
            take: Take { index, segments: Vec::new(), sound: None, record, failure: None },
            position: SegmentPosition { take: index, number: number.unwrap_or(1), stage, modality },
            before: start.before,
        }
    }

    fn follow(&mut self, event: Event, model: &Model, on_event: &mut OnEvent<'_>) -> Result<()> {
        match event {
            Event::SegmentStarted { index, modality } => {
                self.position.modality = modality;
                // stages have numbers of their own
                if self.position.stage.is_none() {
                    self.position.number = self.before + index + 1;
                }
                on_event(TakeEvent::SegmentStarted(self.position))
            }
            Event::TextDelta(piece) => on_event(TakeEvent::TextDelta(self.position, piece)),
            Event::AudioProgress { seconds } => on_event(TakeEvent::AudioProgress(self.position, seconds)),
            Event::AudioChunk(chunk) => on_event(TakeEvent::AudioChunk(self.position, chunk)),
            Event::SegmentEnded { segment, .. } => self.keep(segment, model, on_event),
            Event::Finished { .. } => Ok(()),
        }
    }

    fn keep(&mut self, segment: Segment, model: &Model, on_event: &mut OnEvent<'_>) -> Result<()> {
        let sound = model.heard(&segment)?;
        self.take.record.push(&segment);
        let passed = on_event(TakeEvent::SegmentEnded {
            position: self.position,
            segment: &segment,
            sound: sound.as_ref(),
            record: &self.take.record,
        });
        self.take.sound = sound.or(self.take.sound.take());
        self.take.segments.push(segment);
        passed
    }
}

/// Runs a reply for each of `configs` from `checkpoint`, all at once: the first in `session`, the others in its `forks`.
/// Passes each event with the index of its reply to `on_event`, on the caller's thread; an error of `on_event` stops all
/// replies.
///
/// # Errors
/// The error of `on_event`.
fn run_at_once(
    session: &mut Session,
    forks: &mut [Session],
    checkpoint: &Checkpoint,
    configs: &[GenerationConfig],
    mut on_event: impl FnMut(usize, Result<Event>) -> Result<()>,
) -> Result<()> {
    if let [config] = configs {
        return forward(session, checkpoint, config, |event| on_event(0, event));
    }
    let sessions = once(session).chain(forks);
    scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let run = |(index, (session, config))| {
            let sender = sender.clone();
            // the receiver is gone once `on_event` has failed
            let gone = |_| Error::new(ErrorKind::Cancelled, "another take was stopped");
            let on_event = move |event| sender.send((index, event)).map_err(gone);
            scope.spawn(move || forward(session, checkpoint, config, on_event))
        };
        let threads: Vec<_> = sessions.zip(configs).enumerate().map(run).collect();
        drop(sender);
        for (index, event) in receiver {
            on_event(index, event)?;
        }
        let panicked = |_| Err(Error::new(ErrorKind::Graph, "the thread of a take panicked"));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}

/// Runs a reply and passes its events and its error to `on_event`.
fn forward(
    session: &mut Session,
    checkpoint: &Checkpoint,
    config: &GenerationConfig,
    mut on_event: impl FnMut(Result<Event>) -> Result<()>,
) -> Result<()> {
    match session.generate_from(checkpoint, config) {
        Ok(mut generation) => generation.try_for_each(on_event),
        Err(error) => on_event(Err(error)),
    }
}
