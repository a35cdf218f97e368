//! A reply of one turn.

use ualm::{Content, Expected, GenerationConfig, Modality, Record, Result};

use super::{Job, Making, Outcome, Place, Start, Take, Tools, Way, invalid};

impl Job {
    /// A reply of one turn, or of the last turn of a record.
    pub(super) fn reply(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { model, mut session, at_once, cancel, tell } = tools;
        let mut config = model.config();
        let words = words(&self.start);
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
                config.seed = self.seed.unwrap_or_else(|| record.seed_at(cut));
                (place, before, cut.segment)
            }
        };
        config.max_segments = config.max_segments.max(first + 1);
        config.stream_audio = self.stream;
        let outcome = Outcome { seed: config.seed, ..Outcome::default() };
        let mut making = Making { model, at_once, cancel, tell, outcome };
        let first = Take::new(Place { take: 0, number: 0, stage: None, modality: Modality::Text }, record);
        let takes = making.takes(&mut session, &place, &config, &first, self.takes)?;
        if self.best && takes.len() == usize::from(self.takes) {
            let modality = config.force.last().copied().unwrap_or(Modality::Audio);
            making.rank(&mut session, &takes, modality, &Expected::asked(&words, modality))?;
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

/// The last words of the person, which the takes of a plain reply are held against.
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
