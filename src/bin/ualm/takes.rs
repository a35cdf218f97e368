//! Several takes of one sound, made at once: they share the run of the prompt, and then their steps.

use std::iter::once;
use std::sync::mpsc::sync_channel;
use std::thread::scope;

use ualm::{
    Cancel, Checkpoint, Engine, EngineOptions, Error, ErrorKind, Event, GenerationConfig, Model, Result, Session,
};

use crate::sound::{Made, Pending};

/// The most takes that are made at once: with more of them, none would be there sooner.
pub const AT_ONCE: usize = 8;
/// Events of the takes that may wait to be told.
const WAITING: usize = 64;

/// Room for takes that are made at once.
pub struct Studio {
    model: Model,
    /// Takes that may be made at once.
    pub at_once: usize,
    /// There is one if a session may have company.
    engine: Option<Engine>,
}

impl Studio {
    /// Room for `takes` within `positions`, of replies as `config` wants them or of any; for fewer of them at once where
    /// the memory does not allow more.
    pub fn new(model: &Model, takes: u16, positions: usize, config: Option<&GenerationConfig>) -> Result<Self> {
        let most = model.manifest().language_model.max_position_embeddings.min(model.limits().context);
        let model = model.clone();
        for at_once in (2..=AT_ONCE.min(takes.into())).rev() {
            let slots = at_once * config.map_or(2, Engine::slots_for);
            let context = Some(positions.min(most));
            match Engine::new(&model, &EngineOptions { slots, context, ..EngineOptions::default() }) {
                Ok(engine) => return Ok(Self { model, at_once, engine: Some(engine) }),
                Err(error) if error.kind() == ErrorKind::Limit => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { model, at_once: 1, engine: None })
    }

    /// The session for replies as `config` wants them, or for any.
    pub fn session(&self, config: Option<&GenerationConfig>) -> Result<Session> {
        match (&self.engine, config) {
            (None, _) => Ok(self.model.session()),
            (Some(engine), None) => engine.session(),
            (Some(engine), Some(config)) => engine.session_for(config),
        }
    }
}

/// Settings of the takes with these numbers, from 0: each has its own seed, `config`'s the first of all.
pub fn take_configs(config: &GenerationConfig, numbers: impl IntoIterator<Item = u16>) -> Vec<GenerationConfig> {
    let with_seed = |number: u16| GenerationConfig { seed: config.seed.wrapping_add(number.into()), ..config.clone() };
    numbers.into_iter().map(with_seed).collect()
}

/// Makes a take for each of `configs` from `place`, all at once; what there is of each, in their order. `tell` is given
/// what happens before a take's end, in the caller's thread; an error of it stops them all.
pub fn make_takes(
    session: &mut Session,
    place: &Checkpoint,
    configs: &[GenerationConfig],
    cancel: &Cancel,
    mut tell: impl FnMut(Event) -> Result<()>,
) -> Result<Vec<Result<Made>>> {
    let mut takes: Vec<_> = configs.iter().map(|_| Pending::default()).collect();
    run_at_once(session, place, configs, cancel, |take, event| {
        let event = takes.get_mut(take).and_then(|take| take.keep(event));
        event.map_or(Ok(()), &mut tell)
    })?;
    Ok(takes.into_iter().map(Pending::finish).collect())
}

/// Runs a reply for each of `configs` from `place`, all at once: the first in `session`, the others in forks of it.
/// `tell` is given what happens, and in which of them, in the caller's thread; an error of it stops them all.
///
/// # Errors
/// That of `tell`; no room for the forks.
pub fn run_at_once(
    session: &mut Session,
    place: &Checkpoint,
    configs: &[GenerationConfig],
    cancel: &Cancel,
    mut tell: impl FnMut(usize, Result<Event>) -> Result<()>,
) -> Result<()> {
    if let [config] = configs {
        return forward(session, place, config, cancel, |event| tell(0, event));
    }
    let forks = configs.iter().skip(1).map(|_| session.fork(place));
    let mut forks = forks.collect::<Result<Vec<_>>>()?;
    let sessions = once(session).chain(&mut forks);
    scope(|scope| {
        let (events, told) = sync_channel(WAITING);
        let run = |(take, (session, config))| {
            let events = events.clone();
            // nobody is told any more once one of them was stopped
            let gone = |_| Error::new(ErrorKind::Cancelled, "another take was stopped");
            let tell = move |event| events.send((take, event)).map_err(gone);
            scope.spawn(move || forward(session, place, config, cancel, tell))
        };
        let threads: Vec<_> = sessions.zip(configs).enumerate().map(run).collect();
        drop(events);
        told.into_iter().try_for_each(|(take, event)| tell(take, event))?;
        let panicked = |_| Err(Error::new(ErrorKind::Graph, "the thread of a take panicked"));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}

/// Runs a reply, and hands on what happens and how it fails.
fn forward(
    session: &mut Session,
    place: &Checkpoint,
    config: &GenerationConfig,
    cancel: &Cancel,
    mut tell: impl FnMut(Result<Event>) -> Result<()>,
) -> Result<()> {
    match session.generate_from(place, config, cancel) {
        Ok(mut generation) => generation.try_for_each(tell),
        Err(error) => tell(Err(error)),
    }
}
