//! Files that are there whole or not at all, and files that are read up to a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, ErrorKind, Result};

/// Writes `bytes` to `path`: aside, then in its place.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be written; what was at `path` before stays.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    replace(path, |file| file.write_all(bytes).map_err(unwritable)).map_err(|e| e.context(path.display()))
}

/// The contents of the file at `path`, if it has at most `most` bytes.
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Limit`] when it is larger.
pub(crate) fn read_limited(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::new(ErrorKind::Io, "cannot be read").with_source(e);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::Limit, format!("larger than the {most} bytes that are read")));
    }
    Ok(bytes)
}

/// Lets `write` fill a new file beside `path` and puts it in `path`'s place; the new file is removed when that fails.
pub(crate) fn replace<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<T>) -> Result<T> {
    let aside = name_aside(path)?;
    let file = OpenOptions::new().write(true).create_new(true).open(&aside).map_err(unwritable)?;
    let mut file = BufWriter::new(file);
    let written = write(&mut file).and_then(|value| {
        file.flush().map_err(unwritable)?;
        drop(file);
        fs::rename(&aside, path).map_err(unwritable)?;
        Ok(value)
    });
    if written.is_err() {
        // The first error is the one to report; a file that cannot be removed either adds nothing to it.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// A name in `path`'s folder that no other writer, in this process or another, uses.
fn name_aside(path: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::Io, "a file name is needed to write to"));
    };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(aside))
}

pub(crate) fn unwritable(error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "cannot be written: its folder does not exist",
        std::io::ErrorKind::PermissionDenied => "cannot be written: permission denied",
        _ => "cannot be written",
    };
    Error::new(ErrorKind::Io, hint).with_source(error)
}
