//! Work that may hang: the loading of foreign libraries, which run code of their own.

use std::sync::mpsc;
use std::time::Duration;

/// What `work` gives, done by a thread of its own; `None` when it takes longer than `limit`.
///
/// A thread that hangs cannot be ended: it is left behind.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::Builder::new().name("ualm load".into()).spawn(move || drop(sender.send(work())));
    worker.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_left_behind() {
        assert_eq!(within(Duration::from_secs(60), || 3), Some(3));
        let hanging = || std::thread::sleep(Duration::from_secs(5));
        assert_eq!(within(Duration::from_millis(20), hanging), None);
    }
}
