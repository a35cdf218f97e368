//! Stopping a reply before its end, with a reason.

use std::sync::{Arc, OnceLock};

use ualm::Cancel;

/// The reason why a reply was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The deadline has passed.
    Deadline,
    /// The server is shutting down.
    Shutdown,
    /// The client has disconnected.
    Gone,
}

impl StopReason {
    /// Returns the name used in responses and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Shutdown => "shutdown",
            Self::Gone => "gone",
        }
    }
}

/// A cancellation token that keeps the first reason. Clones share it.
#[derive(Clone, Debug)]
pub struct StopToken {
    cancel: Cancel,
    reason: Arc<OnceLock<StopReason>>,
}

impl StopToken {
    /// Creates a child of `all`, the token that is cancelled at the end of the shutdown.
    pub fn new(all: &Cancel) -> Self {
        Self { cancel: all.child(), reason: Arc::default() }
    }

    pub fn stop(&self, reason: StopReason) {
        self.reason.get_or_init(|| reason);
        self.cancel.cancel();
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Returns the reason, if the token is cancelled.
    pub fn reason(&self) -> Option<StopReason> {
        self.cancel.is_cancelled().then(|| *self.reason.get_or_init(|| StopReason::Shutdown))
    }
}
