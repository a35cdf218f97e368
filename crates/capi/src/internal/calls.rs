//! Sequences of calls for the fuzzer. Bytes choose the functions and their arguments, within the header's contract:
//! live handles, NULL, and arbitrary numbers and texts.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a fuzzer detects faults by panics")]

mod handles;
mod look;

use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::{Arc, LazyLock};

use ualm::{EngineStats, Model};

use handles::{Bytes, Handles, works};
use look::{read_event, read_reply, read_samples, read_segment, read_take_event};

use crate::audio::{ualm_audio, ualm_audio_free, ualm_audio_samples};
use crate::boundary::ualm_status;
use crate::cancel::{ualm_cancel, ualm_cancel_free, ualm_cancel_new, ualm_cancel_throw};
use crate::chain::*;
use crate::checkpoint::*;
use crate::codes::*;
use crate::converse::ualm_model_converse;
use crate::engine::*;
use crate::event::{ualm_event, ualm_event_kind};
use crate::generation::*;
use crate::generation_options::{ualm_generation_options, ualm_segment_options};
use crate::model::{ualm_model, ualm_model_free};
use crate::prompt::*;
use crate::ranking::{ualm_model_caption, ualm_model_rank, ualm_ranking, ualm_ranking_free, ualm_ranking_get};
use crate::record::*;
use crate::reply::*;
use crate::session::{ualm_session, ualm_session_free, ualm_session_new, ualm_session_position};
use crate::takes::*;
use crate::tensor::{ualm_model_audio_features, ualm_session_next_logits, ualm_tensor, ualm_tensor_free};
use crate::view::ualm_samples;

/// The maximum number of calls in a sequence.
const MAX_CALLS: usize = 60;
/// Texts of prompts, NUL-terminated.
const WORDS: [&CStr; 5] = [c"", c"rain", c"a dog, then \xc3\xa9\n", c"\xff\xfe", c"<|im_end|>"];
const NUMBERS: [f32; 8] = [0.0, 1.0, 0.5, -1.0, 3.0, 1e30, f32::NAN, f32::INFINITY];
const COUNTS: [u32; 6] = [1, 3, 6, 0, 9, 2];

/// The smallest package of the tests, loaded once (`make fixtures` creates it).
static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fixtures/packages/tiny-omni-fp32");
    Model::load(package).unwrap_or_else(|e| panic!("{e}; run `make fixtures`"))
});

/// Makes the calls that `bytes` encode: none may panic, and each must obey the header's rules about handles and errors.
pub fn calls(bytes: &[u8]) {
    let mut caller = Caller::new(Bytes(bytes));
    for _ in 0..MAX_CALLS {
        let Some(function) = caller.bytes.next() else { break };
        // SAFETY: the caller holds what it passes, and frees it once.
        unsafe { caller.call(function) };
    }
}

/// A simulated C program.
struct Caller<'a> {
    bytes: Bytes<'a>,
    models: Handles<ualm_model>,
    engines: Handles<ualm_engine>,
    sessions: Handles<ualm_session>,
    prompts: Handles<ualm_prompt>,
    cancels: Handles<ualm_cancel>,
    generations: Handles<ualm_generation>,
    replies: Handles<ualm_reply>,
    checkpoints: Handles<ualm_checkpoint>,
    marks: Handles<ualm_mark>,
    records: Handles<ualm_record>,
    codes: Handles<ualm_codes>,
    audios: Handles<ualm_audio>,
    tensors: Handles<ualm_tensor>,
    rankings: Handles<ualm_ranking>,
    chains: Handles<ualm_chain>,
    takes: Handles<ualm_takes>,
}

