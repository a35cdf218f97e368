//! Files that take another one's place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::System;

/// Errors of Windows by which it refuses a change to a file that is open: `ERROR_ACCESS_DENIED`, which a file that may not be
/// written gives as well, `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION` and `ERROR_USER_MAPPED_FILE`.
const IN_USE: [i32; 4] = [5, 32, 33, 1224];

/// The pauses before another try: a second and a quarter in all. Virus scanners and indexers open what is new for moments.
const PAUSES: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];

/// Returns whether `error` says that a file could not be replaced because it is open.
pub(crate) fn is_in_use(system: System, error: &io::Error) -> bool {
    system == System::Windows && error.raw_os_error().is_some_and(|code| IN_USE.contains(&code))
}

/// Renames the file `from` to `to`, in place of a file that is there. Where Windows refuses because one of them is open, it is
/// tried again for about a second.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    patiently(System::CURRENT, || fs::rename(from, to), std::thread::sleep)
}

/// Runs `work`, again after a pause where a file is in use.
fn patiently(system: System, work: impl Fn() -> io::Result<()>, pause: impl Fn(Duration)) -> io::Result<()> {
    for milliseconds in PAUSES {
        match work() {
            Err(error) if is_in_use(system, &error) => pause(Duration::from_millis(milliseconds)),
            done => return done,
        }
    }
    work()
}

/// Returns whether the file at `path` could be replaced now: Windows does not replace one that may not be written, or that
/// another program keeps for itself.
///
/// # Errors
/// The reason why not.
pub fn is_replaceable(path: &Path) -> io::Result<()> {
    match System::CURRENT {
        System::Windows => OpenOptions::new().append(true).open(path).map(drop),
        System::Linux | System::MacOs => Ok(()),
    }
}

/// Syncs `folder`, so that a rename in it survives a loss of power. Windows has no such call, some file systems refuse it, and a
/// folder may be one that can be written, not read.
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
    fn a_file_that_is_open_for_a_moment_is_waited_for() {
        let (tries, waited) = (Cell::new(0), RefCell::new(Duration::ZERO));
        let pause = |time| *waited.borrow_mut() += time;
        let open_for = |most: usize| {
            tries.set(0);
            let work = || {
                tries.set(tries.get() + 1);
                if tries.get() <= most { Err(error(32)) } else { Ok(()) }
            };
            patiently(System::Windows, work, pause)
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
            let failed = patiently(system, || work(code)(&tries), |_| panic!("it waits"));
            assert!(failed.is_err() && tries.get() == 1, "{system:?}");
        }
    }
}
