//! Generation of a reply of one turn.

use ualm::{Checkpoint, Content, ErrorKind, Expected, GenerationConfig, Modality, Record, Result, Session, Take};

use super::{Job, Mode, Outcome, Start, Tools, invalid};

/// The point at which a reply begins.
struct Beginning {
    checkpoint: Checkpoint,
    record: Record,
    config: GenerationConfig,
    /// Index of the first segment to generate.
    first: usize,
}

impl Job {
    /// Generates a reply of one turn, or resumes the last turn of a record.
    pub(super) fn reply(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { mut takes, on_event } = tools;
        let words = words(&self.start);
        let Beginning { checkpoint, record, mut config, first } = self.begin(takes.session_mut())?;
        config.max_segments = config.max_segments.max(first + 1);
        config.stream_audio = self.stream;
        let count = self.takes.into();
        let mut made = takes.make(&checkpoint, &record, &config, count, &mut *on_event)?;
        if let Some(error) = made.iter_mut().find_map(|take| take.failure.take()) {
            return Err(error);
        }
        let mut ranking = Vec::new();
        if self.best && made.len() == count && made.iter().all(Take::is_whole) {
            let modality = config.force.last().copied().unwrap_or(Modality::Audio);
            let expected = Expected::asked(&words, modality);
            let (ranked, failure) = takes.rank(&made, modality, &expected, on_event)?;
            ranking = ranked;
            if let Some(error) = failure.filter(|error| error.kind() != ErrorKind::Cancelled) {
                return Err(error);
            }
        }
        Ok(Outcome { seed: config.seed, usage: takes.usage(), seconds: takes.seconds(), ranking, heard: Vec::new() })
    }

    /// Runs the prompt, or restores the record.
    fn begin(&mut self, session: &mut Session) -> Result<Beginning> {
        let model = session.model().clone();
        match std::mem::replace(&mut self.start, Start::Messages(Vec::new())) {
            Start::Messages(messages) => {
                let mut config = match self.purpose {
                    Some(purpose) => model.config_for(purpose),
                    None => model.config_about(&messages),
                };
                self.apply_settings(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_default();
                config.thinking = self.purpose.is_none() && model.thinking(self.thinking, &messages)?;
                let prompt = session.prompt_for(config.opens_with(), &messages)?;
                let mut record = Record::new(model.package());
                record.begin_turn(&messages, &prompt, &config);
                Ok(Beginning { checkpoint: session.checkpoint(&prompt)?, record, config, first: 0 })
            }
            Start::Record { record, segment, said } => {
                if !said.is_empty() {
                    return Err(invalid("messages cannot be added to a resumed reply: leave them out"));
                }
                let cut = record.before_segment(segment.saturating_sub(1));
                let checkpoint = session.restore(&record, cut)?;
                let before = record.before(cut)?;
                let mut config = record.turns.last().map_or(model.config(), |turn| turn.config.clone());
                self.apply_settings(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_else(|| record.seed_at(cut));
                Ok(Beginning { checkpoint, record: before, config, first: cut.segment })
            }
        }
    }

    /// Sets the requested modalities and number of segments.
    fn force(&self, config: &mut GenerationConfig) {
        if let Mode::Free { force, max_segments } = &self.mode {
            config.force.clone_from(force);
            config.max_segments = (*max_segments).max(force.len());
        }
    }
}

/// Returns the user's last text, against which takes are scored.
fn words(start: &Start) -> String {
    let words = match start {
        Start::Messages(messages) => messages.iter().rev().find_map(|message| match &message.content {
            Content::Text(text) => Some(text.clone()),
            _ => None,
        }),
        Start::Record { record, .. } => {
            record.turns.last().and_then(|turn| turn.messages.iter().rev().find_map(|said| said.text.clone()))
        }
    };
    words.unwrap_or_default()
}
