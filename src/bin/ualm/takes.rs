//! Several takes of one sound, made at once: they share the run of the prompt, and then their steps.

use std::iter::once;
use std::thread::scope;

use ualm::{Cancel, Checkpoint, Engine, EngineOptions, Error, ErrorKind, GenerationConfig, Model, Result, Session};

use crate::progress::Progress;
use crate::sound::{self, run};

/// The most takes that are made at once: with more of them, none would be there sooner.
const AT_ONCE: usize = 8;

/// What [`run`] gives of a take.
pub type Made = Result<sound::Made>;

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

/// Makes a take for each of `configs` from `place`, at the most [`Studio::at_once`]; what [`run`] gives of each, in their
/// order.
pub fn make_takes(
    session: &mut Session,
    place: &Checkpoint,
    configs: &[GenerationConfig],
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Vec<Made>> {
    let forks = configs.iter().skip(1).map(|_| session.fork(place));
    let mut forks = forks.collect::<Result<Vec<_>>>()?;
    let sessions = once(session).chain(&mut forks);
    Ok(scope(|scope| {
        let take = |(session, config): (&mut Session, &GenerationConfig)| {
            run(progress, session.generate_from(place, config, cancel)?)
        };
        let threads: Vec<_> = sessions.zip(configs).map(|each| scope.spawn(move || take(each))).collect();
        let panicked = |_| Err(Error::new(ErrorKind::Graph, "the thread of a take panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    }))
}
