//! A reply in the making, together with the session that it borrows.
//!
//! In Rust a [`Generation`] borrows its [`Session`] mutably. C has no borrows, so the session lies in a [`Slot`]: a
//! generation takes it out, holds both as one value ([`Borrowed`], whose self-reference `self_cell` keeps sound), and
//! puts the session back when the reply has come to its end or is given up. In between the slot is empty, and whoever
//! else asks for the session is told that it is busy.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use self_cell::{MutBorrow, self_cell};

use super::boundary::{Failure, Result};
use crate::cancel::Cancel;
use crate::generate::{Event, Generation, GenerationConfig};
use crate::prompt::Message;
use crate::session::Session;

/// The place of a session.
pub(super) struct Slot(Mutex<Option<Session>>);

impl Slot {
    pub(super) fn new(session: Session) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(session))))
    }

    /// What `look` sees of the session.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Session) -> T) -> Result<T> {
        self.lock().as_ref().map(look).ok_or_else(busy)
    }

    fn take(&self) -> Result<Session> {
        self.lock().take().ok_or_else(busy)
    }

    fn put(&self, session: Session) {
        *self.lock() = Some(session);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Failure {
    Failure::busy("the session is in use by a generation: let that come to its end, or free it")
}

self_cell!(
    /// A session, and the generation that borrows it.
    struct Borrowed {
        owner: MutBorrow<Session>,
        #[not_covariant]
        dependent: Generation,
    }
);

/// A reply in the making.
pub(super) struct Running {
    slot: Arc<Slot>,
    /// `None` once the session is back in its slot.
    borrowed: Option<Borrowed>,
}

impl Running {
    /// Takes the session and begins the reply to `messages`. On failure the session is back in its slot.
    pub(super) fn start(
        slot: &Arc<Slot>,
        messages: &[Message],
        config: &GenerationConfig,
        cancel: &Cancel,
    ) -> Result<Self> {
        let started = Borrowed::try_new_or_recover(MutBorrow::new(slot.take()?), |session| {
            let session = session.borrow_mut();
            let prompt = session.prompt(messages)?;
            session.generate(prompt, config, cancel)
        });
        match started {
            Ok(borrowed) => Ok(Self { slot: Arc::clone(slot), borrowed: Some(borrowed) }),
            Err((session, error)) => {
                slot.put(session.into_inner());
                Err(crate::Error::into(error))
            }
        }
    }

    /// The next event; `None` after the last one, or after a failure. With either the session is free again.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        let Some(borrowed) = self.borrowed.take() else { return Ok(None) };
        // After a panic both are left where they are, for ever: nothing says what state they are in.
        let mut borrowed = ManuallyDrop::new(borrowed);
        let event = borrowed.with_dependent_mut(|_, generation| generation.next()).transpose();
        let borrowed = ManuallyDrop::into_inner(borrowed);
        match event {
            Ok(Some(Event::Finished { .. }) | None) | Err(_) => self.hand_back(borrowed),
            Ok(Some(_)) => self.borrowed = Some(borrowed),
        }
        Ok(event?)
    }

    fn hand_back(&self, borrowed: Borrowed) {
        self.slot.put(borrowed.into_owner().into_inner());
    }
}

/// A reply that is given up half-way counts as cancelled; the session goes back.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(borrowed) = self.borrowed.take() {
            self.hand_back(borrowed);
        }
    }
}
