//! Reasoning chains, pulled event by event.

use std::ffi::{c_char, c_int};
use std::mem::offset_of;
use std::sync::{Mutex, MutexGuard, TryLockError};

use ualm::{Cancel, Chain, ChainOptions, ChainRunner, GenerationConfig, MOST_AT_ONCE, Message, TakeRunner, Wording};

use super::argument::{text, write};
use super::boundary::{Failure, Result, entry, ualm_status, value};
use super::cancel::ualm_cancel;
use super::engine::ualm_engine;
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Out, free, share, share_if_any};
use super::model::ualm_model;
use super::names::{reasoning_mode, ualm_reasoning_mode, ualm_stage};
use super::ranking::ualm_ranking;
use super::record::ualm_record;
use super::sized::{Options, fill, flag, read};
use super::stages::{Made, Stages};
use super::takes::{Host, TakeEventView, ualm_take_event};
use super::view::{ualm_samples, ualm_segment};

/// A running reasoning chain, pulled event by event.
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
    /// The event that C may currently read.
    current: Option<TakeEventView>,
}

impl ualm_chain {
    fn lock(&self) -> Result<MutexGuard<'_, Puller>> {
        match self.puller.try_lock() {
            Ok(puller) => Ok(puller),
            Err(TryLockError::Poisoned(puller)) => Ok(puller.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::busy("another thread is using this chain")),
        }
    }

    /// Returns the result of `look` for the segment of the stage at `index`; NULL when there is none.
    fn look<T>(&self, index: usize, look: impl FnOnce(&Made) -> *const T) -> Result<*const T> {
        Ok(self.lock()?.stages.made(index).map_or(std::ptr::null(), look))
    }
}

/// The options of a reasoning chain.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_chain_options {
    /// Written by ualm_chain_options_init.
    pub struct_size: usize,
    /// Seed of every segment; take n (from 0) of the final sound has the seed plus n.
    pub seed: u64,
    /// Rounds of reflection, 1 to 32; 0 takes the number of the resumed chain, or 1.
    pub rounds: usize,
    /// Takes of the final sound; at least 1.
    pub takes: usize,
    /// The reasoning mode (ualm_reasoning_mode); UALM_REASONING_MODE_USUAL takes the package's, or that of the resumed
    /// chain.
    pub mode: i32,
    /// 1 lets a reflection hear its drafts through the audio encoder, 0 does not; -1 takes the package's setting, or
    /// that of the resumed chain.
    pub listen: i32,
    /// 1 ranks the takes of the final sound by how well they match the plan, and ends the chain with the best one; 0
    /// ends it with the first one.
    pub best: i32,
    /// 1 streams sound with low latency, in short chunks first, at some cost in speed; 0 in chunks of a few seconds, or
    /// at the end of its segment.
    pub stream_audio: i32,
    /// 1 resumes a chain with `seed`, 0 with the seed of its record. A new chain always uses `seed`.
    pub reseed: usize,
    /// The wording of a chain by prompt: a JSON object with a text for each stage, by its name (docs/chains.md); NULL
    /// takes the package's, or that of the resumed chain.
    pub wording: *const c_char,
}

// SAFETY: integers and a pointer, which is read by the header's contract alone.
unsafe impl Options for ualm_chain_options {
    const NAME: &'static str = "ualm_chain_options";
    const OLDEST: usize = offset_of!(Self, wording);
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
            wording: std::ptr::null(),
        }
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_options_init(options: *mut ualm_chain_options, struct_size: usize) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, ualm_chain_options::default()) })
}

/// The arguments shared by ualm_chain_new and ualm_chain_resume.
struct Begun {
    host: Host,
    options: ualm_chain_options,
    /// Settings that override the package's or the record's.
    settings: Option<GenerationConfig>,
    /// A wording that overrides the package's or the record's.
    wording: Wording,
    stop: Cancel,
}

impl Begun {
    /// # Safety
    /// The header's contract.
    unsafe fn new(
        model: *const ualm_model,
        engine: *const ualm_engine,
        options: *const ualm_chain_options,
        settings: *const ualm_generation_options,
        cancel: *const ualm_cancel,
    ) -> Result<Self> {
        // SAFETY: same contract.
        let (host, cancel) = unsafe { (Host::new(model, engine)?, share_if_any(cancel)?) };
        // SAFETY: same contract.
        let options = unsafe { read(options, ualm_chain_options::default()) }?;
        if options.takes == 0 {
            return Err(Failure::invalid("takes is 0; expected at least 1"));
        }
        let settings = if settings.is_null() {
            None
        } else {
            // SAFETY: same contract.
            Some(unsafe { generation_config(settings, host.model().config()) }?)
        };
        let wording = if options.wording.is_null() {
            Wording::default()
        } else {
            // SAFETY: same contract.
            Wording::from_json(unsafe { text(options.wording, "wording") }?)?
        };
        let stop = cancel.map_or_else(Cancel::new, |cancel| cancel.0.child());
        Ok(Self { host, options, settings, wording, stop })
    }

