//! A text in the person's editor.

use std::io::Write;
use std::process::Command;

use ualm::internal::read_text;
use ualm::{Error, ErrorKind, Result};

use super::invalid;
use crate::system::{USUAL_EDITOR, split_command};

/// The plan after the editor that `$VISUAL` or `$EDITOR` names: a command, perhaps with arguments.
pub fn edit(plan: &str) -> Result<String> {
    let named = |name| std::env::var(name).ok().filter(|command| !command.trim().is_empty());
    let command = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| USUAL_EDITOR.to_owned());
    let failed = |what: &str| {
        let what = format!("the plan was not edited: the editor {command:?} ($VISUAL or $EDITOR) {what}");
        Error::new(ErrorKind::Io, what)
    };
    let words = split_command(&command).ok_or_else(|| failed("is no command"))?;
    let Some((program, arguments)) = words.split_first() else { return Err(failed("is no command")) };
    let file = file_with(plan).map_err(|e| failed("has no file to edit").with_source(e))?;
    let ended = Command::new(program).args(arguments).arg(&file).status();
    let ended = ended.map_err(|e| failed("cannot be started").with_source(e))?;
    if !ended.success() {
        return Err(failed(&format!("failed: {ended}")));
    }
    let edited = read_text(&file).map_err(|e| failed("left nothing to read").with_source(e))?;
    match edited.trim() {
        "" => Err(invalid("the edited plan is empty")),
        edited => Ok(edited.to_owned()),
    }
}

/// A file that is gone when its path is dropped, whatever the editor puts in its place.
fn file_with(text: &str) -> std::io::Result<tempfile::TempPath> {
    let mut file = tempfile::Builder::new().prefix("ualm-plan-").suffix(".txt").tempfile()?;
    writeln!(file, "{}", text.trim_end())?;
    Ok(file.into_temp_path())
}
