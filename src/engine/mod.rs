//! Continuous batching: an engine runs the steps of many conversations on one model together.
//!
//! One thread runs the language model for all sessions of an engine. Before a step the thread gathers the sessions that
//! have requested one; a session joins and leaves between two steps, and prompts run in chunks between steps. A step of
//! eight sequences costs far less than eight steps, because the weights are read and unpacked once.
//!
//! In fp32 and int8 a reply equals that of a session without an engine, token by token, because the numbers of a row do
//! not depend on the other rows. In int4, one row and several rows differ in the last bits.

mod body;
mod queue;
mod rows;
mod scheduler;
mod slot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;

use serde::Serialize;

use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::GenerationConfig;
use crate::language_model::Batch;
use crate::modality::Modality;
use crate::model::Model;
use crate::session::Session;
use queue::RequestQueue;
use scheduler::Scheduler;
use slot::{Embed, SlotSequence};

/// The maximum number of positions of a slot by default, if the limits do not bound positions.
const CONTEXT: usize = 4096;

/// Capacity of an [`Engine`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Number of slots: a session takes one slot, or two if it has room for guidance.
    pub slots: usize,
    /// The maximum number of positions of a slot. The default is as many as the model and
    /// [`Limits::context`](field@crate::Limits::context) allow and as fit into memory
    /// ([`Limits::memory`](field@crate::Limits::memory), here for all slots together); without a limit on positions, at most
    /// 4096.
    pub context: Option<usize>,
    /// Positions of a prompt to run between two steps of other sessions: a smaller chunk delays the steps less, a
    /// larger one finishes the prompt sooner.
    pub prefill_chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { slots: 16, context: None, prefill_chunk: 64 }
    }
}

impl EngineOptions {
    /// Sets the number of slots.
    #[must_use]
    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    /// Sets the number of positions of a slot.
    #[must_use]
    pub fn context(self, context: impl Into<Option<usize>>) -> Self {
        Self { context: context.into(), ..self }
    }

    /// Sets the number of positions of a prompt to run between two steps of other sessions.
    #[must_use]
    pub fn prefill_chunk(self, prefill_chunk: usize) -> Self {
        Self { prefill_chunk, ..self }
    }
}

/// A snapshot of an engine's load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// Number of slots.
    pub slots: usize,
    /// Slots that no session takes.
    pub free_slots: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Prompts that are running or waiting.
    pub waiting_prompts: usize,
    /// Sessions in the last step.
    pub batch_sessions: usize,
    /// Rows in the last step: a guided session has two.
    pub batch_rows: usize,
    /// Steps since the engine started.
    pub steps: u64,
    /// Sum of the rows of all steps.
    pub row_steps: u64,
    /// Prompt positions run since the engine started.
    pub prompt_positions: u64,
}

impl EngineStats {
    fn count_step(&mut self, sessions: usize, rows: usize) {
        self.batch_sessions = sessions;
        self.batch_rows = rows;
        self.steps += 1;
        self.row_steps += rows as u64;
    }
}

