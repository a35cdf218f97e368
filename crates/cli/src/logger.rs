//! The log of the library, on standard error: where a graph was placed, when that was not plainly the CPU, and whether memory
//! is scarce.

use log::{LevelFilter, Log, Metadata, Record};

use crate::output::warn;

/// The targets of the library's log records about providers and about memory.
const TARGETS: [&str; 2] = ["ualm::provider", "ualm::memory"];

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        TARGETS.contains(&metadata.target())
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            warn(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Begins to tell; with `quiet` warnings alone.
pub fn start(quiet: bool) {
    let most = if quiet { LevelFilter::Warn } else { LevelFilter::Info };
    // a second logger is refused; this is the first
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(most);
    }
}
