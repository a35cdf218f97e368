//! Many conversations at once on one model: their steps are run together (continuous batching).
//!
//! One thread runs the language model for all sessions of an engine. Before a step it gathers those that want one; a
//! session joins and leaves between two steps, and a prompt is run in chunks between them. A step of eight sequences
//! costs far less than eight steps, because the weights are read and unpacked once.
//!
//! A reply is the same as that of a session on its own, token by token, in fp32 and int8: a row's numbers do not depend
//! on the rows beside it. int4 differs in the last bits between one row and several.

mod desk;
mod rows;
mod scheduler;
mod seat;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::GenerationConfig;
use crate::language_model::Batch;
use crate::modality::Modality;
use crate::model::Model;
use crate::session::Session;
use desk::Desk;
use scheduler::Scheduler;
use seat::{Embed, Seat};

/// The most positions of a slot unless the caller says otherwise.
const CONTEXT: usize = 4096;

/// How large an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Sequences at once; a guided one takes two.
    pub slots: usize,
    /// Positions that each of them may hold; by default as many as the model holds and the memory allows
    /// ([`Limits::memory`](crate::Limits::memory), here for all slots together), but at most 4096.
    pub context: Option<usize>,
    /// Positions of a prompt that are run between two steps of the others: fewer make the others wait less, more finish
    /// the prompt sooner.
    pub prefill_chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { slots: 16, context: None, prefill_chunk: 64 }
    }
}

impl EngineOptions {
    /// Sets the number of sequences at once.
    #[must_use]
    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    /// Sets the number of positions that a sequence may hold.
    #[must_use]
    pub fn context(self, context: impl Into<Option<usize>>) -> Self {
        Self { context: context.into(), ..self }
    }

    /// Sets the number of positions of a prompt that are run between two steps of the others.
    #[must_use]
    pub fn prefill_chunk(self, prefill_chunk: usize) -> Self {
        Self { prefill_chunk, ..self }
    }
}

/// What an engine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// Sequences that it can hold.
    pub slots: usize,
    /// Those that no session has.
    pub free_slots: usize,
    /// Sessions.
    pub sessions: usize,
    /// Prompts that are being run, or wait for it.
    pub waiting_prompts: usize,
    /// Sessions in the last step.
    pub batch_sessions: usize,
    /// Sequences in the last step: guided sessions have two.
    pub batch_rows: usize,
    /// Steps since it began.
    pub steps: u64,
    /// Steps times the sequences in each.
    pub row_steps: u64,
    /// Positions of prompts since it began.
    pub prompt_positions: u64,
}

impl EngineStats {
    fn count_step(&mut self, sessions: usize, rows: usize) {
        (self.batch_sessions, self.batch_rows) = (sessions, rows);
        self.steps += 1;
        self.row_steps += rows as u64;
    }
}

