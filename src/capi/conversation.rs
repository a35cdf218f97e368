//! A session with the record of what was said in it, and the place that both lie in.

use std::sync::{Arc, Mutex, PoisonError};

use super::boundary::{Failure, Result};
use crate::model::Model;
use crate::record::Record;
use crate::session::Session;

/// A session, and what was said in it.
pub(super) struct Conversation {
    pub(super) session: Session,
    pub(super) record: Record,
}

impl Conversation {
    pub(super) fn new(model: &Model) -> Self {
        Self { session: model.session(), record: Record::new(model.package()) }
    }
}

/// How much of a record there was at some place of the conversation.
#[derive(Clone, Copy)]
pub(super) struct Length {
    turns: usize,
    /// Segments of the last turn.
    segments: usize,
}

impl Length {
    pub(super) fn of(record: &Record) -> Self {
        Self { turns: record.turns.len(), segments: record.turns.last().map_or(0, |turn| turn.segments.len()) }
    }

    /// Takes away what came later.
    pub(super) fn cut(self, record: &mut Record) {
        record.turns.truncate(self.turns);
        if let Some(last) = record.turns.last_mut() {
            last.segments.truncate(self.segments);
        }
    }
}

/// The place of a conversation. It is empty while something works with it, and whoever else asks is told that it is
/// busy.
pub(super) struct Slot(Mutex<Option<Conversation>>);

impl Slot {
    pub(super) fn new(conversation: Conversation) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(conversation))))
    }

    /// What `look` sees of the conversation.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Conversation) -> T) -> Result<T> {
        self.lock().as_ref().map(look).ok_or_else(busy)
    }

    /// What `work` does with the conversation, which is not put back after a panic.
    pub(super) fn work<T>(&self, work: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let mut conversation = self.take()?;
        let result = work(&mut conversation);
        self.put(conversation);
        result
    }

    pub(super) fn take(&self) -> Result<Conversation> {
        self.lock().take().ok_or_else(busy)
    }

    pub(super) fn put(&self, conversation: Conversation) {
        *self.lock() = Some(conversation);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Conversation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Failure {
    Failure::busy("the session is in use by a generation or another thread: let that come to its end, or free it")
}
