//! A spoken answer: recordings are heard, the conversation in text is answered, and the answer is spoken.

use std::cell::Cell;

use ualm::{Content, ConverseOptions, Converser, ErrorKind, Message, Record, Result, Role, TakeEvent};

use super::{Job, Outcome, Start, Tools, invalid, noting_segments};

impl Job {
    /// Makes a spoken answer. The words of the recordings, the answer and its speech are told of.
    pub(super) fn converse(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { takes, tell } = tools;
        let Start::Messages(messages) = std::mem::replace(&mut self.start, Start::Messages(Vec::new())) else {
            return Err(invalid("a spoken conversation does not go on from a record: give its messages"));
        };
        let seed = self.seed.unwrap_or_default();
        let options =
            ConverseOptions::default().seed(seed).stream_audio(self.stream).settings(|config| self.change(config));
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
                        TakeEvent::Heard(_) => tell(event),
                        _ => Ok(()),
                    })?;
                    heard.push(words.clone());
                    let message = Message::text(words);
                    if begins_turn { message.in_new_turn() } else { message }
                }
                message => message,
            });
        }
        let has_told = Cell::new(false);
        let mut tell = noting_segments(tell, &has_told);
        let mut tell = |event: TakeEvent<'_>| match event {
            TakeEvent::SegmentEnded { position, segment, sound, record } => {
                tell(TakeEvent::SegmentEnded { position, segment, sound, record: &last_request(record) })
            }
            event => tell(event),
        };
        let answer = converser.answer(&said, &mut tell)?;
        match converser.speak(&answer, &mut tell) {
            // stopped before it was spoken: the answer in text is what there is
            Err(error) if error.kind() == ErrorKind::Cancelled && has_told.get() => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let (usage, seconds) = (converser.usage(), converser.seconds());
        Ok(Outcome { seed, usage, seconds, ranking: Vec::new(), heard })
    }
}

/// Returns the part of `record` that its last segment depends on. The requests before it may have the features of long
/// recordings.
fn last_request(record: &Record) -> Record {
    let mut record = record.clone();
    record.turns.drain(..record.turns.len().saturating_sub(1));
    record
}
