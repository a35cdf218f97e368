//! Points of a conversation, to which it can be rewound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::conversation::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::StateMark;

/// A point of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Identifies the point among the points of all sessions.
    id: u64,
    /// The state of the sequence that must still be there.
    pub state: StateMark,
    /// The conversation to restore on top of this state.
    pub snapshot: Snapshot,
}

/// The points of a session that still exist.
#[derive(Default)]
pub(crate) struct Points {
    /// Id and state of each point.
    live: Vec<(u64, StateMark)>,
}

impl Points {
    /// Creates the points of a fork at `point`: this point alone.
    pub fn of_fork(point: &Point) -> Self {
        Self { live: vec![(point.id, point.state)] }
    }

    /// Adds the point of `snapshot`, which exists as long as the sequence has `state`.
    pub fn add(&mut self, state: StateMark, snapshot: Snapshot) -> Point {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        self.live.push((id, state));
        Point { id, state, snapshot }
    }

    /// Drops the points after `state`.
    pub fn forget_after(&mut self, state: &StateMark) {
        self.live.retain(|(_, at)| at.position() <= state.position());
    }

    /// Checks that `point` still exists in a sequence of `positions`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the point is of another session, or was dropped.
    pub fn check(&self, point: &Point, positions: usize) -> Result<()> {
        if point.state.position() > positions || !self.live.contains(&(point.id, point.state)) {
            let what = "a point of another session, or of a part of this session that a rewind has dropped";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(())
    }
}