    /// Applies the options to `defaults`.
    fn chain(&self, defaults: Chain) -> Result<Chain> {
        let options = &self.options;
        let listen = match options.listen {
            -1 => None,
            listen => Some(flag(listen, "listen")?),
        };
        let rounds = (options.rounds > 0).then_some(options.rounds);
        Ok(self.host.model().reasoning().changed(defaults, reasoning_mode(options.mode)?, rounds, listen))
    }

    fn chain_options(&self, seed: Option<u64>) -> Result<ChainOptions<'static>> {
        let settings = self.settings.clone();
        Ok(ChainOptions::default()
            .seed(seed)
            .takes(self.options.takes)
            .wording(self.wording.clone())
            .best(flag(self.options.best, "best")?)
            .stream_audio(flag(self.options.stream_audio, "stream_audio")?)
            .settings(move |config| {
                if let Some(given) = &settings {
                    config.text = given.text;
                    config.audio = given.audio;
                    config.speech = given.speech;
                }
            }))
    }

    fn takes(&self) -> Result<TakeRunner> {
        let mut takes = match &self.host {
            Host::Model(model) => TakeRunner::new(model, self.options.takes)?,
            Host::Engine(engine) => TakeRunner::in_session(engine.session()?, MOST_AT_ONCE),
        };
        takes.session_mut().set_cancel(&self.stop);
        Ok(takes)
    }

    fn finish(self, runner: ChainRunner<'static>) -> ualm_chain {
        let engine = match self.host {
            Host::Engine(engine) => Some(engine),
            Host::Model(_) => None,
        };
        let stages = runner.stages().iter().copied().map(ualm_stage::from).collect();
        let is_trained = runner.model().reasoning().is_trained_for(runner.chain().mode);
        let puller = Puller { stages: Stages::new(runner, self.stop.clone(), engine), current: None };
        ualm_chain { puller: Mutex::new(puller), stop: self.stop, stages, is_trained }
    }
}

/// Begins a chain about `words` and runs its prompt; ualm_chain_next returns its events. The chain has its own
/// conversation, in `engine` or on `model`; the other one may be NULL. In an engine it takes two slots, and further
/// free slots for its takes.
///
/// `options` may be NULL. Of `settings` only text, audio and speech are used; NULL takes the package's. `cancel` may be
/// NULL; it stops the chain at any time, and makes this call fail with UALM_STATUS_CANCELLED.
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
        // SAFETY: per the header's contract.
        let (out, words) = unsafe { (Out::new(chain)?, text(words, "words")?) };
        // SAFETY: per the header's contract.
        let begun = unsafe { Begun::new(model, engine, options, settings, cancel) }?;
        let chain = begun.chain(begun.host.model().reasoning().chain())?;
        let options = begun.chain_options(Some(begun.options.seed))?;
        let runner = ChainRunner::begin(begun.takes()?, chain, words, options)?;
        out.fill(begun.finish(runner));
        Ok(())
    })
}

/// Resumes the chain of `record` before the stage at `stage_index` (from 0, as in ualm_chain_stage), with the same ids
/// as if it had never stopped. The chain may continue in another mode, but the stages before `stage_index` must have
/// the same modalities. A chain cannot be resumed at a UALM_STAGE_LISTEN stage, only at the draft or the critique
/// beside it. The other arguments are as in ualm_chain_new; NULL for `settings` takes the record's.
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
        // SAFETY: per the header's contract.
        let (out, record) = unsafe { (Out::new(chain)?, share(record)?) };
        // SAFETY: per the header's contract.
        let begun = unsafe { Begun::new(model, engine, options, settings, cancel) }?;
        let record = record.record();
        let saved = record.chain.ok_or_else(|| Failure::invalid("the record has no chain"))?;
        let chain = begun.chain(saved)?;
        let reseed = flag(begun.options.reseed, "reseed")?;
        let options = begun.chain_options(reseed.then_some(begun.options.seed))?;
        let runner = ChainRunner::resume(begun.takes()?, chain, record, stage_index, options)?;
        out.fill(begun.finish(runner));
        Ok(())
    })
}

