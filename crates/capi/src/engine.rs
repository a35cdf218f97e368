//! Engines: many concurrent conversations on one model.

use ualm::{Engine, EngineOptions, EngineStats};

use super::boundary::{entry, ualm_status, value};
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;
use super::session::ualm_session;
use super::sized::{Options, fill, read};

/// Many concurrent conversations on one model. One thread runs their steps in batches, which costs far less than
/// running each conversation alone. A reply is the same as that of a session without an engine.
pub struct ualm_engine(pub(super) Engine);

impl Handle for ualm_engine {
    const NAME: &'static str = "engine";
}

/// The capacity of an engine.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_engine_options {
    /// Written by ualm_engine_options_init.
    pub struct_size: usize,
    /// Sequences at once; a session whose replies may be guided takes two.
    pub slots: usize,
    /// Positions of each slot; 0 takes the model's context within the limits, or at most 4096 if positions are not
    /// limited.
    pub context: usize,
    /// Positions of a prompt that run between two steps of the other sessions: a smaller chunk delays the other
    /// sessions less, a larger one finishes the prompt sooner.
    pub prefill_chunk: usize,
}

// SAFETY: integers.
unsafe impl Options for ualm_engine_options {
    const NAME: &'static str = "ualm_engine_options";
    const OLDEST: usize = size_of::<Self>();
}

impl Default for ualm_engine_options {
    fn default() -> Self {
        let EngineOptions { slots, context, prefill_chunk, .. } = EngineOptions::default();
        Self { struct_size: size_of::<Self>(), slots, context: context.unwrap_or(0), prefill_chunk }
    }
}

impl From<ualm_engine_options> for EngineOptions {
    fn from(options: ualm_engine_options) -> Self {
        let context = (options.context > 0).then_some(options.context);
        Self::default().slots(options.slots).context(context).prefill_chunk(options.prefill_chunk)
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_options_init(
    options: *mut ualm_engine_options,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, ualm_engine_options::default()) })
}

/// Starts an engine on `model`, within the model's limits; `options` may be NULL. The cache of all slots is allocated
/// now. Refused (UALM_STATUS_LIMIT) when it takes more memory than the limits allow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_new(
    model: *const ualm_model,
    options: *const ualm_engine_options,
    engine: *mut *mut ualm_engine,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (Out::new(engine)?, share(model)?) };
        // SAFETY: per the header's contract.
        let options = unsafe { read(options, ualm_engine_options::default()) }?;
        out.fill(ualm_engine(Engine::new(&model.0, &options.into())?));
        Ok(())
    })
}

/// Begins a conversation in the engine, which is used and freed like any other session, on any thread. It takes two
/// slots if replies with `options` may be guided, else one; NULL takes the model's defaults. Fails with
/// UALM_STATUS_LIMIT when too few slots are free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_session_new(
    engine: *const ualm_engine,
    options: *const ualm_generation_options,
    session: *mut *mut ualm_session,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, engine) = unsafe { (Out::new(session)?, share(engine)?) };
        // SAFETY: per the header's contract.
        let config = unsafe { generation_config(options, engine.0.model().config()) }?;
        out.fill(ualm_session::new(engine.0.session_for(&config)?, Some(&engine.0)));
        Ok(())
    })
}

/// Returns the number of positions that a conversation in the engine may hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_context(engine: *const ualm_engine) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(engine) }?.0.context()))
}

/// A snapshot of an engine's load. The library fills it; later versions may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_engine_stats {
    /// Written by ualm_engine_read_stats.
    pub struct_size: usize,
    /// Slots in total.
    pub slots: usize,
    /// Free slots.
    pub free_slots: usize,
    /// Sessions.
    pub sessions: usize,
    /// Prompts that are running or queued.
    pub waiting_prompts: usize,
    /// Sessions in the last step.
    pub batch_sessions: usize,
    /// Sequences in the last step.
    pub batch_rows: usize,
    /// Steps since the engine started.
    pub steps: u64,
    /// Sum of the sequences of all steps.
    pub row_steps: u64,
    /// Positions of prompts since the engine started.
    pub prompt_positions: u64,
}

// SAFETY: integers.
unsafe impl Options for ualm_engine_stats {
    const NAME: &'static str = "ualm_engine_stats";
    const OLDEST: usize = size_of::<Self>();
}

impl From<EngineStats> for ualm_engine_stats {
    fn from(stats: EngineStats) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            slots: stats.slots,
            free_slots: stats.free_slots,
            sessions: stats.sessions,
            waiting_prompts: stats.waiting_prompts,
            batch_sessions: stats.batch_sessions,
            batch_rows: stats.batch_rows,
            steps: stats.steps,
            row_steps: stats.row_steps,
            prompt_positions: stats.prompt_positions,
        }
    }
}

/// Fills `stats` with the engine's current load; `struct_size` is sizeof *stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_read_stats(
    engine: *const ualm_engine,
    stats: *mut ualm_engine_stats,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(stats, struct_size, share(engine)?.0.stats().into()) })
}

/// Frees an engine; its sessions stay usable. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_free(engine: *mut ualm_engine) {
    // SAFETY: per the header's contract.
    unsafe { free(engine) }
}
