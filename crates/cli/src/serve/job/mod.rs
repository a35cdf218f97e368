//! A reply from its beginning to its end, as it is made: what was asked for in, events out. It knows nothing of HTTP.

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

use crate::wire::{ChainWish, Settings};

/// A request for a reply.
pub struct Job {
    pub start: Start,
    pub way: Way,
    pub takes: u16,
    /// By default the record's, or one that is drawn.
    pub seed: Option<u64>,
    pub text: Settings,
    /// Whether the model thinks before it answers in text; by default as the package says.
    pub thinking: Option<bool>,
    /// What text is made for, where the package has settings for it.
    pub purpose: Option<Purpose>,
    /// Of sound and speech.
    pub audio: Settings,
    /// The most steps of a sound of each modality.
    pub most_sound_steps: BTreeMap<Modality, usize>,
    /// `true` ranks the takes.
    pub best: bool,
    /// `true` gives sound in chunks.
    pub stream: bool,
}

/// The start of a reply.
pub enum Start {
    Messages(Vec<Message>),
    /// Before segment number `segment`, from 1; `said` is an answer that stands there.
    Record {
        record: Box<Record>,
        segment: usize,
        said: Vec<Message>,
    },
}

/// The content of a reply.
pub enum Way {
    /// Segments: the first ones of these modalities.
    Free {
        force: Vec<Modality>,
        max_segments: usize,
    },
    Chain(ChainWish),
    /// A text and its speech, in requests of their own.
    Converse,
    /// As the record says.
    AsRecorded,
}

/// The tools that a reply is made with.
pub struct Tools<'a> {
    /// The session of the request, with room for the takes that are made at once, and the token that stops the reply.
    pub takes: TakeRunner,
    pub tell: &'a mut dyn FnMut(TakeEvent<'_>) -> Result<()>,
}

/// The outcome of a reply.
#[derive(Default)]
pub struct Outcome {
    pub seed: u64,
    pub usage: Usage,
    pub seconds: Seconds,
    /// The best first.
    pub ranking: Vec<Ranked>,
    /// The words of the recordings that were heard first, in order.
    pub heard: Vec<String>,
}

impl Job {
    /// Makes the reply. When the session's token stops it, `tell` was given what there is.
    ///
    /// # Errors
    /// The errors of generations and of `tell`; [`ErrorKind::Cancelled`] before anything was made.
    pub fn run(self, tools: Tools) -> Result<Outcome> {
        if matches!(self.way, Way::Converse) {
            return self.converse(tools);
        }
        let reasons = match (&self.way, &self.start) {
            (Way::Chain(_), _) => true,
            (Way::AsRecorded, Start::Record { record, .. }) => record.chain.is_some(),
            _ => false,
        };
        if reasons { self.reason(tools) } else { self.reply(tools) }
    }

    /// Changes `config` as the request asks, within the limits.
    fn change(&self, config: &mut GenerationConfig) {
        self.text.apply(&mut config.text);
        for modality in [Modality::Audio, Modality::Speech] {
            let sound = config.segment_mut(modality);
            self.audio.apply(sound);
            sound.max_steps = sound.max_steps.min(self.most_sound_steps.get(&modality).copied().unwrap_or(usize::MAX));
        }
    }
}

/// Returns a closure that passes events on to `tell`, and sets `has_told` once a segment has ended.
fn noting_segments(
    tell: &mut dyn FnMut(TakeEvent<'_>) -> Result<()>,
    has_told: &Cell<bool>,
) -> impl FnMut(TakeEvent<'_>) -> Result<()> {
    |event| {
        has_told.set(has_told.get() || matches!(event, TakeEvent::SegmentEnded { .. }));
        tell(event)
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
