//! Chains of reasoning, taken event by event.

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, TryLockError};

use ualm::{Cancel, Chain, ChainOptions, ChainRunner, GenerationConfig, MOST_AT_ONCE, Message, TakeRunner};

use super::argument::{text, write};
use super::boundary::{Failure, Result, entry, ualm_status, value};
use super::cancel::ualm_cancel;
use super::engine::ualm_engine;
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Place, free, share, share_if_any};
use super::model::ualm_model;
use super::names::{reasoning_mode, ualm_reasoning_mode, ualm_stage};
use super::ranking::ualm_ranking;
use super::record::ualm_record;
use super::sized::{Options, fill, flag, read};
use super::stages::{Made, Stages};
use super::takes::{Room, TakeEventView, ualm_take_event};
use super::view::{ualm_samples, ualm_segment};

/// A chain of reasoning in the making: a conversation that is led through its stages, taken event by event.
pub struct ualm_chain {
    puller: Mutex<Puller>,
    stop: Cancel,
    stages: Vec<ualm_stage>,
    is_trained: bool,
}

impl Handle for ualm_chain {
    const NAME: &'static str = "chain";
}

struct Puller {
    stages: Stages,
    /// The event that C looks at.
    current: Option<TakeEventView>,
}

impl ualm_chain {
    fn lock(&self) -> Result<MutexGuard<'_, Puller>> {
        match self.puller.try_lock() {
            Ok(puller) => Ok(puller),
            Err(TryLockError::Poisoned(puller)) => Ok(puller.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::busy("another thread works with this chain")),
        }
    }

    /// Returns what `look` sees of the segment of the stage at `index`.
    fn look<T>(&self, index: usize, look: impl FnOnce(&Made) -> *const T) -> Result<*const T> {
        Ok(self.lock()?.stages.made(index).map_or(std::ptr::null(), look))
    }
}

/// The options of a chain of reasoning.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_chain_options {
    /// Written by ualm_chain_options_init.
    pub struct_size: usize,
    /// Seed of every segment; take n (from 0) of the final sound has the seed plus n.
    pub seed: u64,
    /// Rounds of reflection, 1 to 32; 0 is those of the chain that is resumed, or 1.
    pub rounds: usize,
    /// Takes of the final sound; at least 1.
    pub takes: usize,
    /// The way to reason (ualm_reasoning_mode); UALM_REASONING_MODE_USUAL is that of the package, or of the chain that is
    /// resumed.
    pub mode: i32,
    /// 1 lets a reflection hear its drafts through the audio encoder, 0 does not; -1 is as the package, or the chain that
    /// is resumed.
    pub listen: i32,
    /// 1 ranks the takes of the final sound by how well they cover the plan, and ends the chain with the best; 0 ends it
    /// with the first.
    pub best: i32,
    /// 1 gives sound out in chunks while it is being made, at some cost in speed; 0 at the end of its segment.
    pub stream_audio: i32,
    /// 1 resumes a chain with `seed`; 0 with that of its record. A chain that begins has `seed` in any case.
    pub reseed: usize,
}

// SAFETY: integers.
unsafe impl Options for ualm_chain_options {
    const NAME: &'static str = "ualm_chain_options";
    const OLDEST: usize = size_of::<Self>();
}

impl Default for ualm_chain_options {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            seed: 0,
            rounds: 0,
            takes: 1,
            mode: ualm_reasoning_mode::Usual as i32,
            listen: -1,
            best: 0,
            stream_audio: 0,
            reseed: 0,
        }
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_options_init(options: *mut ualm_chain_options, struct_size: usize) -> ualm_status {
    // SAFETY: the header's law.
    entry(|| unsafe { fill(options, struct_size, ualm_chain_options::default()) })
}

/// The arguments that both ways to begin share.
struct Begun {
    room: Room,
    options: ualm_chain_options,
    /// Settings in place of those of the package or the record.
    settings: Option<GenerationConfig>,
    stop: Cancel,
}

impl Begun {
    /// # Safety
    /// The header's law.
    unsafe fn new(
        model: *const ualm_model,
        engine: *const ualm_engine,
        options: *const ualm_chain_options,
        settings: *const ualm_generation_options,
        cancel: *const ualm_cancel,
    ) -> Result<Self> {
        // SAFETY: the contract is the same.
        let (room, cancel) = unsafe { (Room::new(model, engine)?, share_if_any(cancel)?) };
        // SAFETY: the contract is the same.
        let options = unsafe { read(options, ualm_chain_options::default()) }?;
        if options.takes == 0 {
            return Err(Failure::invalid("takes is 0; expected at least 1"));
        }
        let settings = match settings.is_null() {
            true => None,
            // SAFETY: the contract is the same.
            false => Some(unsafe { generation_config(settings, room.model().config()) }?),
        };
        let stop = cancel.map_or_else(Cancel::new, |cancel| cancel.0.below());
        Ok(Self { room, options, settings, stop })
    }

