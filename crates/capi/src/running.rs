//! A running generation, together with the session that it borrows.
//!
//! In Rust a [`Generation`] borrows its [`Session`] mutably. C has no borrow checker, so the session is stored in a
//! [`Slot`]: a generation takes it out and holds both as one value ([`Borrowed`], whose self-reference `self_cell`
//! makes safe), and puts the session back when the reply ends or is dropped. In between the slot is empty.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use self_cell::{MutBorrow, self_cell};
use ualm::{Cancel, Event, Generation, GenerationConfig, Message, Prompt, Record, Session};

use super::boundary::Result;
use super::checkpoint::ualm_checkpoint;
use super::conversation::{Conversation, Slot};

self_cell!(
    /// A session and the generation that borrows it.
    struct Borrowed {
        owner: MutBorrow<Session>,
        #[not_covariant]
        dependent: Generation,
    }
);

/// The start of a reply.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// After these messages.
    Prompt(&'a [Message]),
    /// At this checkpoint, whose prompt was run.
    At(&'a ualm_checkpoint),
}

/// A running generation.
pub(super) struct Running {
    slot: Arc<Slot>,
    /// `None` once the session is back in its slot.
    open: Option<Open>,
}

struct Open {
    borrowed: Borrowed,
    record: Record,
    /// Positions of the conversation before this reply's prompt; `None` at a checkpoint, whose prompt was run.
    begun: Option<usize>,
}

impl Running {
    /// Takes the session and begins the reply. On failure the session is back in its slot.
    pub(super) fn start(
        slot: &Arc<Slot>,
        start: Start<'_>,
        config: &GenerationConfig,
        cancel: &Cancel,
    ) -> Result<Self> {
        let Conversation { session, mut record } = slot.take(cancel)?;
        let begun = session.position();
        let mut read = None;
        let started = Borrowed::try_new_or_recover(MutBorrow::new(session), |session| {
            let session = session.borrow_mut();
            match start {
                Start::Prompt(messages) => {
                    let prompt = session.prompt_for(config.opens_with(), messages)?;
                    read = Some(prompt.clone());
                    session.generate(prompt, config)
                }
                Start::At(checkpoint) => session.generate_from(&checkpoint.checkpoint, config),
            }
        });
        match started {
            Ok(borrowed) => {
                begin_turn(&mut record, start, read.as_ref(), config);
                let begun = matches!(start, Start::Prompt(_)).then_some(begun);
                Ok(Self { slot: Arc::clone(slot), open: Some(Open { borrowed, record, begun }) })
            }
            Err((session, error)) => {
                let session = session.into_inner();
                // refused after the session was rewound to the checkpoint
                if let Start::At(checkpoint) = start
                    && session.position() != begun
                {
                    checkpoint.length.cut(&mut record);
                }
                slot.put(Conversation { session, record });
                Err(ualm::Error::into(error))
            }
        }
    }

    /// Returns the next event; `None` after the last one, or after a failure. Both return the session to its slot.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        let Some(open) = self.open.take() else { return Ok(None) };
        // After a panic everything is leaked, because its state is unknown.
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
        // a prompt that was never run is not part of the conversation
        let is_unread = begun.is_some_and(|begun| session.position() <= begun);
        if is_unread && record.turns.last().is_some_and(|turn| turn.segments.is_empty()) {
            record.turns.pop();
        }
        self.slot.put(Conversation { session, record });
    }
}

/// Records the start of the reply; `read` is the prompt made from the messages.
fn begin_turn(record: &mut Record, start: Start<'_>, read: Option<&Prompt>, config: &GenerationConfig) {
    match start {
        Start::Prompt(messages) => {
            if let Some(prompt) = read {
                record.begin_turn(messages, prompt, config);
            }
        }
        Start::At(checkpoint) => {
            checkpoint.length.cut(record);
            if let Some(turn) = record.turns.last_mut() {
                turn.config = config.clone();
            }
        }
    }
}

/// A reply that is dropped before its end counts as cancelled; the session goes back to its slot.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.hand_back(open);
        }
    }
}
