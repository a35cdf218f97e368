//! Editing a text in the user's editor.

use std::io::Write;
use std::process::Command;

use ualm::internal::read_text;
use ualm::{Error, ErrorKind, Result};

use super::invalid;
use crate::system::{DEFAULT_EDITOR, split_command};

/// Opens `plan` in the editor of `$VISUAL` or `$EDITOR`, a command with optional arguments, and returns the edited
/// text.
pub fn edit(plan: &str) -> Result<String> {
    let named = |name| std::env::var(name).ok().filter(|command| !command.trim().is_empty());
    let command = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| DEFAULT_EDITOR.to_owned());
    let failed = |what: &str| {
        let what = format!("the plan was not edited: the editor {command:?} ($VISUAL or $EDITOR) {what}");
        Error::new(ErrorKind::Io, what)
    };
    let words = split_command(&command).ok_or_else(|| failed("is not a command"))?;
    let Some((program, arguments)) = words.split_first() else { return Err(failed("is not a command")) };
    let file = file_with(plan).map_err(|e| failed("has no file to edit").with_source(e))?;
    let ended = Command::new(program).args(arguments).arg(&file).status();
    let ended = ended.map_err(|e| failed("cannot be started").with_source(e))?;
    if !ended.success() {
        return Err(failed(&format!("failed: {ended}")));
    }
    let edited = read_text(&file).map_err(|e| failed("left a file that cannot be read").with_source(e))?;
    match edited.trim() {
        "" => Err(invalid("the edited plan is empty")),
        edited => Ok(edited.to_owned()),
    }
}

/// Creates a temporary file with `text`, which is removed when its path is dropped, even if the editor has replaced it.
fn file_with(text: &str) -> std::io::Result<tempfile::TempPath> {
    let mut file = tempfile::Builder::new().prefix("ualm-plan-").suffix(".txt").tempfile()?;
    writeln!(file, "{}", text.trim_end())?;
    Ok(file.into_temp_path())
}
