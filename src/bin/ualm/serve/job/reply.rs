//! A reply of one turn.

use ualm::audio::Waveform;
use ualm::{
    Checkpoint, Content, Error, ErrorKind, Event, GenerationConfig, Message, Modality, Record, Result, Segment,
    SegmentEnd, Session, Wanted,
};

use super::{Job, Made, Making, Outcome, Place, Start, Tools, Way, heard, invalid};
use crate::chain::seed_at;

impl Job {
    /// A reply of one turn, or of the last turn of a record.
    pub(super) fn reply(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { model, mut session, cancel, tell } = tools;
        let mut config = model.config();
        let wanted = wanted(&self.start);
        let (place, record, first) = match std::mem::replace(&mut self.start, Start::Messages(Vec::new())) {
            Start::Messages(messages) => {
                self.change(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_default();
                let prompt = session.prompt(&messages)?;
                let mut record = Record::new(model.package());
                record.begin_turn(&messages, &prompt, &config);
                (session.checkpoint(&prompt, cancel)?, record, 0)
            }
            Start::Record { record, segment, said } => {
                if !said.is_empty() {
                    return Err(invalid(
                        "messages do not belong to a reply that goes on from a segment: leave them out",
                    ));
                }
                let cut = record.before_segment(segment.saturating_sub(1));
                let place = session.restore(&record, cut, cancel)?;
                let before = record.before(cut)?;
                config = record.turns.last().map_or(config, |turn| turn.config.clone());
                self.change(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_else(|| seed_at(&record, cut));
                (place, before, cut.segment)
            }
        };
        config.max_segments = config.max_segments.max(first + 1);
        config.stream_audio = self.stream;
        let seed = config.seed;
        let mut making = Making { model, cancel, tell, outcome: Outcome { seed, ..Outcome::default() } };
        let mut sounds = Vec::new();
        for take in 0..usize::from(self.takes) {
            config.seed = seed.wrapping_add(take as u64);
            let mut made = Take { making: &mut making, take, record: record.clone(), sound: None };
            let complete = made.run(&mut session, &place, &config)?;
            sounds.extend(made.sound);
            if !complete {
                return Ok(making.outcome);
            }
        }
        if self.best {
            making.rank(&mut session, &sounds, config.force.last().copied().unwrap_or(Modality::Audio), &wanted)?;
        }
        Ok(making.outcome)
    }

    /// Puts what this request wants made in the place of what `config` says.
    fn force(&self, config: &mut GenerationConfig) {
        if let Way::Free { force, max_segments } = &self.way {
            config.force.clone_from(force);
            config.max_segments = (*max_segments).max(force.len());
        }
    }
}

/// One take of a reply.
struct Take<'a, 'b> {
    making: &'a mut Making<'b>,
    take: usize,
    record: Record,
    /// The last sound.
    sound: Option<Waveform>,
}

impl Take<'_, '_> {
    /// Makes it; whether it was made to its end.
    fn run(&mut self, session: &mut Session, place: &Checkpoint, config: &GenerationConfig) -> Result<bool> {
        let mut at = Place { take: self.take, number: 0, stage: None, modality: Modality::Text };
        let mut last = None;
        for event in session.generate_from(place, config, self.making.cancel)? {
            match event? {
                Event::SegmentStarted { index, modality } => {
                    at = Place { number: index + 1, modality, ..at };
                    (self.making.tell)(Made::Began(at))?;
                }
                Event::TextDelta(piece) => (self.making.tell)(Made::Text(at, piece))?,
                Event::AudioChunk(chunk) => (self.making.tell)(Made::Sound(at, chunk))?,
                Event::SegmentEnded { segment, .. } => {
                    last = Some(segment.end);
                    self.end(at, segment)?;
                }
                Event::Finished { usage, seconds } => self.making.add(usage, seconds),
                Event::AudioProgress { .. } | Event::Ranked(_) => {}
            }
        }
        match last {
            Some(end) => Ok(end != SegmentEnd::Cancelled),
            None => Err(Error::new(ErrorKind::Cancelled, "stopped on request; nothing was made yet")),
        }
    }

    fn end(&mut self, place: Place, segment: Segment) -> Result<()> {
        self.record.push(&segment);
        let sound = heard(self.making.model, &segment)?;
        self.sound = sound.clone().or(self.sound.take());
        (self.making.tell)(Made::Ended { place, segment, sound, record: &self.record })
    }
}

/// What the takes of a plain reply are held against.
fn wanted(start: &Start) -> Wanted {
    let texts = |messages: &[Message]| {
        let texts = messages.iter().rev().find_map(|message| match &message.content {
            Content::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.unwrap_or_default()
    };
    match start {
        Start::Messages(messages) => Wanted::of(&texts(messages)),
        Start::Record { record, .. } => {
            let said = record.turns.last().map(|turn| turn.messages.iter().rev().find_map(|said| said.text.clone()));
            Wanted::of(&said.flatten().unwrap_or_default())
        }
    }
}
