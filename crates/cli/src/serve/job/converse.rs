//! A spoken answer: transcribes the recordings, answers the conversation in text, and speaks the answer.

use std::cell::Cell;

use ualm::{Content, ConverseOptions, Converser, ErrorKind, Message, Record, Result, Role, TakeEvent};

use super::{Job, Outcome, Start, Tools, invalid, observing_segments};

impl Job {
    /// Generates a spoken answer, with events for the transcripts, the answer and its speech.
    pub(super) fn converse(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { takes, on_event } = tools;
        let Start::Messages(messages) = std::mem::replace(&mut self.start, Start::Messages(Vec::new())) else {
            return Err(invalid("a spoken conversation cannot be resumed from a record: send its messages"));
        };
        let seed = self.seed.unwrap_or_default();
        let options = ConverseOptions::default()
            .seed(seed)
            .stream_audio(self.stream)
            .settings(|config| self.apply_settings(config));
        let mut converser = Converser::new(takes, options)?;
        let mut heard: Vec<String> = Vec::new();
        let mut said = Vec::new();
        for message in messages {
            said.push(match message {
                Message {
                    role: Role::User,
                    content: Content::Audio(sound) | Content::Speech(sound),
                    begins_turn,
                    ..
                } => {
                    let words = converser.hear(sound, |event| match event {
                        TakeEvent::Heard(_) => on_event(event),
                        _ => Ok(()),
                    })?;
                    heard.push(words.clone());
                    let message = Message::text(words);
                    if begins_turn { message.in_new_turn() } else { message }
                }
                message => message,
            });
        }
        let has_segment = Cell::new(false);
        let mut on_event = observing_segments(on_event, &has_segment);
        let mut on_event = |event: TakeEvent<'_>| match event {
            TakeEvent::SegmentEnded { position, segment, sound, record } => {
                on_event(TakeEvent::SegmentEnded { position, segment, sound, record: &last_request(record) })
            }
            event => on_event(event),
        };
        let answer = converser.answer(&said, &mut on_event)?;
        match converser.speak(&answer, &mut on_event) {
            // stopped before the speech: the text answer is the reply
            Err(error) if error.kind() == ErrorKind::Cancelled && has_segment.get() => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(Outcome { seed, usage: converser.usage(), seconds: converser.seconds(), ranking: Vec::new(), heard })
    }
}

/// Returns the part of `record` that its last segment depends on. Earlier turns may have the large features of long
/// recordings.
fn last_request(record: &Record) -> Record {
    let mut record = record.clone();
    record.turns.drain(..record.turns.len().saturating_sub(1));
    record
}