impl<'a> Caller<'a> {
    /// Returns a caller with a model, a session and a prompt, so that few bytes are enough for a reply.
    fn new(bytes: Bytes<'a>) -> Self {
        let mut caller = Self {
            bytes,
            models: Handles::new(ualm_model_free),
            engines: Handles::new(ualm_engine_free),
            sessions: Handles::new(ualm_session_free),
            prompts: Handles::new(ualm_prompt_free),
            cancels: Handles::new(ualm_cancel_free),
            generations: Handles::new(ualm_generation_free),
            replies: Handles::new(ualm_reply_free),
            checkpoints: Handles::new(ualm_checkpoint_free),
            marks: Handles::new(ualm_mark_free),
            records: Handles::new(ualm_record_free),
            codes: Handles::new(ualm_codes_free),
            audios: Handles::new(ualm_audio_free),
            tensors: Handles::new(ualm_tensor_free),
            rankings: Handles::new(ualm_ranking_free),
            chains: Handles::new(ualm_chain_free),
            takes: Handles::new(ualm_takes_free),
        };
        let model = Arc::into_raw(Arc::new(ualm_model(MODEL.clone()))).cast_mut();
        caller.models.alive.push(model);
        // SAFETY: the model is alive.
        unsafe {
            caller.sessions.make(|out| ualm_session_new(model, out));
            caller.prompts.make(|out| ualm_prompt_new(out));
            works(ualm_prompt_add_text(caller.prompts.any(0), 2, c"rain".as_ptr()));
        }
        caller
    }

    /// Calls a function.
    ///
    /// # Safety
    /// The handles are alive.
    unsafe fn call(&mut self, function: u8) {
        let n = self.bytes.number();
        let model = self.models.any(n);
        let session = self.sessions.any(n);
        let prompt = self.prompts.any(n >> 4);
        let record = self.records.any(n >> 4);
        let checkpoint = self.checkpoints.any(n >> 4);
        let cancel = self.cancels.any(self.bytes.number());
        // SAFETY: all handles are alive, or NULL.
        unsafe {
            match function % 43 {
                0 => self.sessions.make(|out| ualm_session_new(model, out)),
                1 => self.prompts.make(|out| ualm_prompt_new(out)),
                2 => self.cancels.make(|out| ualm_cancel_new(out)),
                3 => drop(works(ualm_cancel_throw(cancel))),
                4 => self.say(prompt),
                5 => self.play(prompt),
                6 | 7 => self.generate(session, prompt, checkpoint, cancel, function.is_multiple_of(2)),
                8 | 9 => self.begin(session, prompt, checkpoint, cancel, function.is_multiple_of(2)),
                10..=12 => self.take_events(n),
                13 => drop(works(ualm_generation_stop(self.generations.any(n)))),
                14 => self.checkpoints.make(|out| ualm_session_checkpoint(session, prompt, cancel, out)),
                15 => self.checkpoints.make(|out| ualm_session_go_on(session, cancel, out)),
                16 => self.keep(checkpoint, model),
                17 => self.marks.make(|out| ualm_session_mark(session, out)),
                18 => drop(works(ualm_session_rewind(session, self.marks.any(n >> 4)))),
                19 => self.records.make(|out| ualm_session_record(session, out)),
                20 => self.write_and_read(record),
                21 => self.restore(session, record, cancel),
                22 => drop(works(ualm_session_restore_turns(session, record, self.bytes.number() % 4, cancel))),
                23 => self.codec(model),
                24 => self.hear(model, cancel),
                25 => self.tensors.make(|out| ualm_session_next_logits(session, prompt, out, null_mut())),
                26 => self.sessions.free(n),
                27 => self.prompts.free(n),
                28 => self.generations.free(n),
                29 => self.checkpoints.free(n),
                30 => self.records.free(n),
                31 => self.free_others(n),
                32 => self.begin_engine(model),
                33 => self.join_engine(n),
                34 => self.sessions.make(|out| ualm_session_fork(session, checkpoint, out)),
                35 => self.engines.free(n),
                36 => self.begin_chain(model, record, cancel),
                37 | 38 => self.take_chain_events(n),
                39 => self.direct_chain(n),
                40 => self.look_at_chain(n),
                41 => self.make_takes(model, prompt, cancel),
                _ => self.free_made(n),
            }
        }
    }

