//! Events of a generation, as C structs.

use std::ffi::c_char;
use std::sync::Arc;

use ualm::Event;

use super::names::ualm_modality;
use super::view::{Samples, SegmentView, Text, View, ualm_samples, ualm_segment, ualm_usage};

/// The kind of an event.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_event_kind {
    /// A segment began.
    SegmentStarted = 1,
    /// The current segment got more text: text, text_len.
    TextDelta = 2,
    /// The current sound segment grew, but is not decoded yet: seconds.
    AudioProgress = 3,
    /// The next samples of the current sound segment: audio.
    AudioChunk = 4,
    /// A segment ended: segment.
    SegmentEnded = 5,
    /// The reply is complete or was stopped: usage.
    Finished = 6,
}

/// An event of a reply that is being generated. The library fills it; later versions may add fields at the end, and
/// kinds: ignore unknown kinds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_event {
    /// Its size in this version of the library.
    pub struct_size: usize,
    /// The kind, which determines the other fields that are set.
    pub kind: ualm_event_kind,
    /// The modality of the current segment; UALM_MODALITY_NONE in UALM_EVENT_KIND_FINISHED.
    pub modality: ualm_modality,
    /// Index of the current segment in the reply, from 0.
    pub segment_index: usize,
    /// The NUL-terminated text, else NULL. It always ends on a character boundary.
    pub text: *const c_char,
    /// Bytes of the text, without the NUL.
    pub text_len: usize,
    /// Seconds of the current sound segment so far.
    pub seconds: f64,
    /// The samples, else NULL.
    pub audio: *const ualm_samples,
    /// The segment, else NULL.
    pub segment: *const ualm_segment,
    /// The usage of the reply, else NULL.
    pub usage: *const ualm_usage,
}

/// An event that C may read.
pub(super) struct EventView {
    view: View<ualm_event>,
    _text: Option<Text>,
    _audio: Option<Arc<Samples>>,
    segment: Option<Arc<SegmentView>>,
    usage: Option<Arc<ualm_usage>>,
}

impl EventView {
    pub(super) fn view(&self) -> &ualm_event {
        self.view.get()
    }

    /// Returns the segment that ended.
    pub(super) fn segment(&self) -> Option<&Arc<SegmentView>> {
        self.segment.as_ref()
    }

    /// Returns the usage of the finished reply.
    pub(super) fn usage(&self) -> Option<&ualm_usage> {
        self.usage.as_deref()
    }
}

/// A converter of events to C structs, which adds the current segment to each.
pub(super) struct EventConverter {
    modality: ualm_modality,
    segment_index: usize,
}

impl EventConverter {
    pub(super) fn new() -> Self {
        Self { modality: ualm_modality::None, segment_index: 0 }
    }

    /// Converts an event; returns `None` for one that the header does not have.
    pub(super) fn convert(&mut self, event: Event) -> Option<Arc<EventView>> {
        let mut seconds = 0.0;
        let mut text = None;
        let mut audio = None;
        let mut segment = None;
        let mut usage = None;
        let kind = match event {
            Event::SegmentStarted { index, modality } => {
                self.segment_index = index;
                self.modality = modality.into();
                ualm_event_kind::SegmentStarted
            }
            Event::TextDelta(piece) => {
                text = Some(Text::new(&piece));
                ualm_event_kind::TextDelta
            }
            Event::AudioProgress { seconds: so_far } => {
                seconds = so_far;
                ualm_event_kind::AudioProgress
            }
            Event::AudioChunk(sound) => {
                audio = Some(Samples::new(&sound));
                ualm_event_kind::AudioChunk
            }
            Event::SegmentEnded { segment: ended, .. } => {
                segment = Some(SegmentView::new(ended));
                ualm_event_kind::SegmentEnded
            }
            Event::Finished { usage: used, seconds } => {
                self.modality = ualm_modality::None;
                usage = Some(Arc::new(ualm_usage::new(used, seconds)));
                ualm_event_kind::Finished
            }
            _ => return None,
        };
        let view = ualm_event {
            struct_size: size_of::<ualm_event>(),
            kind,
            modality: self.modality,
            segment_index: self.segment_index,
            text: text.as_ref().map_or(std::ptr::null(), Text::as_ptr),
            text_len: text.as_ref().map_or(0, Text::len),
            seconds,
            audio: audio.as_ref().map_or(std::ptr::null(), |audio| audio.view()),
            segment: segment.as_ref().map_or(std::ptr::null(), |segment| segment.view()),
            usage: usage.as_ref().map_or(std::ptr::null(), Arc::as_ptr),
        };
        Some(Arc::new(EventView { view: View::new(view), _text: text, _audio: audio, segment, usage }))
    }
}
