//! Ctrl-C and SIGTERM: the work is asked to stop and what is finished is kept; if it does not stop soon, the program ends.

use std::time::Duration;

use ualm::{Cancel, Error, ErrorKind, Result};

/// How long the work may take to notice.
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
