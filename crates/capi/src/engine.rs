//! Engines: many conversations at once on one model.

use ualm::{Engine, EngineOptions, EngineStats};

use super::boundary::{entry, ualm_status, value};
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Place, free, share};
use super::model::ualm_model;
use super::session::ualm_session;
use super::sized::{Options, fill, read};

/// Many conversations at once on one model: their steps are run together, by one thread, which costs far less than each
/// on its own. A reply is the same as that of a session on its own.
pub struct ualm_engine(pub(super) Engine);

impl Handle for ualm_engine {
    const NAME: &'static str = "engine";
}

/// How large an engine is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_engine_options {
    /// Written by ualm_engine_options_init.
    pub struct_size: usize,
    /// Sequences at once; a session whose replies may be guided takes two.
    pub slots: usize,
    /// Positions that each of them may hold; 0 is as many as the model holds and the memory allows, but at most 4096.
    pub context: usize,
    /// Positions of a prompt that are run between two steps of the others: fewer make the others wait less, more finish
    /// the prompt sooner.
    pub prefill_chunk: usize,
}

// SAFETY: integers.
unsafe impl Options for ualm_engine_options {
    const NAME: &'static str = "ualm_engine_options";
    const OLDEST: usize = size_of::<Self>();
}

impl Default for ualm_engine_options {
    fn default() -> Self {
        let EngineOptions { slots, context, prefill_chunk } = EngineOptions::default();
        Self { struct_size: size_of::<Self>(), slots, context: context.unwrap_or(0), prefill_chunk }
    }
}

impl From<ualm_engine_options> for EngineOptions {
    fn from(options: ualm_engine_options) -> Self {
        let context = (options.context > 0).then_some(options.context);
        Self { slots: options.slots, context, prefill_chunk: options.prefill_chunk }
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_options_init(
    options: *mut ualm_engine_options,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: the header's law.
    entry(|| unsafe { fill(options, struct_size, ualm_engine_options::default()) })
}

/// Begins an engine on `model`, within the model's limits; `options` may be NULL. The cache of all slots is allocated
/// now. Refused (UALM_STATUS_LIMIT) when it takes more memory than the limits allow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_new(
    model: *const ualm_model,
    options: *const ualm_engine_options,
    engine: *mut *mut ualm_engine,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model) = unsafe { (Place::new(engine)?, share(model)?) };
        // SAFETY: the header's law.
        let options = unsafe { read(options, ualm_engine_options::default()) }?;
        place.fill(ualm_engine(Engine::new(&model.0, &options.into())?));
        Ok(())
    })
}

/// Begins a conversation in the engine; it is worked with and freed as any other, by a thread of its own. It takes two
/// slots if replies with `options` may be guided, else one; NULL stands for the model's defaults. Refused
/// (UALM_STATUS_LIMIT) when not enough slots are free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_session_new(
    engine: *const ualm_engine,
    options: *const ualm_generation_options,
    session: *mut *mut ualm_session,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, engine) = unsafe { (Place::new(session)?, share(engine)?) };
        // SAFETY: the header's law.
        let config = unsafe { generation_config(options, engine.0.model().config()) }?;
        place.fill(ualm_session::new(engine.0.session_for(&config)?, Some(&engine.0)));
        Ok(())
    })
}

/// Positions that a conversation in the engine may hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_context(engine: *const ualm_engine) -> usize {
    // SAFETY: the header's law.
    value(0, || Ok(unsafe { share(engine) }?.0.context()))
}

/// What an engine does. The library fills it; later versions may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_engine_stats {
    /// Written by ualm_engine_read_stats.
    pub struct_size: usize,
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
    /// Sequences in the last step.
    pub batch_rows: usize,
    /// Steps since it began.
    pub steps: u64,
    /// Steps times the sequences in each.
    pub row_steps: u64,
    /// Positions of prompts since it began.
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

/// What the engine does at the moment; `struct_size` is sizeof *stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_read_stats(
    engine: *const ualm_engine,
    stats: *mut ualm_engine_stats,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: the header's law.
    entry(|| unsafe { fill(stats, struct_size, share(engine)?.0.stats().into()) })
}

/// Frees an engine; sessions of it go on. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_engine_free(engine: *mut ualm_engine) {
    // SAFETY: the header's law.
    unsafe { free(engine) }
}
