//! Prints the library's log records about providers and memory to standard error.

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

/// Installs the logger; `quiet` limits it to warnings.
pub fn start(quiet: bool) {
    let max = if quiet { LevelFilter::Warn } else { LevelFilter::Info };
    // fails only if a logger is installed already
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(max);
    }
}
