//! Several takes of a prompt, and the events of takes and chains.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use ualm::{
    Cancel, Engine, ErrorKind, Expected, GenerationConfig, MOST_AT_ONCE, Message, Modality, Model, Ranked, Record,
    SegmentPosition, Take, TakeEvent, TakeRunner,
};

use super::argument::text;
use super::boundary::{Failure, Result, entry, ualm_status, value};
use super::cancel::{cancel_of, ualm_cancel};
use super::engine::ualm_engine;
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Out, free, share, share_if_any};
use super::model::ualm_model;
use super::names::{ualm_modality, ualm_stage, ualm_stop_reason};
use super::prompt::ualm_prompt;
use super::ranking::{RankedView, ualm_ranked, ualm_ranking};
use super::record::ualm_record;
use super::view::{Samples, SegmentView, Text, View, ualm_samples, ualm_segment, ualm_usage};

/// The kind of an event of takes. The last kinds occur only in chains.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_take_event_kind {
    /// A segment began.
    SegmentStarted = 1,
    /// A segment got more text: text, text_len.
    TextDelta = 2,
    /// A sound segment grew, but is not decoded yet: seconds.
    AudioProgress = 3,
    /// The next samples of a sound segment, without the package's enhancer: audio.
    AudioChunk = 4,
    /// A segment ended: segment, and audio ready to play.
    SegmentEnded = 5,
    /// All takes are made, and the model begins to rank them.
    RankingStarted = 6,
    /// The model has listened to a take: ranked.
    Ranked = 7,
    /// The takes or the chain are complete or were stopped: usage.
    Finished = 8,
    /// A stage of a chain ended with the chosen take: segment, and audio ready to play; both are NULL after a
    /// UALM_STAGE_LISTEN stage. stop has the reason if the chain cannot continue.
    StageEnded = 9,
    /// The model has asked a question: the chain continues after ualm_chain_answer.
    Question = 10,
}

/// An event of takes that are being generated. Concurrent takes interleave their events. The library fills it; later
/// versions may add fields at the end, and kinds: ignore unknown kinds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_take_event {
    /// Its size in this version of the library.
    pub struct_size: usize,
    /// The kind, which determines the other fields that are set.
    pub kind: ualm_take_event_kind,
    /// The stage of a chain.
    pub stage: ualm_stage,
    /// Index of the take, from 0.
    pub take: usize,
    /// Index of the segment in its reply, from 0; in a chain the index of its stage (ualm_chain_stage).
    pub segment_index: usize,
    /// The segment's modality.
    pub modality: ualm_modality,
    /// The reason why a chain cannot continue, if it cannot.
    pub stop: ualm_stop_reason,
    /// The NUL-terminated text, else NULL. It always ends on a character boundary.
    pub text: *const c_char,
    /// Bytes of the text, without the NUL.
    pub text_len: usize,
    /// Seconds of the sound segment so far.
    pub seconds: f64,
    /// The sound, else NULL.
    pub audio: *const ualm_samples,
    /// The segment, else NULL. Its own audio is without the package's enhancer.
    pub segment: *const ualm_segment,
    /// The take's rank, else NULL.
    pub ranked: *const ualm_ranked,
    /// The usage so far, else NULL.
    pub usage: *const ualm_usage,
}

/// An event that C may read.
pub(super) struct TakeEventView {
    view: View<ualm_take_event>,
    _content: Content,
}

/// The memory that an event points to.
#[derive(Default)]
struct Content {
    text: Option<Text>,
    audio: Option<Arc<Samples>>,
    segment: Option<Arc<SegmentView>>,
    ranked: Option<Box<RankedView>>,
    usage: Option<Box<ualm_usage>>,
}

/// The fields of an event that are values.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: ualm_take_event_kind,
    pub(super) stage: ualm_stage,
    pub(super) take: usize,
    pub(super) segment_index: usize,
    pub(super) modality: ualm_modality,
    pub(super) stop: ualm_stop_reason,
}

impl Head {
    /// Returns the head of an event that is about no segment.
    pub(super) fn of(kind: ualm_take_event_kind) -> Self {
        let stage = ualm_stage::None;
        let modality = ualm_modality::None;
        let stop = ualm_stop_reason::None;
        Self { kind, stage, take: 0, segment_index: 0, modality, stop }
    }