/// Runs until the next event, and returns it in `event`. Each stage ends with UALM_TAKE_EVENT_KIND_STAGE_ENDED, the
/// chain with UALM_TAKE_EVENT_KIND_FINISHED; after that, and after a failure, `event` is NULL. A question is returned
/// again until it is answered. Stopping a chain is not a failure: the chain ends with the segments made so far. After a
/// failure that no stage has reported (stop), nothing of the stage is kept, and the next call repeats the stage. The
/// event is valid until the next call for this chain, or until the chain is freed. A stage runs on its own thread, one
/// event ahead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_next(chain: *mut ualm_chain, event: *mut *const ualm_take_event) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { write(event, std::ptr::null(), "event") }?;
        // SAFETY: per the header's contract.
        let chain = unsafe { share(chain) }?;
        let mut puller = chain.lock()?;
        let puller = &mut *puller;
        puller.current = None;
        puller.current = puller.stages.next()?;
        let found = puller.current.as_ref().map_or(std::ptr::null(), |event| std::ptr::from_ref(event.view()));
        // SAFETY: per the header's contract. The event lives in the chain until the next call.
        unsafe { write(event, found, "event") }
    })
}

/// Answers the model's question, after UALM_TAKE_EVENT_KIND_QUESTION. Fails with UALM_STATUS_INVALID when no question
/// awaits an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_answer(chain: *mut ualm_chain, words: *const c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (chain, words) = unsafe { (share(chain)?, text(words, "words")?) };
        let mut puller = chain.lock()?;
        puller.stages.runner()?.answer(Message::text(words))?;
        Ok(())
    })
}

/// Sets the plan, in place of one that the model would write or has just written; the next events are about its
/// segment. Fails with UALM_STATUS_INVALID when neither the next stage nor the last one is a plan, and with
/// UALM_STATUS_BUSY while a stage is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_set_plan(chain: *mut ualm_chain, plan: *const c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (chain, plan) = unsafe { (share(chain)?, text(plan, "plan")?) };
        chain.lock()?.stages.set_plan(plan)
    })
}

/// Stops a chain, from any thread: it ends after its current step. The remaining events are still returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stop(chain: *mut ualm_chain) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { share(chain) }?.stop.cancel();
        Ok(())
    })
}

/// Returns 1 when the package was trained to reason in the chain's mode; 0 when not, in which case the stages are
/// forced in order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_is_trained(chain: *const ualm_chain) -> c_int {
    // SAFETY: per the header's contract.
    value(0, || Ok(c_int::from(unsafe { share(chain) }?.is_trained)))
}

/// Returns the number of stages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stage_count(chain: *const ualm_chain) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(chain) }?.stages.len()))
}

/// Returns the stage at `index`, from 0; UALM_STAGE_NONE after the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_stage(chain: *const ualm_chain, index: usize) -> ualm_stage {
    // SAFETY: per the header's contract.
    value(ualm_stage::None, || Ok(unsafe { share(chain) }?.stages.get(index).copied().unwrap_or(ualm_stage::None)))
}

/// Returns the segment that the stage at `index` (from 0) ended with; NULL before its end, and for a stage without a
/// segment. It is valid until the chain is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_segment(chain: *const ualm_chain, index: usize) -> *const ualm_segment {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The chain outlives the share that is taken here.
        unsafe { share(chain) }?.look(index, |made| std::ptr::from_ref(made.segment.view()))
    })
}

/// Returns the sound of the segment of the stage at `index`, ready to play: enhanced if the package has an
/// enhancer. NULL when there is none. Valid until the chain is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_audio(chain: *const ualm_chain, index: usize) -> *const ualm_samples {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The chain outlives the share that is taken here.
        unsafe { share(chain) }?
            .look(index, |made| made.sound.as_ref().map_or(std::ptr::null(), |sound| std::ptr::from_ref(sound.view())))
    })
}

/// Returns the record of the chain so far. The chain can be resumed from the record (ualm_chain_resume), and a sound
/// that is written with it (ualm_record_write_wav) can be reproduced. Fails with UALM_STATUS_BUSY while a stage is
/// running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_record(chain: *const ualm_chain, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, chain) = unsafe { (Out::new(record)?, share(chain)?) };
        out.fill(chain.lock()?.stages.runner()?.record().clone().into());
        Ok(())
    })
}

/// Returns the ranking of the takes of the final sound, best first; empty before they are ranked. Fails with
/// UALM_STATUS_BUSY while a stage is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_ranking(chain: *const ualm_chain, ranking: *mut *mut ualm_ranking) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, chain) = unsafe { (Out::new(ranking)?, share(chain)?) };
        out.fill(chain.lock()?.stages.runner()?.ranking().to_vec().into());
        Ok(())
    })
}

/// Frees a chain; a running stage ends after its current step. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_chain_free(chain: *mut ualm_chain) {
    // SAFETY: per the header's contract.
    unsafe { free(chain) }
}
