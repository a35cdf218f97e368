//! A chain in the making, apart from where its segments go.

use ualm::audio::Waveform;
use ualm::{
    Cancel, Chain, Checkpoint, Error, ErrorKind, Event, GenerationConfig, Message, Modality, Model, Record, Result,
    Segment, Session, Stages,
};

use super::settings::{listening, plan_of, segment_config, turn_config, with_text};
use crate::sound::{Made, run};

/// A conversation that is led through the stages of a chain.
pub struct ChainMaker<'a> {
    model: &'a Model,
    pub session: Session,
    pub stages: Stages,
    pub seed: u64,
    /// What is changed of the package's, or the record's, settings.
    change: Box<dyn Fn(&mut GenerationConfig) + 'a>,
    /// What was said and made so far.
    pub record: Record,
    /// Where the next segment opens; without one, after the last segment.
    place: Option<Checkpoint>,
    last: Option<Segment>,
    /// What a listener hears of the last sound.
    sound: Option<Waveform>,
}

impl<'a> ChainMaker<'a> {
    /// Stands before a chain.
    pub fn new(
        model: &'a Model,
        session: Session,
        chain: Chain,
        seed: u64,
        change: impl Fn(&mut GenerationConfig) + 'a,
    ) -> Result<Self> {
        let mut record = Record::new(model.package());
        record.chain = Some(chain);
        let (stages, change) = (chain.stages()?, Box::new(change));
        Ok(Self { model, session, stages, seed, change, record, place: None, last: None, sound: None })
    }

    /// Goes to the place before stage `index` of the chain that `record` holds, which began as this one.
    pub fn go_to(&mut self, record: &Record, index: usize, cancel: &Cancel) -> Result<()> {
        let (chain, cut) = (self.record.chain, self.stages.cut(index));
        if self.stages.get(index).is_some_and(|stage| stage.modality().is_some()) {
            self.place = Some(self.session.restore(record, cut, cancel)?);
            self.record = record.before(cut)?;
        } else {
            self.session.restore_turns(record, cut.turn + 1, cancel)?;
            self.record = record.clone();
            self.record.turns.truncate(cut.turn + 1);
        }
        self.record.chain = chain;
        Ok(())
    }

    /// Begins a turn, whose first segment is stage `first`.
    pub fn say(&mut self, first: usize, messages: &[Message], cancel: &Cancel) -> Result<()> {
        let prompt = self.session.prompt_until(messages, cancel)?;
        self.record.begin_turn(messages, &prompt, &self.config(first));
        self.place = Some(self.session.checkpoint(&prompt, cancel)?);
        Ok(())
    }

    /// Gives the last sound to the audio encoder, before stage `first`.
    pub fn listen(&mut self, first: usize, cancel: &Cancel) -> Result<()> {
        let Some(sound) = self.sound.clone() else { return Err(nothing("no sound was made that could be heard")) };
        self.say(first, &listening(self.model, sound), cancel)
    }

    /// The plan that the chain has by now.
    pub fn plan(&self) -> Option<&str> {
        plan_of(&self.record, &self.stages)
    }

    /// Where the next segment opens.
    pub fn place(&mut self, cancel: &Cancel) -> Result<Checkpoint> {
        if let Some(place) = self.place.take() {
            return Ok(place);
        }
        let segments = self.record.turns.last().map_or(0, |turn| turn.segments.len());
        match &self.last {
            Some(last) => self.session.go_on(segments, last.draws.to, cancel),
            None => Err(nothing("nothing was said that could go on")),
        }
    }

    /// A text at `place`: the model's, or the one that is `given`.
    pub fn text(
        &mut self,
        mut place: Checkpoint,
        given: Option<&str>,
        cancel: &Cancel,
        tell: impl FnMut(Event) -> Result<()>,
    ) -> Result<Made> {
        let mut config = self.segment_config(&place, Modality::Text);
        if let Some(text) = given {
            place = with_text(place, text, self.model, &mut config)?;
        }
        run(self.session.generate_from(&place, &config, cancel)?, tell)
    }

    /// Settings of the sound at `place`, those of its first take.
    pub fn sound_config(&self, place: &Checkpoint) -> GenerationConfig {
        self.segment_config(place, Modality::Audio)
    }

    /// Puts a segment into the chain; `sound` is what a listener hears of it.
    pub fn keep(&mut self, segment: Segment, sound: Option<Waveform>) {
        self.record.push(&segment);
        self.last = Some(segment);
        self.sound = sound.or(self.sound.take());
    }

    /// Takes the last segment back.
    pub fn forget_last(&mut self) {
        self.last = None;
        if let Some(turn) = self.record.turns.last_mut() {
            turn.segments.pop();
        }
    }

    /// The record with `segment` at its end, as the take of a sound holds it.
    pub fn record_with(&self, segment: &Segment) -> Record {
        let mut record = self.record.clone();
        record.push(segment);
        record
    }

    /// Settings for the turn whose first segment is stage `first`: those of the turn before it, if there is one.
    fn config(&self, first: usize) -> GenerationConfig {
        let stages = self.stages.get(first..).unwrap_or_default();
        let config = turn_config(self.model, &self.record, stages, self.seed, &self.change);
        GenerationConfig { stream_audio: false, ..config }
    }

    /// Settings of the one segment of `modality` at `place`.
    fn segment_config(&self, place: &Checkpoint, modality: Modality) -> GenerationConfig {
        segment_config(self.config(0), place, modality)
    }
}

fn nothing(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