    /// Returns the head of an event about the segment at `position`, which is that of the stage at `stage_index`.
    fn at(kind: ualm_take_event_kind, position: SegmentPosition, stage_index: Option<usize>) -> Self {
        Self {
            stage: position.stage.map_or(ualm_stage::None, ualm_stage::from),
            take: position.take,
            segment_index: stage_index.unwrap_or(position.number.saturating_sub(1)),
            modality: position.modality.into(),
            ..Self::of(kind)
        }
    }
}

impl TakeEventView {
    fn new(head: Head, seconds: f64, content: Content) -> Self {
        let view = ualm_take_event {
            struct_size: size_of::<ualm_take_event>(),
            kind: head.kind,
            stage: head.stage,
            take: head.take,
            segment_index: head.segment_index,
            modality: head.modality,
            stop: head.stop,
            text: content.text.as_ref().map_or(std::ptr::null(), Text::as_ptr),
            text_len: content.text.as_ref().map_or(0, Text::len),
            seconds,
            audio: content.audio.as_ref().map_or(std::ptr::null(), |audio| audio.view()),
            segment: content.segment.as_ref().map_or(std::ptr::null(), |segment| segment.view()),
            ranked: content.ranked.as_ref().map_or(std::ptr::null(), |ranked| ranked.view()),
            usage: content.usage.as_ref().map_or(std::ptr::null(), |usage| &raw const **usage),
        };
        Self { view: View::new(view), _content: content }
    }

    /// Returns the view of `event`; `stage_index` is the index of its stage in a chain. `None` for an event that C does
    /// not know.
    pub(super) fn of(event: TakeEvent<'_>, stage_index: Option<usize>) -> Option<Self> {
        use ualm_take_event_kind as Kind;
        let head = |kind, position| Head::at(kind, position, stage_index);
        let none = Content::default;
        Some(match event {
            TakeEvent::SegmentStarted(position) => Self::new(head(Kind::SegmentStarted, position), 0.0, none()),
            TakeEvent::TextDelta(position, piece) => {
                let content = Content { text: Some(Text::new(&piece)), ..none() };
                Self::new(head(Kind::TextDelta, position), 0.0, content)
            }
            TakeEvent::AudioProgress(position, seconds) => {
                Self::new(head(Kind::AudioProgress, position), seconds, none())
            }
            TakeEvent::AudioChunk(position, chunk) => {
                let content = Content { audio: Some(Samples::new(&chunk)), ..none() };
                Self::new(head(Kind::AudioChunk, position), 0.0, content)
            }
            TakeEvent::SegmentEnded { position, segment, sound, .. } => {
                let segment = SegmentView::new(segment.clone());
                Self::of_segment(head(Kind::SegmentEnded, position), Some(segment), sound.map(Samples::new))
            }
            TakeEvent::RankingStarted => Self::new(Head::of(Kind::RankingStarted), 0.0, none()),
            TakeEvent::Ranked(ranked) => {
                let head = Head { take: ranked.take, ..Head::of(Kind::Ranked) };
                Self::new(head, 0.0, Content { ranked: Some(Box::new(ranked.clone().into())), ..none() })
            }
            _ => return None,
        })
    }

    /// Returns the view of an event about a segment.
    pub(super) fn of_segment(head: Head, segment: Option<Arc<SegmentView>>, audio: Option<Arc<Samples>>) -> Self {
        Self::new(head, 0.0, Content { segment, audio, ..Content::default() })
    }

    /// Returns the view of an event with the total usage.
    pub(super) fn of_usage(head: Head, usage: ualm_usage) -> Self {
        Self::new(head, 0.0, Content { usage: Some(Box::new(usage)), ..Content::default() })
    }

    pub(super) fn view(&self) -> &ualm_take_event {
        self.view.get()
    }
}

/// A callback for events, called in the thread that called ualm_takes_make. The event is valid until the callback
/// returns. 0 continues; any other value stops all takes, which keep what was made so far. The callback must return:
/// no longjmp, no exception.
pub type ualm_take_callback =
    Option<unsafe extern "C" fn(event: *const ualm_take_event, user_data: *mut c_void) -> c_int>;

