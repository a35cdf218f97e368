//! The boundary of every call: a result becomes a status and the thread's last error; a panic ends here.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ualm::{Error, ErrorKind};

/// The outcome of a call. The numbers never change; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_status {
    /// Success.
    Ok = 0,
    /// An invalid request, option or argument.
    Invalid = 1,
    /// A file that does not exist, cannot be read or cannot be written.
    Io = 2,
    /// Sound that cannot be read: not audio, damaged, empty, or with samples that are not finite.
    Audio = 3,
    /// A limit was exceeded, such as seconds of input or positions of context.
    Limit = 4,
    /// A model package that is damaged, incomplete or violates its contract.
    Package = 5,
    /// ONNX Runtime's library is missing, too old or cannot be loaded.
    Library = 6,
    /// A requested execution provider is not available.
    Provider = 7,
    /// A graph failed while running.
    Graph = 8,
    /// Invalid numbers, such as logits that are not finite.
    Numeric = 9,
    /// Cancelled on request.
    Cancelled = 10,
    /// The handle is in use by an open generation, by another thread, or by the call whose callback is running.
    Busy = 11,
    /// A bug in the library. The handles of the call may only be freed afterwards; please report it.
    Panic = 12,
}

impl ualm_status {
    const ALL: [(Self, &'static CStr); 13] = [
        (Self::Ok, c"ok"),
        (Self::Invalid, c"invalid"),
        (Self::Io, c"io"),
        (Self::Audio, c"audio"),
        (Self::Limit, c"limit"),
        (Self::Package, c"package"),
        (Self::Library, c"library"),
        (Self::Provider, c"provider"),
        (Self::Graph, c"graph"),
        (Self::Numeric, c"numeric"),
        (Self::Cancelled, c"cancelled"),
        (Self::Busy, c"busy"),
        (Self::Panic, c"panic"),
    ];
}

impl From<ErrorKind> for ualm_status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Io => Self::Io,
            ErrorKind::Audio => Self::Audio,
            ErrorKind::Limit => Self::Limit,
            ErrorKind::Package => Self::Package,
            ErrorKind::Library => Self::Library,
            ErrorKind::Provider => Self::Provider,
            ErrorKind::Graph => Self::Graph,
            ErrorKind::Numeric => Self::Numeric,
            ErrorKind::Cancelled => Self::Cancelled,
            // a kind without a status is a bug in this library; a test below checks for it
            _ => Self::Panic,
        }
    }
}

/// The reason why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: ualm_status,
    message: String,
}

/// The result of the body of a call.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Returns a failure for an invalid argument.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Invalid, message: message.into() }
    }

    /// Returns a failure for the argument `name`, which is NULL and must not be.
    pub(super) fn null(name: &str) -> Self {
        Self::invalid(format!("{name} is NULL"))
    }

    /// Returns a failure for invalid sound.
    pub(super) fn audio(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Audio, message: message.into() }
    }

    /// Returns a failure for a handle that is in use.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Busy, message: message.into() }
    }

    fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Self { status: ualm_status::Panic, message: format!("a bug in ualm, please report it: {text}") }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: error.kind().into(), message: error.full_message() }
    }
}

/// Runs a call: its failure, or its panic, becomes the thread's last error and a status.
pub(super) fn entry(call: impl FnOnce() -> Result<()>) -> ualm_status {
    match guarded(call) {
        Ok(()) => ualm_status::Ok,
        Err(failure) => remember(failure),
    }
}

/// Runs a call that returns a value. A failure becomes the thread's last error, and `otherwise` is returned.
pub(super) fn value<T>(otherwise: T, call: impl FnOnce() -> Result<T>) -> T {
    guarded(call).unwrap_or_else(|failure| {
        remember(failure);
        otherwise
    })
}

fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    // State after a panic is never reused: poisoned locks are recovered, and a session in use does not go back to its
    // slot.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(Failure::panicked(&*payload)))
}

thread_local! {
    static LAST: RefCell<(ualm_status, CString)> = RefCell::new((ualm_status::Ok, CString::default()));
}

fn remember(Failure { status, message }: Failure) -> ualm_status {
    let message = CString::new(message.replace('\0', "\u{FFFD}")).unwrap_or_default();
    // fails on a thread that is ending
    let _ = LAST.try_with(|last| *last.borrow_mut() = (status, message));
    status
}

/// Returns the status of this thread's last failed call; UALM_STATUS_OK when none has failed. Successful calls do not
/// change it.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_last_status() -> ualm_status {
    LAST.try_with(|last| last.borrow().0).unwrap_or(ualm_status::Ok)
}

/// Returns the error message of this thread's last failed call: what was expected, what was found, what to do; "" when
/// none has failed. Valid until the thread's next failed call.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().1.as_ptr()).unwrap_or(c"".as_ptr())
}

/// Returns the name of a status, such as "invalid"; "unknown" for an unknown number.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_status_name(status: i32) -> *const c_char {
    let known = ualm_status::ALL.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown", |(_, name)| *name).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> (ualm_status, String) {
        // SAFETY: the pointer is valid until the next failure of this thread.
        let message = unsafe { CStr::from_ptr(ualm_last_error()) };
        (ualm_last_status(), message.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(entry(|| panic!("at the {}", "disco")), ualm_status::Panic);
        assert_eq!(last(), (ualm_status::Panic, "a bug in ualm, please report it: at the disco".into()));
        assert_eq!(value(7, || panic!()), 7);
    }

    #[test]
    fn an_error_stays_until_the_next_one() {
        assert_eq!(entry(|| Err(Error::new(ErrorKind::Limit, "too\0much").into())), ualm_status::Limit);
        assert_eq!(entry(|| Ok(())), ualm_status::Ok);
        assert_eq!(last(), (ualm_status::Limit, "too\u{FFFD}much".into()));
        assert_eq!(std::thread::spawn(last).join().unwrap(), (ualm_status::Ok, String::new()));
    }

    #[test]
    fn names_are_those_of_the_error_kinds() {
        for (status, name) in ualm_status::ALL {
            // SAFETY: names are literals.
            assert_eq!(unsafe { CStr::from_ptr(ualm_status_name(status as i32)) }, name);
        }
        for kind in ErrorKind::ALL {
            assert_eq!(ualm_status::ALL[ualm_status::from(kind) as usize].1.to_str().unwrap(), kind.name());
        }
    }
}
