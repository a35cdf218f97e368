//! What the library says on its way, told on standard error: where a graph was placed, when that was not plainly the CPU.

use log::{LevelFilter, Log, Metadata, Record};

use crate::output::complain;

/// What the library calls its words about providers.
const PROVIDERS: &str = "ualm::provider";

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target() == PROVIDERS
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            complain(&record.args().to_string());
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