/// A batching engine for many conversations at once on one model; cheap to clone.
///
/// A session of an engine works like any other session, each on a thread of its own. When the last clone of the engine
/// is dropped, the sessions that are still open return errors.
///
/// ```no_run
/// use ualm::{Engine, EngineOptions, Message, Model};
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
///             session.generate(prompt, &config)?.into_reply()
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
    queue: Arc<RequestQueue>,
    embed: Arc<Embed>,
    context: usize,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Creates an engine on `model`, within the model's limits, and allocates the cache of all slots.
    ///
    /// # Errors
    /// There are no slots, the model has fewer positions than `context`, or the cache exceeds the limit on memory.
    pub fn new(model: &Model, options: &EngineOptions) -> Result<Self> {
        if options.slots == 0 || options.prefill_chunk == 0 {
            let slots = counted(options.slots, "slot");
            let what = format!("{slots}, chunks of {}; expected at least 1", options.prefill_chunk);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let graphs = model.language_model();
        let context = context(model, options)?;
        let batch = Batch::new(Arc::clone(graphs), options.slots, context)?;
        let queue = Arc::new(RequestQueue::new(options.slots));
        let scheduler = Scheduler::new(Arc::clone(&queue), batch, options.prefill_chunk);
        let thread = std::thread::Builder::new()
            .name("ualm-engine".to_owned())
            .spawn(|| scheduler.run())
            .map_err(|e| Error::new(ErrorKind::Limit, "the engine's thread cannot be started").with_source(e))?;
        let graphs = Arc::clone(graphs);
        let embed: Arc<Embed> = Arc::new(move |tokens, features| {
            // on the session's thread, so that no other session waits while a graph is loaded
            graphs.load_for(tokens.len())?;
            graphs.embed(tokens, features)
        });
        Ok(Self { inner: Arc::new(Inner { model: model.clone(), queue, embed, context, thread: Some(thread) }) })
    }

    /// Returns the model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Returns the maximum number of positions of a session.
    pub fn context(&self) -> usize {
        self.inner.context
    }

    /// Opens a session with room for guidance, which takes two slots until it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when not enough slots are free.
    pub fn session(&self) -> Result<Session> {
        self.open(true)
    }

    /// Opens a session for replies with `config`, which takes two slots if any segment may be guided, else one.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when not enough slots are free.
    pub fn session_for(&self, config: &GenerationConfig) -> Result<Session> {
        self.open(Self::slots_for(config) > 1)
    }

    /// Returns the number of slots that a session for `config` takes.
    pub fn slots_for(config: &GenerationConfig) -> usize {
        let forced_only = config.force.len() >= config.max_segments;
        let may_come = |modality: &Modality| !forced_only || config.force.contains(modality);
        let guided = Modality::ALL.iter().any(|modality| may_come(modality) && config.segment(*modality).is_guided());
        1 + usize::from(guided)
    }

    fn open(&self, guidance: bool) -> Result<Session> {
        let Inner { model, queue, embed, context, .. } = &*self.inner;
        Ok(Session::new(model.clone(), Box::new(SlotSequence::new(queue, embed, *context, guidance)?)))
    }

    /// Returns the current load.
    pub fn stats(&self) -> EngineStats {
        let state = self.inner.queue.lock();
        let sessions = state.sessions.iter().flatten().count();
        EngineStats { slots: state.rows.count(), free_slots: state.rows.free(), sessions, ..state.stats }
    }
}

/// Returns the positions of a slot, checked against the limits and the memory.
fn context(model: &Model, options: &EngineOptions) -> Result<usize> {
    let graphs = model.language_model();
    let limits = model.limits();
    let max = graphs.max_positions().min(limits.context);
    let memory = limits.cache_bytes();
    let fits = memory / graphs.cache_bytes(options.slots, 1).max(1);
    let usual = if limits.context == usize::MAX { CONTEXT } else { limits.context };
    let slots = counted(options.slots, "slot");
    let context = options.context.unwrap_or_else(|| max.min(usual).min(usize::try_from(fits).unwrap_or(max)));
    if context == 0 || context > max {
        let what = format!("{slots} of {context} positions each; expected 1..={max}");
        let way = match options.context {
            None => "give it fewer slots, or raise the limit on memory",
            Some(_) => "choose another context",
        };
        return Err(Error::new(ErrorKind::Limit, format!("{what}: {way}")));
    }
    let bytes = graphs.cache_bytes(options.slots, graphs.capacity(context));
    if bytes > memory {
        let [bytes, memory] = [bytes, memory].map(|bytes| bytes.div_ceil(1_000_000));
        let what = format!("{bytes} MB for {slots} of {context} positions; the limit is {memory} MB");
        let fixed = graphs.capacity(context);
        let way = if fixed == context {
            "give it fewer slots, or a smaller context".to_owned()
        } else {
            format!(
                "give it fewer slots, or load the model with shapes fixed to fewer than {fixed} positions (static=)"
            )
        };
        return Err(Error::new(ErrorKind::Limit, format!("{what}: {way}")));
    }
    Ok(context)
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.stop("it was dropped");
        if let Some(thread) = self.thread.take() {
            // a panic of the thread has reached the sessions as an error
            let _ = thread.join();
        }
    }
}
