//! A session with its record, and the slot that holds both.

use std::sync::{Arc, Mutex, PoisonError};

use ualm::{Cancel, Checkpoint, Engine, Record, Session};

use super::boundary::{Failure, Result};

/// A session and its record.
pub(super) struct Conversation {
    pub(super) session: Session,
    pub(super) record: Record,
}

impl Conversation {
    pub(super) fn new(session: Session) -> Self {
        Self { record: Record::new(session.model().package()), session }
    }

    /// Returns a copy of the conversation at `checkpoint`, where its record had the given length.
    pub(super) fn fork(&mut self, checkpoint: &Checkpoint, length: Length) -> Result<Self> {
        let session = self.session.fork(checkpoint)?;
        let mut record = self.record.clone();
        length.cut(&mut record);
        Ok(Self { session, record })
    }
}

/// The length of a record at some point of the conversation.
#[derive(Clone, Copy)]
pub(super) struct Length {
    turns: usize,
    /// The number of segments of the last turn.
    segments: usize,
}

impl Length {
    pub(super) fn of(record: &Record) -> Self {
        Self { turns: record.turns.len(), segments: record.turns.last().map_or(0, |turn| turn.segments.len()) }
    }

    /// Removes everything beyond this length from `record`.
    pub(super) fn cut(self, record: &mut Record) {
        record.turns.truncate(self.turns);
        if let Some(last) = record.turns.last_mut() {
            last.segments.truncate(self.segments);
        }
    }
}

/// A slot for a conversation. It is empty while a call or a generation uses the conversation; other calls fail as busy.
pub(super) struct Slot {
    conversation: Mutex<Option<Conversation>>,
    /// The engine that runs the steps, kept alive by the slot.
    pub(super) engine: Option<Engine>,
}

impl Slot {
    pub(super) fn new(conversation: Conversation, engine: Option<&Engine>) -> Arc<Self> {
        Arc::new(Self { conversation: Mutex::new(Some(conversation)), engine: engine.cloned() })
    }

    /// Returns the result of `look` for the conversation.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Conversation) -> T) -> Result<T> {
        self.lock().as_ref().map(look).ok_or_else(busy)
    }

    /// Runs `work` on the conversation until `cancel` stops it. The conversation is not put back after a panic.
    pub(super) fn work<T>(&self, cancel: &Cancel, work: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let mut conversation = self.take(cancel)?;
        let result = work(&mut conversation);
        self.put(conversation);
        result
    }

    /// Takes the conversation for a call that `cancel` stops: each call in C has its own token.
    pub(super) fn take(&self, cancel: &Cancel) -> Result<Conversation> {
        let mut conversation = self.lock().take().ok_or_else(busy)?;
        conversation.session.set_cancel(cancel);
        Ok(conversation)
    }

    pub(super) fn put(&self, conversation: Conversation) {
        *self.lock() = Some(conversation);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Conversation>> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Failure {
    Failure::busy("the session is in use by a generation or another thread: finish or free the generation first")
}
