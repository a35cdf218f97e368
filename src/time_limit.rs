//! A time limit on work that may hang, such as loading a foreign library, which runs code of its own.

use std::sync::mpsc;
use std::time::Duration;

/// Runs `work` on its own thread and returns its result, or `None` after `limit`.
///
/// A thread that hangs cannot be stopped, and is left running.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::Builder::new().name("ualm load".into()).spawn(move || drop(sender.send(work())));
    worker.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beyond_the_limit_is_left_behind() {
        assert_eq!(within(Duration::from_secs(60), || 3), Some(3));
        let hanging = || std::thread::sleep(Duration::from_secs(5));
        assert_eq!(within(Duration::from_millis(20), hanging), None);
    }
}