    fn free_made(&mut self, n: usize) {
        match n % 3 {
            0 => self.chains.free(n),
            1 => self.takes.free(n),
            _ => self.rankings.free(n),
        }
    }

    /// Begins a chain, or resumes one from a record; some of its options are invalid.
    unsafe fn begin_chain(&mut self, model: *mut ualm_model, record: *mut ualm_record, cancel: *mut ualm_cancel) {
        let engine = self.engines.any(self.bytes.number());
        let words = self.bytes.one_of(&WORDS).as_ptr();
        let mut force = [0; 2];
        let settings = self.options(&mut force);
        // fields are evaluated in this order, in which they take the bytes
        let options = ualm_chain_options {
            mode: self.bytes.number() as i32 % 5,
            rounds: self.bytes.number() % 4,
            takes: self.bytes.number() % 4,
            listen: self.bytes.number() as i32 % 4 - 1,
            best: self.bytes.number() as i32 % 3,
            stream_audio: self.bytes.number() as i32 % 3,
            seed: self.bytes.number() as u64,
            reseed: self.bytes.number() % 3,
            ..ualm_chain_options::default()
        };
        let stage = self.bytes.number() % 8;
        // SAFETY: handles are alive or NULL.
        self.chains.make(|out| unsafe {
            if record.is_null() {
                ualm_chain_new(model, engine, words, &options, &settings, cancel, out)
            } else {
                ualm_chain_resume(model, engine, record, stage, &options, &settings, cancel, out)
            }
        });
    }

    unsafe fn take_chain_events(&mut self, n: usize) {
        let chain = self.chains.any(n);
        let mut event = null();
        for _ in 0..=n >> 3 {
            // SAFETY: the chain is alive or NULL; the event is valid until the next call.
            unsafe {
                if !works(ualm_chain_next(chain, &mut event)) || event.is_null() {
                    break;
                }
                read_take_event(event);
            }
        }
    }

    /// Answers, plans and stops, in any state of the chain.
    unsafe fn direct_chain(&mut self, n: usize) {
        let chain = self.chains.any(n >> 2);
        let words = self.bytes.one_of(&WORDS).as_ptr();
        // SAFETY: the chain is alive or NULL.
        unsafe {
            match n % 4 {
                0 => works(ualm_chain_stop(chain)),
                1 => works(ualm_chain_set_plan(chain, words)),
                _ => works(ualm_chain_answer(chain, words)),
            }
        };
    }

    unsafe fn look_at_chain(&mut self, n: usize) {
        let chain = self.chains.any(n);
        // SAFETY: the chain is alive or NULL; what it shows stays until it is freed.
        unsafe {
            for index in 0..=ualm_chain_stage_count(chain) {
                read_segment(ualm_chain_segment(chain, index));
                read_samples(ualm_chain_audio(chain, index));
                std::hint::black_box(ualm_chain_stage(chain, index));
            }
            std::hint::black_box(ualm_chain_is_trained(chain));
            self.records.make(|out| ualm_chain_record(chain, out));
            self.rankings.make(|out| ualm_chain_ranking(chain, out));
        }
    }

    unsafe fn make_takes(&mut self, model: *mut ualm_model, prompt: *mut ualm_prompt, cancel: *mut ualm_cancel) {
        let engine = self.engines.any(self.bytes.number());
        let mut force = [0; 2];
        let options = self.options(&mut force);
        let count = self.bytes.number() % 4;
        let wanted = if self.bytes.number().is_multiple_of(2) { null() } else { self.bytes.one_of(&WORDS).as_ptr() };
        let mut left = self.bytes.number();
        let (callback, data): (ualm_take_callback, _) = (Some(watch_takes), (&raw mut left).cast());
        // SAFETY: handles are alive or NULL; the number outlives the call.
        unsafe {
            let make =
                |out| ualm_takes_make(model, engine, prompt, &options, count, wanted, cancel, callback, data, out);
            self.takes.make(make);
            let takes = self.takes.any(0);
            for take in 0..=ualm_takes_count(takes) {
                read_segment(ualm_takes_segment(takes, take, 0));
                read_samples(ualm_takes_audio(takes, take));
            }
            self.records.make(|out| ualm_takes_record(takes, count, out));
            self.rankings.make(|out| ualm_takes_ranking(takes, out));
            assert_eq!(ualm_takes_usage(takes).is_null(), takes.is_null());
        }
    }