    /// Returns `usual` as the options change it.
    fn chain(&self, usual: Chain) -> Result<Chain> {
        let options = &self.options;
        let listen = match options.listen {
            -1 => None,
            listen => Some(flag(listen, "listen")?),
        };
        let rounds = (options.rounds > 0).then_some(options.rounds);
        Ok(self.room.model().reasoning().changed(usual, reasoning_mode(options.mode)?, rounds, listen))
    }

    fn chain_options(&self, seed: Option<u64>) -> Result<ChainOptions<'static>> {
        let settings = self.settings.clone();
        Ok(ChainOptions {
            seed,
            takes: self.options.takes,
            best: flag(self.options.best, "best")?,
            stream_audio: flag(self.options.stream_audio, "stream_audio")?,
            plan: None,
            settings: Box::new(move |config| {
                if let Some(given) = &settings {
                    (config.text, config.audio, config.speech) = (given.text, given.audio, given.speech);
                }
            }),
        })
    }

    fn takes(&self) -> Result<TakeRunner> {
        Ok(match &self.room {
            Room::Model(model) => TakeRunner::new(model, self.options.takes)?,
            Room::Engine(engine) => TakeRunner::in_session(engine.session()?, MOST_AT_ONCE),
        })
    }

    fn finish(self, runner: ChainRunner<'static>) -> ualm_chain {
        let engine = match self.room {
            Room::Engine(engine) => Some(engine),
            Room::Model(_) => None,
        };
        let stages = runner.stages().iter().copied().map(ualm_stage::from).collect();
        let is_trained = runner.model().reasoning().is_trained_for(runner.chain().mode);
        let puller = Puller { stages: Stages::new(runner, self.stop.clone(), engine), current: None };
        ualm_chain { puller: Mutex::new(puller), stop: self.stop, stages, is_trained }
    }
}

/// Begins a chain about `words` and runs its prompt; its events are taken with ualm_chain_next. It has a conversation of
/// its own: in `engine`, where it takes two slots, and its takes as many more as are free, or with NULL on `model`; one of
/// the two may be NULL.
///
/// `options` may be NULL. Of `settings` those of text, audio and speech count; NULL stands for the package's. `cancel`
/// may be NULL; it stops the chain at any time, and fails this call with UALM_STATUS_CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_new(
    model: *const ualm_model,
    engine: *const ualm_engine,
    words: *const c_char,
    options: *const ualm_chain_options,
    settings: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    chain: *mut *mut ualm_chain,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, words) = unsafe { (Place::new(chain)?, text(words, "words")?) };
        // SAFETY: the header's law.
        let begun = unsafe { Begun::new(model, engine, options, settings, cancel) }?;
        let chain = begun.chain(begun.room.model().reasoning().chain())?;
        let options = begun.chain_options(Some(begun.options.seed))?;
        let runner = ChainRunner::begin(begun.takes()?, chain, words, options, &begun.stop)?;
        place.fill(begun.finish(runner));
        Ok(())
    })
}

/// Resumes the chain of `record` before the stage at `stage_index` (from 0, as ualm_chain_stage counts them), id by id as
/// if it had never stopped. The chain may go on in another way, but the stages before that must be of the same modalities.
/// A hearing cannot be resumed at, but its draft or its critique can. The rest is as of ualm_chain_new; NULL for
/// `settings` stands for those of the record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_resume(
    model: *const ualm_model,
    engine: *const ualm_engine,
    record: *const ualm_record,
    stage_index: usize,
    options: *const ualm_chain_options,
    settings: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    chain: *mut *mut ualm_chain,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, record) = unsafe { (Place::new(chain)?, share(record)?) };
        // SAFETY: the header's law.
        let begun = unsafe { Begun::new(model, engine, options, settings, cancel) }?;
        let record = record.record();
        let saved = record.chain.ok_or_else(|| Failure::invalid("the record is of no chain"))?;
        let chain = begun.chain(saved)?;
        let reseed = flag(begun.options.reseed, "reseed")?;
        let options = begun.chain_options(reseed.then_some(begun.options.seed))?;
        let runner = ChainRunner::resume(begun.takes()?, chain, record, stage_index, options, &begun.stop)?;
        place.fill(begun.finish(runner));
        Ok(())
    })
}

