//! Conversations.

use std::sync::Arc;

use ualm::{Engine, Model, Session};

use super::argument::write;
use super::boundary::{entry, ualm_status, value};
use super::conversation::{Conversation, Slot};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;

/// A conversation. It keeps its history, and the next prompt continues from there.
pub struct ualm_session {
    pub(super) model: Model,
    pub(super) slot: Arc<Slot>,
    max_positions: usize,
}

impl ualm_session {
    /// Creates an empty conversation, in `engine` if given.
    pub(super) fn new(session: Session, engine: Option<&Engine>) -> Self {
        Self::of(Conversation::new(session), engine)
    }

    /// Wraps a conversation, in `engine` if given.
    pub(super) fn of(conversation: Conversation, engine: Option<&Engine>) -> Self {
        let model = conversation.session.model().clone();
        let max_positions = conversation.session.max_positions();
        Self { model, slot: Slot::new(conversation, engine), max_positions }
    }
}

impl Handle for ualm_session {
    const NAME: &'static str = "session";
}

/// Begins a conversation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_new(model: *const ualm_model, session: *mut *mut ualm_session) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (Out::new(session)?, share(model)?) };
        out.fill(ualm_session::new(model.0.session(), None));
        Ok(())
    })
}

/// Returns the number of positions of the conversation so far. Fails with UALM_STATUS_BUSY while a generation is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_position(session: *const ualm_session, position: *mut usize) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let session = unsafe { share(session) }?;
        let found = session.slot.look(|conversation| conversation.session.position())?;
        // SAFETY: per the header's contract.
        unsafe { write(position, found, "position") }
    })
}

/// Returns the number of positions that the conversation may hold: the model's context, or the engine's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_max_positions(session: *const ualm_session) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(session) }?.max_positions))
}

/// Frees a session; its generation stays usable. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_free(session: *mut ualm_session) {
    // SAFETY: per the header's contract.
    unsafe { free(session) }
}