    fn free_others(&mut self, n: usize) {
        match n % 7 {
            0 => self.models.free(n),
            1 => self.cancels.free(n),
            2 => self.marks.free(n),
            3 => self.replies.free(n),
            4 => self.codes.free(n),
            5 => self.audios.free(n),
            _ => self.tensors.free(n),
        }
    }

    /// Starts an engine of up to three small slots.
    unsafe fn begin_engine(&mut self, model: *mut ualm_model) {
        // fields are evaluated in this order, in which they take the bytes
        let options = ualm_engine_options {
            slots: self.bytes.number() % 4,
            context: self.bytes.number(),
            prefill_chunk: self.bytes.number() % 9,
            ..ualm_engine_options::default()
        };
        // SAFETY: the model is alive, or NULL.
        self.engines.make(|out| unsafe { ualm_engine_new(model, &options, out) });
    }

    unsafe fn join_engine(&mut self, n: usize) {
        let engine = self.engines.any(n);
        let mut force = [0; 2];
        let options = self.options(&mut force);
        let mut stats = ualm_engine_stats::from(EngineStats::default());
        // SAFETY: the engine is alive, or NULL.
        unsafe {
            self.sessions.make(|out| ualm_engine_session_new(engine, &options, out));
            if works(ualm_engine_read_stats(engine, &mut stats, size_of_val(&stats))) {
                assert!(stats.free_slots <= stats.slots && ualm_engine_context(engine) > 0);
            }
        }
    }

    unsafe fn say(&mut self, prompt: *mut ualm_prompt) {
        let speaker = self.bytes.number() as i32 % 5;
        let words = self.bytes.one_of(&WORDS);
        // SAFETY: the prompt is alive, or NULL.
        unsafe { works(ualm_prompt_add_text(prompt, speaker, words.as_ptr())) };
    }

    unsafe fn play(&mut self, prompt: *mut ualm_prompt) {
        let sound = self.sound();
        let speaker = self.bytes.number() as i32 % 5;
        let kind = self.bytes.number() as i32 % 5;
        // SAFETY: the prompt is alive, or NULL.
        unsafe { works(ualm_prompt_add_audio(prompt, speaker, kind, &samples(&sound, self.bytes.number()))) };
    }

    /// Returns up to half a second at 16 kHz, sometimes with a sample that is not finite.
    fn sound(&mut self) -> Vec<f32> {
        let len = self.bytes.number() * 32;
        let step = self.bytes.number() as f32;
        let mut sound: Vec<f32> = (0..len).map(|n| (n as f32 * step * 0.01).sin()).collect();
        if let (Some(last), true) = (sound.last_mut(), self.bytes.number() % 16 == 15) {
            *last = self.bytes.one_of(&NUMBERS);
        }
        sound
    }

    /// Returns settings for a short reply; some are invalid.
    fn options(&mut self, force: &mut [i32; 2]) -> ualm_generation_options {
        let mut options = ualm_generation_options::from(&MODEL.config());
        *force = [self.bytes.number() as i32 % 5, self.bytes.number() as i32 % 5];
        options.force = force.as_ptr();
        options.force_len = self.bytes.number() % 3;
        options.max_segments = self.bytes.number() % 4;
        options.seed = self.bytes.number() as u64;
        options.stream_audio = self.bytes.number() as i32 % 3;
        options.insist = self.bytes.number() as i32 % 3;
        let segment = ualm_segment_options {
            temperature: self.bytes.one_of(&NUMBERS),
            top_p: self.bytes.one_of(&[1.0, 0.5, f32::NAN, 2.0]),
            guidance: self.bytes.one_of(&NUMBERS),
            top_k: self.bytes.one_of(&COUNTS),
            max_steps: self.bytes.one_of(&COUNTS),
            min_steps: self.bytes.one_of(&COUNTS),
        };
        options.text = segment;
        options.audio = segment;
        options.speech = segment;
        options
    }

