//! Input lines: from an editor with history at a terminal, else from a file.

use std::io::{BufRead, IsTerminal, Stdin, stdin};
use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use ualm::{Error, ErrorKind, Result};

/// The name of the history file.
const HISTORY: &str = "chat_history";
const PROMPT: &str = "> ";

/// The input of a chat.
pub enum Input {
    Terminal { editor: Box<DefaultEditor>, history: Option<PathBuf> },
    File(Stdin),
}

impl Input {
    /// Opens standard input, with an editor if it is a terminal.
    pub fn new() -> Result<Self> {
        if !stdin().is_terminal() {
            return Ok(Self::File(stdin()));
        }
        let mut editor = DefaultEditor::new().map_err(unreadable)?;
        let history = ualm::internal::cache_folder().map(|folder| folder.join(HISTORY));
        if let Some(history) = &history {
            // the first chat has no history yet
            let _ = editor.load_history(history);
        }
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// Reads the next line; `None` at the end.
    pub fn line(&mut self) -> Result<Option<String>> {
        match self {
            Self::File(stdin) => {
                let mut line = String::new();
                let read = stdin.lock().read_line(&mut line).map_err(unreadable)?;
                // some editors and shells on Windows write a byte order mark
                Ok((read > 0).then(|| line.trim_start_matches('\u{feff}').to_owned()))
            }
            Self::Terminal { editor, .. } => match editor.readline(PROMPT) {
                Ok(line) => {
                    editor.add_history_entry(&line).map_err(unreadable)?;
                    Ok(Some(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(unreadable(error)),
            },
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Self::Terminal { editor, history: Some(history) } = self {
            // the history is optional: failures are ignored
            let _ = history.parent().map(std::fs::create_dir_all);
            // appended, since another chat may have written to it
            let _ = editor.append_history(history);
        }
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "standard input cannot be read as text").with_source(error)
}
