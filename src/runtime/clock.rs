//! How long graphs run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a graph ran, and how long altogether, from the call of ONNX Runtime to its return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphTime {
    /// Runs so far.
    pub runs: u64,
    /// Time spent in them.
    pub spent: Duration,
}

/// Adds up the runs of one graph.
#[derive(Default)]
pub(super) struct Clock {
    runs: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Clock {
    /// Does `run`, and counts it.
    pub(super) fn time<T>(&self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> GraphTime {
        GraphTime {
            runs: self.runs.load(Ordering::Relaxed),
            spent: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
