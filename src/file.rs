//! Atomic writes and size-limited reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, ErrorKind, Result};

/// The suffix of a part: a temporary file that becomes the target once it is written.
const PART: &str = ".part";
/// The most bytes of the target's name that a part's name repeats: a name has at most 255 bytes.
const MOST_NAME: usize = 200;

/// Writes `bytes` to `path` atomically: to a temporary file in the same folder, synced to the disk and then renamed. A
/// reader of `path`, even after a loss of power, finds the old file or the complete new one. A link at `path` is
/// followed; a device or a named pipe is written to directly.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be written; a previous file at `path` stays, and no temporary file is left.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_whole_with(path, |file| file.write_all(bytes))
}

/// Writes a file atomically, as [`write_whole`], with `write` for its contents.
///
/// # Errors
/// As for [`write_whole`].
pub fn write_whole_with(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let written = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::new(ErrorKind::Io, "is a folder: a file name is needed to write to"))
        }
        Ok(metadata) if metadata.is_file() => {
            path.canonicalize().map_err(unwritable).and_then(|path| replace(&path, write))
        }
        Ok(_) => OpenOptions::new().write(true).open(path).and_then(|mut file| write(&mut file)).map_err(unwritable),
        Err(_) => replace(path, write),
    };
    written.map_err(|e| e.context(path.display()))
}

/// Removes the temporary files that killed writers have left in `folder`, of the files whose names `is_ours` accepts.
/// No such file may be being written.
///
/// # Errors
/// [`ErrorKind::Io`] when a temporary file cannot be removed.
pub fn remove_parts(folder: impl AsRef<Path>, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(part_of).is_some_and(&is_ours) {
            let failed = |e| Error::new(ErrorKind::Io, "a part of an older file cannot be removed").with_source(e);
            fs::remove_file(entry.path()).map_err(|e| failed(e).context(entry.path().display()))?;
        }
    }
    Ok(())
}

/// Reads the file at `path`, of at most `most` bytes.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Limit`] when it is larger.
pub(crate) fn read_limited(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::new(ErrorKind::Io, "cannot be read").with_source(e);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(bytes)
}

/// Returns the error of a file that has more than `most` bytes.
pub(crate) fn too_large(most: u64) -> Error {
    Error::new(ErrorKind::Limit, format!("larger than the {most} bytes that are read"))
}

pub(crate) fn unwritable(error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "cannot be written: its folder does not exist",
        io::ErrorKind::PermissionDenied => "cannot be written: permission denied",
        io::ErrorKind::ReadOnlyFilesystem => "cannot be written: its folder is on a read-only file system",
        io::ErrorKind::StorageFull => "cannot be written: the disk is full",
        _ => "cannot be written",
    };
    Error::new(ErrorKind::Io, hint).with_source(error)
}

/// A lock that writers hold shared, and [`hold_writes`] exclusively.
static WRITERS: RwLock<()> = RwLock::new(());

/// Waits until no file is being written, and blocks new writes while the returned guard lives, so that a process can
/// exit without leaving temporary files behind.
#[must_use]
pub fn hold_writes() -> impl Drop {
    WRITERS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Replaces `path` by a part that `write` fills; removes the part on failure.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let _writes = WRITERS.read().unwrap_or_else(PoisonError::into_inner);
    let mut part = part_beside(path)?;
    write(part.as_file_mut()).and_then(|()| part.as_file().sync_all()).map_err(unwritable)?;
    part.persist(path).map_err(|e| unwritable(e.error))?;
    sync_folder(folder_of(path)).map_err(unwritable)
}

fn part_beside(path: &Path) -> Result<NamedTempFile> {
    let prefix = part_prefix(path)?;
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(PART);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // the umask applies
    builder.tempfile_in(folder_of(path)).map_err(unwritable)
}

/// Returns the prefix of the names of `path`'s parts; random letters and [`PART`] follow.
fn part_prefix(path: &Path) -> Result<String> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::Io, "a file name is needed to write to"));
    };
    let name = name.to_string_lossy();
    Ok(format!(".{}.", &name[..name.floor_char_boundary(MOST_NAME)]))
}

/// Returns the name of the target of the part `name`, if `name` is that of a part.
fn part_of(name: &str) -> Option<&str> {
    let (file, random) = name.strip_prefix('.')?.strip_suffix(PART)?.rsplit_once('.')?;
    (random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs `folder`, so that a rename in it survives a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(250));
        for text in ["one", "two"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(folder.path()), std::slice::from_ref(&path));
        }
        assert!(write_whole(folder.path(), b"").unwrap_err().message().contains("is a folder"));
        assert!(write_whole(folder.path().join("no/file"), b"").unwrap_err().message().contains("does not exist"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_the_umask_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let link = folder.path().join("link");
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        write_whole(&file, b"one").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions(), fs::metadata(&plain).unwrap().permissions());
        assert_ne!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "others may read it");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, b"two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        let error = write_whole("/dev/full", &[0; 1 << 16]).unwrap_err();
        assert_eq!(error.message(), "/dev/full: cannot be written: the disk is full");
    }

    #[test]
    fn parts_of_a_killed_writer_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let part = part_beside(&folder.path().join("a.wav")).unwrap().keep().unwrap().1;
        for name in [".b.wav.ABCDEF.part", "a.wav", ".a.wav.part", ".a.wav.1.ABCDEF.part"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_parts(folder.path(), |name| name == "a.wav").unwrap();
        assert!(!part.exists());
        assert_eq!(names(folder.path()).len(), 4);
    }
}
