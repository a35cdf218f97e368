//! Several takes of one sound, made at once: they share the run of the prompt, and then their steps.

use std::iter::once;
use std::thread::scope;

use ualm::{
    Cancel, Checkpoint, Engine, EngineOptions, Error, ErrorKind, GenerationConfig, Model, Result, Segment, Session,
};

use crate::progress::Progress;
use crate::sound::run;

/// The most takes that are made at once: with more of them, none would be there sooner.
const AT_ONCE: usize = 8;

/// What [`run`] gives of a take.
pub type Made = Result<(Segment, Option<Error>)>;

/// A session that can make takes at once.
pub struct Studio {
    pub session: Session,
    /// Takes that may be made at once.
    pub at_once: usize,
    /// The session's work is done there, if it may have company.
    _engine: Option<Engine>,
}

impl Studio {
    /// A session for `takes` within `positions`, of replies as `config` wants them or of any; fewer of them at once where
    /// the memory does not allow more.
    pub fn new(model: &Model, takes: u16, positions: usize, config: Option<&GenerationConfig>) -> Result<Self> {
        let most = model.manifest().language_model.max_position_embeddings.min(model.limits().context);
        for at_once in (2..=AT_ONCE.min(takes.into())).rev() {
            let slots = at_once * config.map_or(2, Engine::slots_for);
            let context = Some(positions.min(most));
            match Engine::new(model, &EngineOptions { slots, context, ..EngineOptions::default() }) {
                Ok(engine) => {
                    let session = config.map_or_else(|| engine.session(), |config| engine.session_for(config))?;
                    return Ok(Self { session, at_once, _engine: Some(engine) });
                }
                Err(error) if error.kind() == ErrorKind::Limit => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { session: model.session(), at_once: 1, _engine: None })
    }

    /// Makes a take for each of `configs` from `place`, at the most [`at_once`](Self::at_once); what [`run`] gives of
    /// each, in their order.
    pub fn make(
        &mut self,
        place: &Checkpoint,
        configs: &[GenerationConfig],
        progress: &Progress,
        cancel: &Cancel,
    ) -> Result<Vec<Made>> {
        let forks = configs.iter().skip(1).map(|_| self.session.fork(place));
        let mut forks = forks.collect::<Result<Vec<_>>>()?;
        let sessions = once(&mut self.session).chain(&mut forks);
        Ok(scope(|scope| {
            let take = |(session, config): (&mut Session, &GenerationConfig)| {
                run(progress, session.generate_from(place, config, cancel)?)
            };
            let threads: Vec<_> = sessions.zip(configs).map(|each| scope.spawn(move || take(each))).collect();
            let panicked = |_| Err(Error::new(ErrorKind::Graph, "the thread of a take panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        }))
    }
}
