//! A reply in the making, together with the session that it borrows.
//!
//! In Rust a [`Generation`] borrows its [`Session`] mutably. C has no borrows, so the session lies in a [`Slot`]: a
//! generation takes it out, holds both as one value ([`Borrowed`], whose self-reference `self_cell` keeps sound), and
//! puts the session back when the reply has come to its end or is given up. In between the slot is empty.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use self_cell::{MutBorrow, self_cell};
use ualm::{Cancel, Event, Generation, GenerationConfig, Message, Prompt, Record, Session};

use super::boundary::Result;
use super::checkpoint::ualm_checkpoint;
use super::conversation::{Conversation, Slot};

self_cell!(
    /// A session, and the generation that borrows it.
    struct Borrowed {
        owner: MutBorrow<Session>,
        #[not_covariant]
        dependent: Generation,
    }
);

/// Where a reply begins.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// After these messages.
    Prompt(&'a [Message]),
    /// At this place, whose prompt was run.
    At(&'a ualm_checkpoint),
}

/// A reply in the making.
pub(super) struct Running {
    slot: Arc<Slot>,
    /// `None` once the session is back in its slot.
    open: Option<Open>,
}

struct Open {
    borrowed: Borrowed,
    record: Record,
    /// Positions of the conversation before this reply.
    begun: usize,
}

impl Running {
    /// Takes the session and begins the reply. On failure the session is back in its slot.
    pub(super) fn start(
        slot: &Arc<Slot>,
        start: Start<'_>,
        config: &GenerationConfig,
        cancel: &Cancel,
    ) -> Result<Self> {
        let Conversation { session, mut record } = slot.take()?;
        let (begun, mut read) = (session.position(), None);
        let started = Borrowed::try_new_or_recover(MutBorrow::new(session), |session| {
            let session = session.borrow_mut();
            match start {
                Start::Prompt(messages) => {
                    let prompt = session.prompt_for(config.opens_with(), messages, cancel)?;
                    read = Some(prompt.clone());
                    session.generate(prompt, config, cancel)
                }
                Start::At(place) => session.generate_from(&place.checkpoint, config, cancel),
            }
        });
        match started {
            Ok(borrowed) => {
                begin_turn(&mut record, start, read.as_ref(), config);
                Ok(Self { slot: Arc::clone(slot), open: Some(Open { borrowed, record, begun }) })
            }
            Err((session, error)) => {
                let session = session.into_inner();
                // refused after it had gone back to the place
                if let Start::At(place) = start
                    && session.position() != begun
                {
                    place.length.cut(&mut record);
                }
                slot.put(Conversation { session, record });
                Err(ualm::Error::into(error))
            }
        }
    }

    /// The next event; `None` after the last one, or after a failure. With either the session is free again.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        let Some(open) = self.open.take() else { return Ok(None) };
        // After a panic all is left where it is, for ever: nothing says what state it is in.
        let mut open = ManuallyDrop::new(open);
        let event = open.borrowed.with_dependent_mut(|_, generation| generation.next()).transpose();
        let mut open = ManuallyDrop::into_inner(open);
        if let Ok(Some(Event::SegmentEnded { segment, .. })) = &event {
            open.record.push(segment);
        }
        match event {
            Ok(Some(Event::Finished { .. }) | None) | Err(_) => self.hand_back(open),
            Ok(Some(_)) => self.open = Some(open),
        }
        Ok(event?)
    }

    fn hand_back(&self, open: Open) {
        let Open { borrowed, mut record, begun } = open;
        let session = borrowed.into_owner().into_inner();
        // a prompt that was never run was not said
        if session.position() <= begun && record.turns.last().is_some_and(|turn| turn.segments.is_empty()) {
            record.turns.pop();
        }
        self.slot.put(Conversation { session, record });
    }
}

/// Writes down how the reply begins; `read` is the prompt of the messages as the model reads it.
fn begin_turn(record: &mut Record, start: Start<'_>, read: Option<&Prompt>, config: &GenerationConfig) {
    match start {
        Start::Prompt(messages) => {
            if let Some(prompt) = read {
                record.begin_turn(messages, prompt, config);
            }
        }
        Start::At(place) => {
            place.length.cut(record);
            if let Some(turn) = record.turns.last_mut() {
                turn.config = config.clone();
            }
        }
    }
}

/// A reply that is given up half-way counts as cancelled; the session goes back.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.hand_back(open);
        }
    }
}
