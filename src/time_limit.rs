//! A time limit on work that may hang, such as loading a foreign library, which runs code of its own.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The reason why work has no result.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// The work still runs after this limit.
    TimedOut(Duration),
    NotStarted(io::Error),
    Panicked,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => {
                write!(f, "it did not load within {} s, the limit on loading", limit.as_secs_f64())
            }
            Self::NotStarted(error) => write!(f, "no thread could be started to load it: {error}"),
            Self::Panicked => f.write_str("loading it panicked"),
        }
    }
}

/// Runs `work` on its own thread and returns its result, if it has one within `limit`.
///
/// A thread that hangs cannot be stopped, and is left running.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::Builder::new().name("ualm load".into()).spawn(move || drop(sender.send(work())));
    worker.map_err(Unfinished::NotStarted)?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Unfinished::TimedOut(limit),
        RecvTimeoutError::Disconnected => Unfinished::Panicked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beyond_the_limit_is_left_behind() {
        assert_eq!(within(Duration::from_secs(60), || 3).unwrap(), 3);
        let hanging = || std::thread::sleep(Duration::from_secs(5));
        let limit = Duration::from_millis(20);
        assert!(matches!(within(limit, hanging), Err(Unfinished::TimedOut(found)) if found == limit));
    }

    #[test]
    fn a_panic_is_no_timeout() {
        let result = within(Duration::from_secs(60), || -> () { panic!("as a foreign library may") });
        assert!(matches!(result, Err(Unfinished::Panicked)));
    }
}
