//! Output: results on standard output and in files, notes and warnings on standard error.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use ualm::audio::{WavFormat, Waveform, write_wav, write_wav_to};
use ualm::internal::{counted, is_replaceable};
use ualm::{Error, ErrorKind, Record, Result};

use crate::args::{Common, Output, Samples, StoredRecord, StreamedOutput};
use crate::stream::SoundStream;
use crate::system::stdout_is_file;

/// Writes a line to standard error unless `--quiet` is given.
pub fn note(common: &Common, what: &str) {
    if !common.quiet {
        warn(what);
    }
}

/// Writes a line to standard error, ignoring failures.
pub fn warn(what: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(what));
}

/// Removes control characters, except line ends and tabs, from `text`, which may come from an untrusted source.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Writes `text` to standard output and flushes it.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::new(ErrorKind::Io, "standard output cannot be written").with_source(e))
}

/// Writes `value` as a line of JSON to standard output.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&format!("{}\n", to_json(value)?))
}

/// Returns `value` as one line of JSON.
pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Io, "a result cannot be written as JSON").with_source(e))
}

/// Returns whether an error is a closed pipe. That is not a failure: the reader has seen enough.
pub fn is_closed_pipe(error: &Error) -> bool {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = below {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        below = error.source();
    }
    false
}

impl Samples {
    /// Returns the sample format.
    pub fn format(self) -> WavFormat {
        if self.float { WavFormat::Float32 } else { WavFormat::Pcm16 }
    }
}

impl StoredRecord {
    /// Returns `record`, unless it is not to be stored.
    pub fn of<'a>(&self, record: &'a Record) -> Option<&'a Record> {
        (!self.no_take).then_some(record)
    }
}

impl StreamedOutput {
    /// Checks before the work that the result can be written as the options say.
    pub fn check(&self) -> Result<()> {
        self.file.check()?;
        if self.raw && !self.file.is_stdout() {
            return Err(Error::new(ErrorKind::Invalid, "--raw is only for standard output: add -o -"));
        }
        Ok(())
    }

    /// Returns the stream for the sound, if it is to be streamed.
    pub fn stream(&self) -> Option<SoundStream> {
        let streams = self.file.is_stdout() && (self.raw || !stdout_is_file());
        streams.then(|| SoundStream::new(self.file.samples.format(), self.raw))
    }
}

impl Output {
    /// Returns whether the sound goes to standard output.
    pub fn is_stdout(&self) -> bool {
        self.output.to_str() == Some("-")
    }

    /// Checks before the work that the result can be written.
    pub fn check(&self) -> Result<()> {
        check_writable(&self.output)
    }

    /// Writes `sound`, and warns when samples beyond full scale were clipped.
    pub fn write(&self, sound: &Waveform) -> Result<()> {
        self.write_take(&self.output, sound, None)
    }

    /// Writes `sound` to `path` with its record, and warns when samples were clipped.
    pub fn write_take(&self, path: &Path, sound: &Waveform, record: Option<&Record>) -> Result<()> {
        let format = self.samples.format();
        let clipped = match (path.to_str(), record) {
            (Some("-"), Some(record)) => record.write_wav_to(&mut io::stdout(), sound, format),
            (Some("-"), None) => write_wav_to(&mut io::stdout(), sound, format),
            (_, Some(record)) => record.write_wav(path, sound, format),
            (_, None) => write_wav(path, sound, format),
        }?;
        if clipped > 0 {
            let path = path.display();
            let samples = counted(clipped, "sample");
            warn(&format!("warning: {path}: clipped {samples} beyond full scale; sounds made with --float keep them"));
        }
        Ok(())
    }
}

/// Refuses a path whose folder does not exist or is not writable.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.to_str() == Some("-") {
        return Ok(());
    }
    // absolute, since the path may have no folder in it
    let shown = |folder: &Path| std::path::absolute(folder).unwrap_or_else(|_| folder.into()).display().to_string();
    let fail = |what: String| Err(Error::new(ErrorKind::Io, format!("{}: {what}", path.display())));
    if path.is_dir() {
        return fail("is a folder; expected a file to write".into());
    }
    if path.exists() && !path.is_file() {
        return Ok(());
    }
    if path.is_file()
        && let Err(e) = is_replaceable(path)
    {
        return fail(format!("cannot be replaced: another program has it open, or it is write-protected ({e})"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::Builder::new().prefix(".ualm-").tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(e) => fail(format!("cannot be written: the folder {} {}", shown(folder), why_unwritable(&e))),
    }
}

/// Explains why no file can be created in a folder. The system's error would name the temporary file.
fn why_unwritable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::NotADirectory => "does not exist: a part of its path is not a folder".into(),
        io::ErrorKind::PermissionDenied => "is not writable: permission denied".into(),
        io::ErrorKind::ReadOnlyFilesystem => "is on a read-only file system".into(),
        _ => format!("does not accept a file: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}2J\r\n\tc"), "a[2Jb2J\n\tc");
    }
}