/// Takes of one prompt.
pub struct ualm_takes {
    takes: Vec<TakeView>,
    ranking: Vec<Ranked>,
    usage: ualm_usage,
}

impl Handle for ualm_takes {
    const NAME: &'static str = "takes";
}

/// A take that C may read.
struct TakeView {
    segments: Vec<Arc<SegmentView>>,
    sound: Option<Arc<Samples>>,
    record: Record,
}

impl From<Take> for TakeView {
    fn from(take: Take) -> Self {
        Self {
            segments: take.segments.into_iter().map(SegmentView::new).collect(),
            sound: take.sound.as_ref().map(Samples::new),
            record: take.record,
        }
    }
}

/// The model or the engine that takes and chains run on.
pub(super) enum Host {
    Model(Model),
    Engine(Engine),
}

impl Host {
    /// Returns the engine, if there is one, else the model.
    ///
    /// # Safety
    /// The header's contract.
    pub(super) unsafe fn new(model: *const ualm_model, engine: *const ualm_engine) -> Result<Self> {
        // SAFETY: same contract.
        if let Some(engine) = unsafe { share_if_any(engine) }? {
            return Ok(Self::Engine(engine.0.clone()));
        }
        // SAFETY: same contract.
        Ok(Self::Model(unsafe { share(model) }?.0.clone()))
    }

    pub(super) fn model(&self) -> &Model {
        match self {
            Self::Model(model) => model,
            Self::Engine(engine) => engine.model(),
        }
    }
}

/// Makes `take_count` takes of the reply to `prompt`, several at once: the prompt runs once, steps are batched, and
/// each take has the seed of the options plus its index. The takes run in `engine`, as many at once as it has slots
/// for, or in a new engine on `model`; the other argument may be NULL.
///
/// With `wanted` the takes are ranked by how well the model's own caption of each matches this text, as ualm_model_rank
/// does. `options` (NULL takes the model's defaults), `wanted`, `cancel` and `callback` may be NULL. Stopping takes is
/// not a failure: they keep what was made so far, and takes that were not begun are missing. After the failure of a
/// take there are no takes, but the callback has received everything made before it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_make(
    model: *const ualm_model,
    engine: *const ualm_engine,
    prompt: *const ualm_prompt,
    options: *const ualm_generation_options,
    take_count: usize,
    wanted: *const c_char,
    cancel: *const ualm_cancel,
    callback: ualm_take_callback,
    user_data: *mut c_void,
    takes: *mut *mut ualm_takes,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, host, prompt) = unsafe { (Out::new(takes)?, Host::new(model, engine)?, share(prompt)?) };
        // SAFETY: per the header's contract.
        let config = unsafe { generation_config(options, host.model().config()) }?;
        // SAFETY: per the header's contract.
        let cancel = unsafe { cancel_of(cancel) }?.child();
        let kind = config.force.last().copied().unwrap_or(Modality::Audio);
        let expected = if wanted.is_null() {
            None
        } else {
            // SAFETY: per the header's contract.
            Some((kind, Expected::asked(unsafe { text(wanted, "wanted") }?, kind)))
        };
        // SAFETY: per the header's contract.
        let callback = |event: &ualm_take_event| callback.map_or(0, |callback| unsafe { callback(event, user_data) });
        out.fill(make(&host, &prompt.messages(), &config, take_count, expected.as_ref(), &cancel, callback)?);
        Ok(())
    })
}

