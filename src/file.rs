//! Atomic writes and size-limited reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::error::{Error, ErrorKind, Result};
use crate::system::{System, is_device, is_in_use, rename, sync_folder};

/// The suffix of a part: a temporary file that becomes the target once it is written.
const PART: &str = ".part";
/// The maximum number of bytes of the target's name that a part's name repeats: a name has at most 255 bytes.
const MAX_NAME: usize = 200;

/// Writes `bytes` to `path` atomically: to a temporary file in the same folder, synced to the disk and then renamed. A
/// reader of `path`, even after a loss of power, finds the old file or the complete new one. A link at `path` is
/// followed; a device or a named pipe is written to directly.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be written; a previous file at `path` stays, and no temporary file is left. Windows
/// does not replace a file that another program has open; after a second of trying, the new contents are kept beside it, under
/// the name in the error message.
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
        _ if names_device(path) => write_to_device(path, write),
        Ok(metadata) if metadata.is_dir() => Err(Error::new(ErrorKind::Io, "is a folder; expected a file to write")),
        Ok(metadata) if metadata.is_file() => {
            target_of(path).map_err(unwritable).and_then(|path| replace(&path, write))
        }
        Ok(_) => write_into(path, write).map_err(unwritable),
        Err(_) => replace(path, write),
    };
    written.map_err(|e| e.context(path.display()))
}

/// Returns whether the system takes `path` for a device by its name, as Windows does with `NUL`.
fn names_device(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    System::CURRENT == System::Windows && name.is_some_and(is_device)
}

/// Writes to the device named `path`; a name with an extension (`con.wav`) was meant for a file, which Windows cannot have.
fn write_to_device(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    if path.extension().is_some() {
        return Err(Error::new(ErrorKind::Io, "Windows reserves this name for a device: choose another file name"));
    }
    write_into(path, write).map_err(unwritable)
}

/// Writes to a device or a named pipe.
fn write_into(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    write(&mut OpenOptions::new().write(true).open(path)?)
}

/// Returns the file that a link at `path` leads to, or `path` itself.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(path)?.is_symlink() { path.canonicalize() } else { Ok(path.to_path_buf()) }
}

/// Removes the temporary files of killed writers from `folder`, for targets whose names `is_ours` accepts. No such target
/// may be written at the same time.
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

/// Reads the file at `path`, of at most `max` bytes.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Limit`] when it is larger.
pub(crate) fn read_limited(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(too_large(max));
    }
    Ok(bytes)
}

/// Returns the error of a file that has more than `max` bytes.
pub(crate) fn too_large(max: u64) -> Error {
    Error::new(ErrorKind::Limit, format!("larger than the maximum of {max} bytes"))
}

/// Returns the error of a file or stream that cannot be read.
pub fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::Io, "there is no such file"),
        _ => Error::new(ErrorKind::Io, "cannot be read").with_source(error),
    }
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
    settle(part.into_temp_path(), path, System::CURRENT, rename)?;
    sync_folder(folder_of(path)).map_err(unwritable)
}

/// Renames `part` to `path`. If the file at `path` cannot be replaced because another program has it open, the part is kept
/// under another name, so that the new contents are not lost.
fn settle(
    mut part: TempPath,
    path: &Path,
    system: System,
    rename: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Result<()> {
    let Err(error) = rename(&part, path) else {
        part.disable_cleanup(true);
        return Ok(());
    };
    if !is_in_use(system, &error) || !path.exists() {
        return Err(unwritable(error));
    }
    let kept = spare_name(path);
    rename(&part, &kept).map_err(unwritable)?;
    part.disable_cleanup(true);
    let what = "cannot be replaced: another program has it open, or it may not be written; the new contents are in";
    Err(Error::new(ErrorKind::Io, format!("{what} {}", kept.display())).with_source(error))
}

/// Returns an unused name beside `path`: `dog.new.wav`, `dog.new-2.wav` …
fn spare_name(path: &Path) -> PathBuf {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let name = |number: u32| {
        let mark = if number == 1 { "new".to_owned() } else { format!("new-{number}") };
        path.with_extension(if extension.is_empty() { mark } else { format!("{mark}.{extension}") })
    };
    (1..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(1))
}

fn part_beside(path: &Path) -> Result<NamedTempFile> {
    let prefix = part_prefix(path)?;
    // with the permissions of any other file, and not marked as temporary
    let create = |part: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(part);
    Builder::new().prefix(&prefix).suffix(PART).make_in(folder_of(path), create).map_err(unwritable)
}

/// Returns the prefix of the names of `path`'s parts; random letters and [`PART`] follow.
fn part_prefix(path: &Path) -> Result<String> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::Io, "not a file name; expected the name of a file to write"));
    };
    let name = name.to_string_lossy();
    Ok(format!(".{}.", &name[..name.floor_char_boundary(MAX_NAME)]))
}

/// Returns the name of the target, if `name` is the name of a part.
fn part_of(name: &str) -> Option<&str> {
    let (file, random) = name.strip_prefix('.')?.strip_suffix(PART)?.rsplit_once('.')?;
    (random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_cannot_take_its_place_is_kept_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dog.wav");
        fs::write(&path, "old").unwrap();
        let part = |text: &str| {
            let part = part_beside(&path).unwrap();
            fs::write(part.path(), text).unwrap();
            part.into_temp_path()
        };
        let in_use = |from: &Path, to: &Path| {
            if to == path { Err(io::Error::from_raw_os_error(32)) } else { fs::rename(from, to) }
        };
        for (text, name) in [("one", "dog.new.wav"), ("two", "dog.new-2.wav")] {
            let error = settle(part(text), &path, System::Windows, in_use).unwrap_err();
            assert!(
                error.message().ends_with(&format!("the new contents are in {}", folder.path().join(name).display()))
            );
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        }
        assert!(settle(part("three"), &path, System::Linux, in_use).is_err());
        assert_eq!(names(folder.path()).len(), 3, "elsewhere the error is another one, and no part is left");
        settle(part("four"), &path, System::Windows, |from, to| fs::rename(from, to)).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), names(folder.path()).len()), ("four".into(), 3));
        assert_eq!(spare_name(Path::new("no/such")), Path::new("no/such.new"));
    }

    /// The other program has opened the file without sharing.
    #[cfg(windows)]
    #[test]
    fn a_file_that_is_open_elsewhere_is_not_replaced_and_nothing_is_lost() {
        use std::os::windows::fs::OpenOptionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dog.wav");
        fs::write(&path, "old").unwrap();
        let held = OpenOptions::new().read(true).share_mode(1).open(&path).unwrap();
        assert!(crate::system::is_replaceable(&path).is_err());
        let error = write_whole(&path, b"new").unwrap_err();
        assert!(error.message().contains("another program has it open"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_to_string(folder.path().join("dog.new.wav")).unwrap(), "new");
        drop(held);
        assert!(crate::system::is_replaceable(&path).is_ok());
        write_whole(&path, b"newer").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
        assert_eq!(names(folder.path()).len(), 2);
    }

    /// Functions of Windows take 260 units, unless the path has a prefix.
    #[test]
    fn long_paths_are_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let deep = (0..6).fold(folder.path().to_path_buf(), |path, _| path.join("x".repeat(60)));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("dog.wav");
        for text in ["one", "two"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(&deep), [path]);
    }

    #[cfg(windows)]
    #[test]
    fn devices_are_written_to_directly() {
        write_whole("NUL", b"gone").unwrap();
        assert!(write_whole("nul.wav", b"gone").unwrap_err().message().contains("for a device"));
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
