//! Replacement of files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::System;

/// Windows' errors for a change to an open file: `ERROR_ACCESS_DENIED`, which is also the error for a read-only file,
/// `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION` and `ERROR_USER_MAPPED_FILE`.
const IN_USE: [i32; 4] = [5, 32, 33, 1224];

/// The pauses before further tries, in milliseconds, 1.27 s in all. Virus scanners and indexers open new files for moments.
const PAUSES: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];

/// Returns whether `error` says that a file could not be replaced because it is open.
pub(crate) fn is_in_use(system: System, error: &io::Error) -> bool {
    system == System::Windows && error.raw_os_error().is_some_and(|code| IN_USE.contains(&code))
}

/// Renames the file `from` to `to`, replacing an existing file. If Windows refuses because a file is open, retries for about a
/// second.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    retry(System::CURRENT, || fs::rename(from, to), std::thread::sleep)
}

/// Runs `work`, and retries after a pause while a file is in use.
fn retry(system: System, work: impl Fn() -> io::Result<()>, pause: impl Fn(Duration)) -> io::Result<()> {
    for milliseconds in PAUSES {
        match work() {
            Err(error) if is_in_use(system, &error) => pause(Duration::from_millis(milliseconds)),
            done => return done,
        }
    }
    work()
}

/// Checks that the file at `path` can be replaced now: Windows replaces no file that is read-only or that another program has
/// opened without sharing.
///
/// # Errors
/// The reason why the file cannot be replaced.
pub fn is_replaceable(path: &Path) -> io::Result<()> {
    match System::CURRENT {
        System::Windows => OpenOptions::new().append(true).open(path).map(drop),
        System::Linux | System::MacOs => Ok(()),
    }
}

/// Syncs `folder`, so that a rename in it survives a loss of power. Does nothing on Windows, which has no such call, on file
/// systems that refuse the call, and for a folder that can be written but not read.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if System::CURRENT == System::Windows {
        return Ok(());
    }
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), Unsupported | InvalidInput | PermissionDenied) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn error(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn windows_alone_refuses_what_is_open() {
        for system in System::ALL {
            for code in IN_USE {
                assert_eq!(is_in_use(system, &error(code)), system == System::Windows);
            }
            assert!(!is_in_use(system, &error(112)), "the disk is full");
            assert!(!is_in_use(system, &io::ErrorKind::NotFound.into()));
        }
    }

    #[test]
    fn renaming_is_retried_while_a_file_is_open() {
        let tries = Cell::new(0);
        let waited = RefCell::new(Duration::ZERO);
        let pause = |time| *waited.borrow_mut() += time;
        let open_for = |max: usize| {
            tries.set(0);
            let work = || {
                tries.set(tries.get() + 1);
                if tries.get() <= max { Err(error(32)) } else { Ok(()) }
            };
            retry(System::Windows, work, pause)
        };
        assert!(open_for(0).is_ok() && tries.get() == 1 && waited.borrow().is_zero());
        assert!(open_for(3).is_ok() && tries.get() == 4);
        assert!(open_for(7).is_ok());
        assert_eq!(open_for(8).unwrap_err().raw_os_error(), Some(32));
        assert_eq!(tries.get(), 8);
    }

    #[test]
    fn other_errors_are_final() {
        let tries = Cell::new(0);
        let work = |code| {
            move |tries: &Cell<i32>| {
                tries.set(tries.get() + 1);
                Err::<(), _>(error(code))
            }
        };
        for (system, code) in [(System::Windows, 3), (System::Linux, 5), (System::MacOs, 32)] {
            tries.set(0);
            let failed = retry(system, || work(code)(&tries), |_| panic!("it waits"));
            assert!(failed.is_err() && tries.get() == 1, "{system:?}");
        }
    }
}
