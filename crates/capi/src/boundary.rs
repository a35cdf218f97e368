//! The boundary of every call: a result becomes a status and the thread's last error; a panic ends here.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ualm::{Error, ErrorKind};

/// What a call came to. The numbers never change; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_status {
    /// It worked.
    Ok = 0,
    /// A request, option or argument that makes no sense.
    Invalid = 1,
    /// A file that is not there, cannot be read or cannot be written.
    Io = 2,
    /// Sound that cannot be read: not audio, damaged, empty, not finite.
    Audio = 3,
    /// More than a limit allows: seconds of input, positions of context.
    Limit = 4,
    /// A model package that is damaged, incomplete or does not keep its contract.
    Package = 5,
    /// ONNX Runtime's library: missing, too old, not loadable.
    Library = 6,
    /// An execution provider that was asked for and cannot serve.
    Provider = 7,
    /// A graph that failed while it ran.
    Graph = 8,
    /// Numbers that cannot be right: logits that are not finite.
    Numeric = 9,
    /// Stopped on request.
    Cancelled = 10,
    /// The handle is in use: by a generation that is still open, or by a call of another thread or of the caller's
    /// callback.
    Busy = 11,
    /// A fault inside the library. The handles of the call may only be freed now; please report it.
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
            // a kind without a status is a fault of this library, which a test below looks for
            _ => Self::Panic,
        }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: ualm_status,
    message: String,
}

/// The result of what a call does.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// An argument that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Invalid, message: message.into() }
    }

    /// The argument `name` is NULL and must not be.
    pub(super) fn null(name: &str) -> Self {
        Self::invalid(format!("{name} is NULL"))
    }

    /// Sound that makes no sense.
    pub(super) fn audio(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Audio, message: message.into() }
    }

    /// Something that is in use.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self { status: ualm_status::Busy, message: message.into() }
    }

    fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
        Self { status: ualm_status::Panic, message: format!("a fault inside ualm, please report it: {text}") }
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

/// Runs a call that gives a value; after a failure it is `otherwise`, and the thread's last error says why.
pub(super) fn value<T>(otherwise: T, call: impl FnOnce() -> Result<T>) -> T {
    guarded(call).unwrap_or_else(|failure| {
        remember(failure);
        otherwise
    })
}

fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic leaves behind is not used again: locks are taken as they are, and a session that was being worked
    // with does not go back to its slot.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(Failure::panicked(&*payload)))
}

thread_local! {
    static LAST: RefCell<(ualm_status, CString)> = RefCell::new((ualm_status::Ok, CString::default()));
}

fn remember(Failure { status, message }: Failure) -> ualm_status {
    let message = CString::new(message.replace('\0', "\u{FFFD}")).unwrap_or_default();
    // a thread that is ending has no last error any more
    let _ = LAST.try_with(|last| *last.borrow_mut() = (status, message));
    status
}

/// The status of this thread's last call that failed; UALM_STATUS_OK when none has. Calls that work leave it as it is.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_last_status() -> ualm_status {
    LAST.try_with(|last| last.borrow().0).unwrap_or(ualm_status::Ok)
}

/// What this thread's last call that failed has to say: what was expected, what was found, what to do; "" when none
/// has. Valid until the thread's next call that fails.
#[unsafe(no_mangle)]
pub extern "C" fn ualm_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().1.as_ptr()).unwrap_or(c"".as_ptr())
}

/// The name of a status, such as "invalid"; "unknown" for a number that is none.
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
        assert_eq!(last(), (ualm_status::Panic, "a fault inside ualm, please report it: at the disco".into()));
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
