//! Reasons to stop a reply before its end.

use std::sync::{Arc, OnceLock};

use ualm::Cancel;

/// The reason why a reply was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The deadline has passed.
    Deadline,
    /// The server shuts down.
    Shutdown,
    /// The client went away.
    Gone,
}

impl Why {
    /// In a word, as answers and the log have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Shutdown => "shutdown",
            Self::Gone => "gone",
        }
    }
}

/// A switch that remembers why it was thrown first. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    cancel: Cancel,
    why: Arc<OnceLock<Why>>,
}

impl Stop {
    /// A child of `all`, which is cancelled when the server shuts down.
    pub fn child_of(all: &Cancel) -> Self {
        Self { cancel: all.child(), why: Arc::default() }
    }

    pub fn stop(&self, why: Why) {
        self.why.get_or_init(|| why);
        self.cancel.cancel();
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Why it was thrown, if it was.
    pub fn why(&self) -> Option<Why> {
        self.cancel.is_cancelled().then(|| *self.why.get_or_init(|| Why::Shutdown))
    }
}