/// Makes and ranks takes. `callback` receives every event until it asks to stop.
fn make(
    host: &Host,
    messages: &[Message],
    config: &GenerationConfig,
    count: usize,
    expected: Option<&(Modality, Expected)>,
    cancel: &Cancel,
    callback: impl Fn(&ualm_take_event) -> c_int,
) -> Result<ualm_takes> {
    let mut is_listening = true;
    let mut emit = |view: TakeEventView| {
        if is_listening && callback(view.view()) != 0 {
            cancel.cancel();
            is_listening = false;
        }
    };
    let mut on_event = |event: TakeEvent<'_>| {
        TakeEventView::of(event, None).into_iter().for_each(&mut emit);
        Ok(())
    };
    let prompt = host.model().with_cancel(cancel).prompt_for(config.opens_with(), messages)?;
    let mut runner = match host {
        Host::Model(model) => TakeRunner::for_prompt(model, count, &prompt, config)?,
        Host::Engine(engine) => TakeRunner::in_session(engine.session_for(config)?, MOST_AT_ONCE),
    };
    runner.session_mut().set_cancel(cancel);
    let mut record = Record::new(host.model().package());
    record.begin_turn(messages, &prompt, config);
    let made = runner
        .session_mut()
        .checkpoint(&prompt)
        .and_then(|checkpoint| runner.make(&checkpoint, &record, config, count, &mut on_event));
    let mut takes = match made {
        Err(error) if error.kind() == ErrorKind::Cancelled && cancel.is_cancelled() => Vec::new(),
        made => made?,
    };
    if let Some(error) = takes.iter_mut().find_map(|take| take.failure.take()) {
        return Err(error.into());
    }
    let mut ranking = Vec::new();
    if let Some((kind, expected)) = expected.filter(|_| takes.iter().all(Take::is_whole)) {
        let (ranked, failure) = runner.rank(&takes, *kind, expected, &mut on_event)?;
        if let Some(error) = failure.filter(|error| error.kind() != ErrorKind::Cancelled) {
            return Err(error.into());
        }
        ranking = ranked;
    }
    let usage = ualm_usage::new(runner.usage(), runner.seconds());
    emit(TakeEventView::of_usage(Head::of(ualm_take_event_kind::Finished), usage));
    Ok(ualm_takes { takes: takes.into_iter().map(TakeView::from).collect(), ranking, usage })
}

/// Returns the number of takes that were begun.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_count(takes: *const ualm_takes) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(takes) }?.takes.len()))
}

/// Returns the segment at `index` of the take `take`, both from 0; NULL after the last one. It is valid until the takes
/// are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_segment(
    takes: *const ualm_takes,
    take: usize,
    index: usize,
) -> *const ualm_segment {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The takes outlive the share that is taken here.
        let takes = unsafe { share(takes) }?;
        let segment = takes.takes.get(take).and_then(|take| take.segments.get(index));
        Ok(segment.map_or(std::ptr::null(), |segment| std::ptr::from_ref(segment.view())))
    })
}

/// Returns the last sound of the take `take` (from 0), ready to play: enhanced if the package has an enhancer.
/// NULL when there is none. Valid until the takes are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_audio(takes: *const ualm_takes, take: usize) -> *const ualm_samples {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The takes outlive the share that is taken here.
        let takes = unsafe { share(takes) }?;
        let sound = takes.takes.get(take).and_then(|take| take.sound.as_ref());
        Ok(sound.map_or(std::ptr::null(), |sound| std::ptr::from_ref(sound.view())))
    })
}

/// Returns the record of the take `take` (from 0), from which the take can be reproduced or resumed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_record(
    takes: *const ualm_takes,
    take: usize,
    record: *mut *mut ualm_record,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, takes) = unsafe { (Out::new(record)?, share(takes)?) };
        let count = takes.takes.len();
        let found = takes.takes.get(take).ok_or_else(|| Failure::invalid(format!("take {take}; there are {count}")))?;
        out.fill(found.record.clone().into());
        Ok(())
    })
}

/// Returns the ranking of the takes, best first; empty when they were not ranked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_ranking(takes: *const ualm_takes, ranking: *mut *mut ualm_ranking) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, takes) = unsafe { (Out::new(ranking)?, share(takes)?) };
        out.fill(takes.ranking.clone().into());
        Ok(())
    })
}

/// Returns the usage of all takes; their shared prompt counts once. Valid until the takes are
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_usage(takes: *const ualm_takes) -> *const ualm_usage {
    // SAFETY: per the header's contract. The takes outlive the share that is taken here.
    value(std::ptr::null(), || Ok(&raw const unsafe { share(takes) }?.usage))
}

/// Frees takes. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_takes_free(takes: *mut ualm_takes) {
    // SAFETY: per the header's contract.
    unsafe { free(takes) }
}
