//! Ctrl-C and SIGTERM: the work is asked to stop and what is finished is kept; if it does not stop soon, the program ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ualm::internal::hold_writes;
use ualm::{Cancel, Error, ErrorKind, Result};

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
    ctrlc::set_handler(on_signal)
        .map_err(|e| Error::new(ErrorKind::Io, "the signals cannot be handled").with_source(e))?;
    Ok(cancel)
}

/// The error that ends an interrupted command with exit code 130.
pub fn interrupted(kept: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("interrupted; {kept}"))
}

/// Signals of a chat: they stop the turn that is being made, and end the program when there is none or it does not
/// stop.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Option<Cancel>>>);

impl Turns {
    /// Listens for signals.
    pub fn on_signal() -> Result<Self> {
        let turns = Self::default();
        let current = turns.clone();
        let on_signal = move || match &*current.lock() {
            Some(turn) if !turn.is_cancelled() => turn.cancel(),
            _ => {
                let _none_is_being_written = hold_writes();
                std::process::exit(130)
            }
        };
        ctrlc::set_handler(on_signal)
            .map_err(|e| Error::new(ErrorKind::Io, "the signals cannot be handled").with_source(e))?;
        Ok(turns)
    }

    /// A switch for the turn that begins.
    pub fn begin(&self) -> Cancel {
        self.lock().insert(Cancel::new()).clone()
    }

    /// The turn has ended.
    pub fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cancel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
