//! A reply from its beginning to its end, as it is made: what was asked for in, events out. It knows nothing of HTTP.

mod chain;
mod reply;

use ualm::audio::Waveform;
use ualm::wire::{ChainWish, Settings};
use ualm::{
    Cancel, Checkpoint, Error, ErrorKind, Event, Expected, GenerationConfig, Message, Modality, Model, Ranked, Record,
    Result, Seconds, Segment, SegmentEnd, Session, Stage, Usage,
};

use crate::sound::enhanced;
use crate::takes::{run_at_once, take_configs};

/// What is to be made.
pub struct Job {
    pub start: Start,
    pub way: Way,
    pub takes: u16,
    /// By default the record's, or one that is drawn.
    pub seed: Option<u64>,
    pub text: Settings,
    /// Of sound and speech.
    pub audio: Settings,
    /// The most frames of a sound.
    pub most_sound_steps: usize,
    /// Whether the takes are ranked.
    pub best: bool,
    /// Whether sound comes in chunks.
    pub stream: bool,
}

/// Where it begins.
pub enum Start {
    Messages(Vec<Message>),
    /// Before segment number `segment`, from 1; `said` is an answer that stands there.
    Record {
        record: Box<Record>,
        segment: usize,
        said: Vec<Message>,
    },
}

/// What is made.
pub enum Way {
    /// Segments: the first ones of these modalities.
    Free {
        force: Vec<Modality>,
        max_segments: usize,
    },
    Chain(ChainWish),
    /// As the record says.
    AsRecorded,
}

/// What a reply is made with.
pub struct Tools<'a> {
    pub model: &'a Model,
    pub session: Session,
    /// Takes that may be made at once.
    pub at_once: usize,
    pub cancel: &'a Cancel,
    pub tell: &'a mut dyn FnMut(Made) -> Result<()>,
}

/// A segment's place in the reply.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub take: usize,
    /// From 1.
    pub number: usize,
    pub stage: Option<Stage>,
    pub modality: Modality,
}

/// What happened.
pub enum Made<'a> {
    Began(Place),
    Text(Place, String),
    Sound(Place, Waveform),
    /// `sound` is what is heard of it, `record` ends with it.
    Ended {
        place: Place,
        segment: Segment,
        sound: Option<Waveform>,
        record: &'a Record,
    },
    Ranked(&'a Ranked),
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub seed: u64,
    pub usage: Usage,
    pub seconds: Seconds,
    /// The best first.
    pub ranking: Vec<Ranked>,
}

impl Job {
    /// Makes the reply. When `cancel` stops it, what there is was told.
    ///
    /// # Errors
    /// As those of generations, and of `tell`; cancelled before anything was made.
    pub fn run(self, tools: Tools) -> Result<Outcome> {
        let reasons = match (&self.way, &self.start) {
            (Way::Chain(_), _) => true,
            (Way::AsRecorded, Start::Record { record, .. }) => record.chain.is_some(),
            _ => false,
        };
        if reasons { self.reason(tools) } else { self.reply(tools) }
    }

    /// The settings of a request, within the limits.
    fn change(&self, config: &mut GenerationConfig) {
        self.text.apply(&mut config.text);
        for sound in [&mut config.audio, &mut config.speech] {
            self.audio.apply(sound);
            if self.audio.max_steps.is_none() {
                sound.max_steps = sound.max_steps.min(self.most_sound_steps);
            }
        }
    }
}

/// A reply in the making.
struct Making<'a> {
    model: &'a Model,
    at_once: usize,
    cancel: &'a Cancel,
    tell: &'a mut dyn FnMut(Made) -> Result<()>,
    outcome: Outcome,
}

/// A take in the making.
#[derive(Clone)]
struct Take {
    at: Place,
    /// What was said and made in it.
    record: Record,
    last: Option<Segment>,
    /// What is heard of its last sound.
    sound: Option<Waveform>,
}

impl Take {
    fn new(at: Place, record: Record) -> Self {
        Self { at, record, last: None, sound: None }
    }