    unsafe fn generate(
        &mut self,
        session: *mut ualm_session,
        prompt: *mut ualm_prompt,
        checkpoint: *mut ualm_checkpoint,
        cancel: *mut ualm_cancel,
        from_prompt: bool,
    ) {
        let mut force = [0; 2];
        let options = self.options(&mut force);
        let mut watcher = Watcher { session, left: self.bytes.number() };
        let callback: ualm_event_callback = Some(watch);
        let data = (&raw mut watcher).cast();
        // SAFETY: handles are alive or NULL; the watcher outlives the call.
        self.replies.make(|out| unsafe {
            if from_prompt {
                ualm_session_generate(session, prompt, &options, cancel, callback, data, out)
            } else {
                ualm_session_generate_from(session, checkpoint, &options, cancel, callback, data, out)
            }
        });
        // SAFETY: the reply is alive, or NULL.
        unsafe { read_reply(self.replies.any(0)) };
    }

    unsafe fn begin(
        &mut self,
        session: *mut ualm_session,
        prompt: *mut ualm_prompt,
        checkpoint: *mut ualm_checkpoint,
        cancel: *mut ualm_cancel,
        from_prompt: bool,
    ) {
        let mut force = [0; 2];
        let options = self.options(&mut force);
        // SAFETY: handles are alive or NULL.
        self.generations.make(|out| unsafe {
            if from_prompt {
                ualm_generation_new(session, prompt, &options, cancel, out)
            } else {
                ualm_generation_new_from(session, checkpoint, &options, cancel, out)
            }
        });
    }

    unsafe fn take_events(&mut self, n: usize) {
        let generation = self.generations.any(n);
        let mut event = null();
        for _ in 0..=n >> 4 {
            // SAFETY: the generation is alive or NULL; the event is valid until the next call.
            unsafe {
                if !works(ualm_generation_next(generation, &mut event)) || event.is_null() {
                    break;
                }
                read_event(event);
            }
        }
    }

    unsafe fn keep(&mut self, from: *mut ualm_checkpoint, model: *mut ualm_model) {
        let kind = self.bytes.number() as i32 % 5;
        let words = self.bytes.one_of(&WORDS);
        let count = self.bytes.number() % 4;
        // SAFETY: handles are alive or NULL; the codes stay until they are freed.
        unsafe {
            self.codes.make(|out| ualm_model_text_ids(model, words.as_ptr(), out));
            let mut streams = 0;
            let mut frames = 0;
            let ids = ualm_codes_data(self.codes.any(count), &mut streams, &mut frames);
            self.checkpoints.make(|out| ualm_checkpoint_keep(from, kind, ids, frames.min(count), streams, out));
        }
    }

    /// Converts a record to JSON and back.
    unsafe fn write_and_read(&mut self, record: *mut ualm_record) {
        let mut json = null_mut();
        // SAFETY: the record is alive or NULL; the text is freed once.
        unsafe {
            if works(ualm_record_to_json(record, &mut json)) {
                self.records.make(|out| ualm_record_from_json(json, out));
            }
            crate::argument::ualm_string_free(json);
        }
    }

    unsafe fn restore(&mut self, session: *mut ualm_session, record: *mut ualm_record, cancel: *mut ualm_cancel) {
        let [turn, segment, frame] = [(); 3].map(|()| self.bytes.number() % 4);
        let mut options = ualm_generation_options::from(&MODEL.config());
        // SAFETY: handles are alive or NULL.
        unsafe {
            works(ualm_record_options(record, turn, segment, &mut options, size_of_val(&options)));
            let make = |out| ualm_session_restore(session, record, turn, segment, frame, cancel, out);
            self.checkpoints.make(make);
        }
    }