/// Many conversations at once on one model; cheap to clone.
///
/// Its sessions are like any others, each for a thread of its own. When the last clone is dropped, sessions that are
/// still there get errors.
///
/// ```no_run
/// use ualm::{Cancel, Engine, EngineOptions, Message, Model};
///
/// # fn main() -> ualm::Result<()> {
/// let engine = Engine::new(&Model::load("onnx/default")?, &EngineOptions::default())?;
/// std::thread::scope(|scope| {
///     for words in ["a dog barks", "rain"] {
///         let engine = &engine;
///         scope.spawn(move || {
///             let mut session = engine.session()?;
///             let prompt = session.prompt(&[Message::text(words)])?;
///             let config = session.model().config();
///             session.generate(prompt, &config, &Cancel::new())?.into_reply()
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    model: Model,
    desk: Arc<Desk>,
    embed: Arc<Embed>,
    context: usize,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// An engine on `model`, within its limits. The cache of all slots is allocated at once.
    ///
    /// Errors: no slots, or a context that the model does not have; more memory than the limit allows.
    pub fn new(model: &Model, options: &EngineOptions) -> Result<Self> {
        if options.slots == 0 || options.prefill_chunk == 0 {
            let what = format!("{} slots, chunks of {}; expected at least 1", options.slots, options.prefill_chunk);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let graphs = model.language_model();
        let context = context(model, options)?;
        let batch = Batch::new(Arc::clone(graphs), options.slots, context)?;
        let desk = Arc::new(Desk::new(options.slots));
        let scheduler = Scheduler::new(Arc::clone(&desk), batch, options.prefill_chunk);
        let thread = std::thread::Builder::new()
            .name("ualm-engine".to_owned())
            .spawn(|| scheduler.run())
            .map_err(|e| Error::new(ErrorKind::Limit, "the engine's thread cannot be started").with_source(e))?;
        let graphs = Arc::clone(graphs);
        let embed: Arc<Embed> = Arc::new(move |frames, features| graphs.embed(frames, features));
        Ok(Self { inner: Arc::new(Inner { model: model.clone(), desk, embed, context, thread: Some(thread) }) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Positions that a session may hold.
    pub fn context(&self) -> usize {
        self.inner.context
    }

    /// A new conversation, with room for guidance: it takes two slots until it is dropped.
    ///
    /// Errors: [`ErrorKind::Limit`] when not enough slots are free.
    pub fn session(&self) -> Result<Session> {
        self.open(true)
    }

    /// A new conversation for replies made as `config` says: it takes two slots if any segment may be guided, else one.
    ///
    /// Errors: [`ErrorKind::Limit`] when not enough slots are free.
    pub fn session_for(&self, config: &GenerationConfig) -> Result<Session> {
        self.open(Self::slots_for(config) > 1)
    }

    /// Slots that a session for `config` takes.
    pub fn slots_for(config: &GenerationConfig) -> usize {
        let forced_only = config.force.len() >= config.max_segments;
        let may_come = |modality: &Modality| !forced_only || config.force.contains(modality);
        let guided = Modality::ALL.iter().any(|modality| may_come(modality) && config.segment(*modality).is_guided());
        1 + usize::from(guided)
    }

    fn open(&self, guidance: bool) -> Result<Session> {
        let Inner { model, desk, embed, context, .. } = &*self.inner;
        Ok(Session::new(model.clone(), Box::new(Seat::new(desk, embed, *context, guidance)?)))
    }

    /// What it does at the moment.
    pub fn stats(&self) -> EngineStats {
        let state = self.inner.desk.lock();
        let sessions = state.seats.iter().flatten().count();
        EngineStats { slots: state.rows.count(), free_slots: state.rows.free(), sessions, ..state.stats }
    }
}

/// Positions of a slot, after what they take was counted.
fn context(model: &Model, options: &EngineOptions) -> Result<usize> {
    let (graphs, limits) = (model.language_model(), model.limits());
    let most = graphs.max_positions().min(limits.context);
    let memory = limits.cache_bytes();
    let fits = memory / graphs.cache_bytes(options.slots, 1).max(1);
    let context = options.context.unwrap_or_else(|| most.min(CONTEXT).min(usize::try_from(fits).unwrap_or(most)));
    if context == 0 || context > most {
        let what = format!("{} slots of {context} positions each; expected 1 … {most}", options.slots);
        let way = "give it fewer slots, or raise the limit on memory";
        return Err(Error::new(ErrorKind::Limit, format!("{what}: {way}")));
    }
    let bytes = graphs.cache_bytes(options.slots, context);
    if bytes > memory {
        let [bytes, memory] = [bytes, memory].map(|bytes| bytes.div_ceil(1_000_000));
        let what = format!("{} slots of {context} positions take {bytes} MB; the limit is {memory} MB", options.slots);
        return Err(Error::new(ErrorKind::Limit, format!("{what}: give it fewer slots, or a smaller context")));
    }
    Ok(context)
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.desk.stop("it was dropped");
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has told the sessions so
            let _ = thread.join();
        }
    }
}
