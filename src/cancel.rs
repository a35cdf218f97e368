//! Cancellation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// A cancellation token. Any thread may cancel it; clones share their state.
///
/// A model ([`Model::with_cancel`](crate::Model::with_cancel)) or a session
/// ([`Session::set_cancel`](crate::Session::set_cancel)) holds a token, and its calls check the token between two steps.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    parent: Option<Cancel>,
}

impl Cancel {
    /// Creates a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a child token: cancelling this token cancels the child too, but not the reverse.
    pub fn child(&self) -> Self {
        Self(Arc::new(State { cancelled: AtomicBool::new(false), parent: Some(self.clone()) }))
    }

    /// Cancels the token: work that checks it stops.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether the token, or a parent of it, is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed) || self.0.parent.as_ref().is_some_and(Self::is_cancelled)
    }

    /// Returns an error of kind [`ErrorKind::Cancelled`] if the token is cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::new(ErrorKind::Cancelled, "stopped on request")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_cancelled_with_its_parent_and_not_the_reverse() {
        let parent = Cancel::new();
        let one = parent.child();
        let two = parent.child();
        one.cancel();
        assert!(one.is_cancelled() && !two.is_cancelled() && !parent.is_cancelled());
        parent.cancel();
        assert!(two.is_cancelled());
    }
}