    /// Encodes sound and decodes its codes.
    unsafe fn codec(&mut self, model: *mut ualm_model) {
        let sound = self.sound();
        let rate = self.bytes.number();
        let mut streams = 0;
        let mut frames = 0;
        // SAFETY: handles are alive or NULL; the codes stay until they are freed.
        unsafe {
            self.codes.make(|out| ualm_model_encode(model, &samples(&sound, rate), out));
            let codes = ualm_codes_data(self.codes.any(0), &mut streams, &mut frames);
            self.audios.make(|out| crate::codes::ualm_model_decode(model, codes, streams, frames, out));
            read_samples(ualm_audio_samples(self.audios.any(0)));
        }
    }

    unsafe fn hear(&mut self, model: *mut ualm_model, cancel: *mut ualm_cancel) {
        let sound = self.sound();
        let rate = self.bytes.number();
        let kind = self.bytes.number() as i32 % 5;
        let takes = [samples(&sound, rate), samples(&sound, 0)];
        let mut words = null_mut();
        let wanted = self.bytes.one_of(&WORDS);
        let seed = self.bytes.number() as u64;
        // SAFETY: handles are alive or NULL; each text is freed once.
        unsafe {
            self.tensors.make(|out| ualm_model_audio_features(model, takes.as_ptr(), out));
            works(ualm_model_caption(model, takes.as_ptr(), kind, cancel, &mut words));
            crate::argument::ualm_string_free(words);
            let mut answer = null_mut();
            let mut record = null_mut();
            let question = takes.as_ptr();
            self.audios.make(|out| {
                ualm_model_converse(model, question, seed, cancel, &mut words, &mut answer, out, &mut record)
            });
            crate::argument::ualm_string_free(words);
            crate::argument::ualm_string_free(answer);
            ualm_record_free(record);
            self.rankings.make(|out| ualm_model_rank(model, takes.as_ptr(), 2, kind, wanted.as_ptr(), cancel, out));
            ualm_ranking_get(self.rankings.any(0), 1);
        }
    }
}

/// The state of a callback.
struct Watcher {
    session: *mut ualm_session,
    /// Events until it stops the reply.
    left: usize,
}

unsafe extern "C" fn watch(event: *const ualm_event, watcher: *mut c_void) -> c_int {
    let mut position = 0;
    // SAFETY: the event is valid until this returns, the watcher is that of the call.
    unsafe {
        read_event(event);
        let watcher = &mut *watcher.cast::<Watcher>();
        let is_over = (*event).kind == ualm_event_kind::Finished;
        let expected = if is_over { ualm_status::Ok } else { ualm_status::Busy };
        assert_eq!(ualm_session_position(watcher.session, &mut position), expected);
        watcher.left = watcher.left.saturating_sub(1);
        c_int::from(watcher.left == 0)
    }
}

/// Stops takes after the given number of events.
unsafe extern "C" fn watch_takes(event: *const ualm_take_event, left: *mut c_void) -> c_int {
    // SAFETY: the event is valid until this returns, the number is that of the call.
    unsafe {
        read_take_event(event);
        let left = &mut *left.cast::<usize>();
        *left = left.saturating_sub(1);
        c_int::from(*left == 0)
    }
}

/// Returns one channel of `sound`, or samples of an invalid shape or rate.
fn samples(sound: &[f32], choice: usize) -> ualm_samples {
    let sample_rate = [16_000, 16_000, 44_100, 0, 8_000, u32::MAX][choice % 6];
    let channels = [1, 1, 1, 2, 0][choice / 6 % 5];
    let frames = if channels == 2 { sound.len() / 2 } else { sound.len() };
    ualm_samples { data: sound.as_ptr(), frames, channels, sample_rate }
}