    fn end(&self) -> Option<SegmentEnd> {
        self.last.as_ref().map(|segment| segment.end)
    }

    fn is_whole(&self) -> bool {
        self.end().is_some_and(|end| end != SegmentEnd::Cancelled)
    }
}

impl Making<'_> {
    /// Makes takes from `place`, as many at once as may be; each begins as `take`, and has its own seed, `config`'s the
    /// first. When one is stopped, those that were not made to their end are not among what comes back.
    ///
    /// # Errors
    /// That of a take; stopped before anything was made.
    fn takes(
        &mut self,
        session: &mut Session,
        place: &Checkpoint,
        config: &GenerationConfig,
        take: &Take,
        count: u16,
    ) -> Result<Vec<Take>> {
        let numbers: Vec<_> = (0..count).collect();
        let mut all = Vec::new();
        for numbers in numbers.chunks(self.at_once) {
            let configs = take_configs(config, numbers.iter().copied());
            let begin = |number: &u16| Take { at: Place { take: (*number).into(), ..take.at }, ..take.clone() };
            let mut takes: Vec<_> = numbers.iter().map(begin).collect();
            run_at_once(session, place, &configs, self.cancel, |index, event| match (takes.get_mut(index), event?) {
                (Some(take), event) => self.step(take, event),
                (None, _) => Ok(()),
            })?;
            if takes.iter().all(|take| take.last.is_none()) && all.is_empty() {
                return Err(Error::new(ErrorKind::Cancelled, "stopped on request; nothing was made yet"));
            }
            let (whole, stopped): (Vec<_>, Vec<_>) = takes.into_iter().partition(Take::is_whole);
            all.extend(whole);
            if !stopped.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Tells of what happened in a take.
    fn step(&mut self, take: &mut Take, event: Event) -> Result<()> {
        match event {
            Event::SegmentStarted { index, modality } => {
                // in a chain the stages are numbered
                if take.at.stage.is_none() {
                    (take.at.number, take.at.modality) = (index + 1, modality);
                }
                (self.tell)(Made::Began(take.at))
            }
            Event::TextDelta(piece) => (self.tell)(Made::Text(take.at, piece)),
            Event::AudioChunk(chunk) => (self.tell)(Made::Sound(take.at, chunk)),
            Event::SegmentEnded { segment, .. } => self.end(take, segment),
            Event::Finished { usage, seconds } => {
                self.add(usage, seconds);
                Ok(())
            }
            Event::AudioProgress { .. } => Ok(()),
        }
    }

    fn end(&mut self, take: &mut Take, segment: Segment) -> Result<()> {
        take.record.push(&segment);
        let sound = enhanced(self.model, &segment)?;
        take.sound = sound.clone().or(take.sound.take());
        take.last = Some(segment.clone());
        (self.tell)(Made::Ended { place: take.at, segment, sound, record: &take.record })
    }

    /// Counts what a take took. Takes share their prompt, which counts once.
    fn add(&mut self, usage: Usage, seconds: Seconds) {
        let outcome = &mut self.outcome;
        outcome.usage.prompt_frames = outcome.usage.prompt_frames.max(usage.prompt_frames);
        outcome.usage.steps += usage.steps;
        outcome.seconds.prefill = outcome.seconds.prefill.max(seconds.prefill);
        outcome.seconds.decode += seconds.decode;
    }

    /// Ranks the takes; those that were not listened to when it is stopped have no rank.
    /// What was said in `session` is forgotten.
    fn rank(&mut self, session: &mut Session, takes: &[Take], modality: Modality, expected: &Expected) -> Result<()> {
        let sounds: Vec<_> = takes.iter().filter_map(|take| take.sound.clone()).collect();
        if sounds.is_empty() {
            return Ok(());
        }
        let ranking = session.ranking(&sounds, modality, expected, self.cancel)?;
        let (ranked, failure) = ranking.into_partial(|ranked| (self.tell)(Made::Ranked(ranked)))?;
        self.outcome.ranking = ranked;
        match failure {
            Some(error) if error.kind() != ErrorKind::Cancelled => Err(error),
            _ => Ok(()),
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
