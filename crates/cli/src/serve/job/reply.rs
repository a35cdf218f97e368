//! A reply of one turn.

use ualm::{Content, ErrorKind, Expected, GenerationConfig, Modality, Record, Result, Take};

use super::{Job, Outcome, Start, Tools, Way, invalid};

impl Job {
    /// Makes a reply of one turn, or of the last turn of a record.
    pub(super) fn reply(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { mut takes, tell } = tools;
        let session = takes.session_mut();
        let model = session.model().clone();
        let mut config = model.config();
        let words = words(&self.start);
        let (checkpoint, record, first) = match std::mem::replace(&mut self.start, Start::Messages(Vec::new())) {
            Start::Messages(messages) => {
                config = match self.purpose {
                    Some(purpose) => model.config_for(purpose),
                    None => model.config_about(&messages),
                };
                self.change(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_default();
                config.thinking = self.purpose.is_none() && model.thinking(self.thinking, &messages)?;
                let prompt = session.prompt_for(config.opens_with(), &messages)?;
                let mut record = Record::new(model.package());
                record.begin_turn(&messages, &prompt, &config);
                (session.checkpoint(&prompt)?, record, 0)
            }
            Start::Record { record, segment, said } => {
                if !said.is_empty() {
                    return Err(invalid(
                        "messages do not belong to a reply that goes on from a segment: leave them out",
                    ));
                }
                let cut = record.before_segment(segment.saturating_sub(1));
                let checkpoint = session.restore(&record, cut)?;
                let before = record.before(cut)?;
                config = record.turns.last().map_or(config, |turn| turn.config.clone());
                self.change(&mut config);
                self.force(&mut config);
                config.seed = self.seed.unwrap_or_else(|| record.seed_at(cut));
                (checkpoint, before, cut.segment)
            }
        };
        config.max_segments = config.max_segments.max(first + 1);
        config.stream_audio = self.stream;
        let count = self.takes.into();
        let mut made = takes.make(&checkpoint, &record, &config, count, &mut *tell)?;
        if let Some(error) = made.iter_mut().find_map(|take| take.failure.take()) {
            return Err(error);
        }
        let mut ranking = Vec::new();
        if self.best && made.len() == count && made.iter().all(Take::is_whole) {
            let modality = config.force.last().copied().unwrap_or(Modality::Audio);
            let expected = Expected::asked(&words, modality);
            let (ranked, failure) = takes.rank(&made, modality, &expected, tell)?;
            ranking = ranked;
            if let Some(error) = failure.filter(|error| error.kind() != ErrorKind::Cancelled) {
                return Err(error);
            }
        }
        Ok(Outcome { seed: config.seed, usage: takes.usage(), seconds: takes.seconds(), ranking, heard: Vec::new() })
    }

    /// Puts what this request wants made in the place of what `config` says.
    fn force(&self, config: &mut GenerationConfig) {
        if let Way::Free { force, max_segments } = &self.way {
            config.force.clone_from(force);
            config.max_segments = (*max_segments).max(force.len());
        }
    }
}

/// Returns the last words of the person, which the takes of a plain reply are scored against.
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
