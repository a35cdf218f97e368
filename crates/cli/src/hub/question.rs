//! Yes-or-no questions at the terminal.

use std::io::{self, BufRead, IsTerminal};

use ualm::{Error, ErrorKind, Result};

/// Returns whether there is a terminal for questions.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks `question`, and returns whether the answer is yes.
///
/// # Errors
/// [`ErrorKind::Io`] if the answer cannot be read.
pub fn ask(question: &str) -> Result<bool> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Error::new(ErrorKind::Io, "the answer cannot be read").with_source(e))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
