//! Interruption by Ctrl-C, SIGTERM or a closed console: cancels the work, which keeps finished results, and exits if it
//! does not stop in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ualm::internal::hold_writes;
use ualm::{Cancel, Error, ErrorKind, Result};

use crate::system::on_stop;

/// The time limit for cancelled work to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns a cancellation token that the signals cancel. A second signal exits the process.
pub fn cancel_on_signal() -> Result<Cancel> {
    let cancel = Cancel::new();
    let token = cancel.clone();
    let on_signal = move || {
        if token.is_cancelled() {
            let _no_write_in_progress = hold_writes();
            std::process::exit(130);
        }
        token.cancel();
        std::thread::spawn(|| {
            std::thread::sleep(STOP_TIMEOUT);
            let _no_write_in_progress = hold_writes();
            std::process::exit(130);
        });
    };
    on_stop(on_signal)?;
    Ok(cancel)
}

/// Returns the error of an interrupted command, whose exit code is 130.
pub fn interrupted(kept: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("interrupted; {kept}"))
}

/// The time after a turn in which a signal is still taken as a request to stop the turn.
const GRACE: Duration = Duration::from_millis(500);

/// Signal handling of a chat: a signal cancels the current turn, and exits the program if there is none or it does not
/// stop. A signal just after the end of a turn is ignored.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Turn>>);

#[derive(Default)]
struct Turn {
    current: Option<Cancel>,
    /// The end of the last turn, until a signal was ignored because of it.
    ended: Option<Instant>,
}

impl Turns {
    /// Installs the signal handler.
    pub fn on_signal() -> Result<Self> {
        let turns = Self::default();
        let shared = turns.clone();
        let on_signal = move || {
            if !shared.lock().takes_signal() {
                let _no_write_in_progress = hold_writes();
                std::process::exit(130)
            }
        };
        on_stop(on_signal)?;
        Ok(turns)
    }

    /// Begins a turn and returns its cancellation token.
    pub fn begin(&self) -> Cancel {
        self.lock().current.insert(Cancel::new()).clone()
    }

    /// Ends the turn.
    pub fn end(&self) {
        let mut turn = self.lock();
        turn.current = None;
        turn.ended = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Handles a signal: cancels the current turn, or ignores the signal just after one. Returns whether the program
    /// continues.
    fn takes_signal(&mut self) -> bool {
        match &self.current {
            Some(current) if !current.is_cancelled() => {
                current.cancel();
                true
            }
            Some(_) => false,
            None => self.ended.take().is_some_and(|ended| ended.elapsed() < GRACE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_just_after_a_turn_is_ignored_and_the_next_one_ends_the_chat() {
        let turns = Turns::default();
        assert!(!turns.lock().takes_signal(), "no turn has begun");
        let cancel = turns.begin();
        assert!(turns.lock().takes_signal() && cancel.is_cancelled());
        assert!(!turns.lock().takes_signal(), "the turn does not stop");
        turns.end();
        assert!(turns.lock().takes_signal(), "it came too late");
        assert!(!turns.lock().takes_signal());
    }
}