/// Works until something happens, and tells it. Each stage ends with UALM_TAKE_EVENT_KIND_STAGE_ENDED, the chain with
/// UALM_TAKE_EVENT_KIND_FINISHED; `event` becomes NULL after it, and after a failure. A question is told again until it
/// is answered. A chain that was stopped is no failure: it ends with what it has. After a failure of which no stage has
/// told (stop), nothing of the stage was kept, and the next call makes it again. The event is valid until the next call
/// for this chain, or until it is freed. A stage works ahead by one event, in a thread of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_next(chain: *mut ualm_chain, event: *mut *const ualm_take_event) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { write(event, std::ptr::null(), "event") }?;
        // SAFETY: the header's law.
        let chain = unsafe { share(chain) }?;
        let mut puller = chain.lock()?;
        let puller = &mut *puller;
        puller.current = None;
        puller.current = puller.stages.next()?;
        let found = puller.current.as_ref().map_or(std::ptr::null(), |event| std::ptr::from_ref(event.view()));
        // SAFETY: the header's law. The event lives in the chain until the next call.
        unsafe { write(event, found, "event") }
    })
}

/// Answers the model's question, after UALM_TAKE_EVENT_KIND_QUESTION. Refused (UALM_STATUS_INVALID) where none awaits an
/// answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_answer(chain: *mut ualm_chain, words: *const c_char) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (chain, words) = unsafe { (share(chain)?, text(words, "words")?) };
        let mut puller = chain.lock()?;
        let stop = puller.stages.stop().clone();
        puller.stages.runner()?.answer(Message::text(words), &stop)?;
        Ok(())
    })
}

/// Sets the plan, in place of one that the model writes or has just written: the next events make a segment of it.
/// Refused (UALM_STATUS_INVALID) where neither the next stage nor the last one is a plan, and while a stage is being made
/// (UALM_STATUS_BUSY).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_set_plan(chain: *mut ualm_chain, plan: *const c_char) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (chain, plan) = unsafe { (share(chain)?, text(plan, "plan")?) };
        chain.lock()?.stages.set_plan(plan)
    })
}

/// Stops a chain, from any thread: it ends after its current step. The events that are left are still given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stop(chain: *mut ualm_chain) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { share(chain) }?.stop.cancel();
        Ok(())
    })
}

/// 1 when the package was trained to reason in the chain's mode. 0 when not: its stages are forced in their order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_is_trained(chain: *const ualm_chain) -> c_int {
    // SAFETY: the header's law.
    value(0, || Ok(c_int::from(unsafe { share(chain) }?.is_trained)))
}

/// Returns the number of stages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stage_count(chain: *const ualm_chain) -> usize {
    // SAFETY: the header's law.
    value(0, || Ok(unsafe { share(chain) }?.stages.len()))
}

/// The stage at `index`, from 0; UALM_STAGE_NONE after the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stage(chain: *const ualm_chain, index: usize) -> ualm_stage {
    // SAFETY: the header's law.
    value(ualm_stage::None, || Ok(unsafe { share(chain) }?.stages.get(index).copied().unwrap_or(ualm_stage::None)))
}

/// The segment that the stage at `index` (from 0) has ended with; NULL before that, and where it makes none. It is valid
/// until the chain is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_segment(chain: *const ualm_chain, index: usize) -> *const ualm_segment {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The chain outlives the share that is taken here.
        unsafe { share(chain) }?.look(index, |made| std::ptr::from_ref(made.segment.view()))
    })
}

/// The sound of that segment as it is to be heard: through the package's enhancer, if it has one. NULL where there is
/// none. It is valid until the chain is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_audio(chain: *const ualm_chain, index: usize) -> *const ualm_samples {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The chain outlives the share that is taken here.
        unsafe { share(chain) }?
            .look(index, |made| made.sound.as_ref().map_or(std::ptr::null(), |sound| std::ptr::from_ref(sound.view())))
    })
}

/// The record of the chain so far: it is resumed from there (ualm_chain_resume), and a sound that is written with it
/// (ualm_record_write_wav) can be made again. UALM_STATUS_BUSY while a stage is being made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_record(chain: *const ualm_chain, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, chain) = unsafe { (Place::new(record)?, share(chain)?) };
        place.fill(chain.lock()?.stages.runner()?.record().clone().into());
        Ok(())
    })
}

/// The ranking of the takes of the final sound, the best first; it is empty before they were ranked. UALM_STATUS_BUSY
/// while a stage is being made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_ranking(chain: *const ualm_chain, ranking: *mut *mut ualm_ranking) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, chain) = unsafe { (Place::new(ranking)?, share(chain)?) };
        place.fill(chain.lock()?.stages.runner()?.ranking().to_vec().into());
        Ok(())
    })
}

/// Frees a chain; a stage that is being made ends after its current step. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_free(chain: *mut ualm_chain) {
    // SAFETY: the header's law.
    unsafe { free(chain) }
}
