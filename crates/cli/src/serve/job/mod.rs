//! Generation of replies: takes a request, emits events. Independent of HTTP.

mod chain;
mod converse;
mod reply;

use std::cell::Cell;
use std::collections::BTreeMap;

use ualm::package::Purpose;
use ualm::{
    Error, ErrorKind, GenerationConfig, Message, Modality, Ranked, Record, Result, Seconds, TakeEvent, TakeRunner,
    Usage,
};

use crate::wire::{ChainSettings, Settings};

/// A request for a reply.
pub struct Job {
    pub start: Start,
    pub mode: Mode,
    pub takes: u16,
    /// The seed; by default the record's.
    pub seed: Option<u64>,
    pub text: Settings,
    /// Enables or disables thinking before a text answer; by default the package decides.
    pub thinking: Option<bool>,
    /// The purpose of text, for packages with settings for it.
    pub purpose: Option<Purpose>,
    /// Settings of sound and speech.
    pub audio: Settings,
    /// The limit on the steps of a sound, by modality.
    pub max_sound_steps: BTreeMap<Modality, usize>,
    /// `true` to rank the takes.
    pub best: bool,
    /// `true` to stream sound in chunks.
    pub stream: bool,
}

/// The start of a reply.
pub enum Start {
    Messages(Vec<Message>),
    /// Before segment number `segment`, from 1. `said` has the user's answer if that segment is one.
    Record {
        record: Box<Record>,
        segment: usize,
        said: Vec<Message>,
    },
}

/// The kind of reply.
pub enum Mode {
    /// One reply; `force` has the modalities of its first segments.
    Free {
        force: Vec<Modality>,
        max_segments: usize,
    },
    Chain(ChainSettings),
    /// A text answer, and its speech in a generation of its own.
    Converse,
    /// The kind of the record.
    AsRecorded,
}

/// The session and the event handler of a reply.
pub struct Tools<'a> {
    /// The session of the request, with its cancellation token and the number of parallel takes.
    pub takes: TakeRunner,
    pub on_event: &'a mut dyn FnMut(TakeEvent<'_>) -> Result<()>,
}

/// The outcome of a reply.
#[derive(Default)]
pub struct Outcome {
    pub seed: u64,
    pub usage: Usage,
    pub seconds: Seconds,
    /// The ranking, best first.
    pub ranking: Vec<Ranked>,
    /// The transcripts of the recordings, in order.
    pub heard: Vec<String>,
}

impl Job {
    /// Generates the reply. After cancellation, `on_event` has received the partial reply.
    ///
    /// # Errors
    /// The errors of generation and of `on_event`; [`ErrorKind::Cancelled`] if no segment was begun.
    pub fn run(self, tools: Tools) -> Result<Outcome> {
        if matches!(self.mode, Mode::Converse) {
            return self.converse(tools);
        }
        let reasons = match (&self.mode, &self.start) {
            (Mode::Chain(_), _) => true,
            (Mode::AsRecorded, Start::Record { record, .. }) => record.chain.is_some(),
            _ => false,
        };
        if reasons { self.reason(tools) } else { self.reply(tools) }
    }

    /// Applies the settings of the request to `config`, within the limits.
    fn apply_settings(&self, config: &mut GenerationConfig) {
        self.text.apply(&mut config.text);
        for modality in [Modality::Audio, Modality::Speech] {
            let sound = config.segment_mut(modality);
            self.audio.apply(sound);
            sound.max_steps = sound.max_steps.min(self.max_sound_steps.get(&modality).copied().unwrap_or(usize::MAX));
        }
    }
}

/// Returns a closure that forwards events to `on_event`, and sets `has_segment` once a segment has ended.
fn observing_segments(
    on_event: &mut dyn FnMut(TakeEvent<'_>) -> Result<()>,
    has_segment: &Cell<bool>,
) -> impl FnMut(TakeEvent<'_>) -> Result<()> {
    |event| {
        has_segment.set(has_segment.get() || matches!(event, TakeEvent::SegmentEnded { .. }));
        on_event(event)
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
