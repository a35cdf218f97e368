//! Ctrl-C, SIGTERM, a console that is closed: the work is asked to stop and what is finished is kept; if it does not stop soon, the program ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ualm::internal::hold_writes;
use ualm::{Cancel, Error, ErrorKind, Result};

use crate::system::on_stop;

/// The time in which the work must notice an interruption.
const PATIENCE: Duration = Duration::from_secs(2);

/// The switch that the signals throw.
pub fn cancel_on_signal() -> Result<Cancel> {
    let cancel = Cancel::new();
    let switch = cancel.clone();
    let on_signal = move || {
        if switch.is_cancelled() {
            std::process::exit(130);
        }
        switch.cancel();
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            let _none_is_being_written = hold_writes();
            std::process::exit(130);
        });
    };
    on_stop(on_signal)?;
    Ok(cancel)
}

/// The error that ends an interrupted command with exit code 130.
pub fn interrupted(kept: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("interrupted; {kept}"))
}

/// The time after a turn in which a signal was still meant for it.
const LATE: Duration = Duration::from_millis(500);

/// Signals of a chat: they stop the turn that is being made, and end the program when there is none or it does not
/// stop. A signal that comes just when a turn ends is the turn's.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Turn>>);

#[derive(Default)]
struct Turn {
    current: Option<Cancel>,
    /// The end of the last turn, until a signal was passed over for it.
    ended: Option<Instant>,
}

impl Turns {
    /// Listens for signals.
    pub fn on_signal() -> Result<Self> {
        let turns = Self::default();
        let shared = turns.clone();
        let on_signal = move || {
            if !shared.lock().takes_signal() {
                let _none_is_being_written = hold_writes();
                std::process::exit(130)
            }
        };
        on_stop(on_signal)?;
        Ok(turns)
    }

    /// Begins a turn, which the returned token stops.
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
    /// Stops the current turn, or passes over a signal that came too late for the last one; returns whether the program
    /// goes on.
    fn takes_signal(&mut self) -> bool {
        match &self.current {
            Some(current) if !current.is_cancelled() => {
                current.cancel();
                true
            }
            Some(_) => false,
            None => self.ended.take().is_some_and(|ended| ended.elapsed() < LATE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_at_the_end_of_a_turn_is_the_turn_s_and_the_next_one_ends_the_chat() {
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
