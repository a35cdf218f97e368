//! Run times of graphs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of runs of a graph and their total time, from the call of ONNX Runtime to its return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphTime {
    /// Runs so far.
    pub runs: u64,
    /// Time spent in them.
    pub spent: Duration,
}

/// A counter of the runs of one graph.
#[derive(Default)]
pub(super) struct Clock {
    runs: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Clock {
    /// Calls `run` and adds its duration.
    pub(super) fn time<T>(&self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Returns the counts so far.
    pub(super) fn read(&self) -> GraphTime {
        GraphTime {
            runs: self.runs.load(Ordering::Relaxed),
            spent: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
