//! Arguments other than handles.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::path::Path;

use super::boundary::{Failure, Result};

/// A text: NUL-terminated UTF-8.
///
/// # Safety
/// `pointer` is NULL or ends with a NUL, and stays as it is during the call.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not NULL; the rest is the contract.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|e| Failure::invalid(format!("{name} is not UTF-8 after byte {}", e.valid_up_to())))
}

/// A path: as [`text`], but on Unix any bytes, as the system has them.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn path<'a>(pointer: *const c_char, name: &str) -> Result<&'a Path> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        if pointer.is_null() {
            return Err(Failure::null(name));
        }
        // SAFETY: not NULL; the rest is the contract.
        Ok(Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(pointer) }.to_bytes())))
    }
    #[cfg(not(unix))]
    // SAFETY: the contract is the same.
    Ok(Path::new(OsStr::new(unsafe { text(pointer, name) }?)))
}

/// A list of `len` values; NULL is an empty one.
///
/// # Safety
/// `pointer` is NULL or has `len` values behind it, which stay as they are during the call. `T` takes any bytes.
pub(super) unsafe fn list<'a, T: Copy>(pointer: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Failure::invalid(format!("{name} is NULL, and is said to hold {len} values")));
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{name} is not aligned: expected a multiple of {}", align_of::<T>())));
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::invalid(format!("{name} is said to hold {len} values, more than memory can")));
    }
    // SAFETY: checked above; that the values are there is the contract.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Writes `value` where the caller wants it.
///
/// # Safety
/// `pointer` is NULL or may be written to.
pub(super) unsafe fn write<T>(pointer: *mut T, value: T, name: &str) -> Result<()> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Failure::invalid(format!("the place for {name} is NULL or not aligned")));
    }
    // SAFETY: not NULL, aligned, and writable by contract.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Where a call puts the string that it makes.
pub(super) struct StringPlace(*mut *mut c_char);

impl StringPlace {
    /// The place that `pointer` names, which holds NULL from now on, until [`fill`](Self::fill).
    ///
    /// # Safety
    /// `pointer` is NULL or may be written to during the call.
    pub(super) unsafe fn new(pointer: *mut *mut c_char, name: &str) -> Result<Self> {
        // SAFETY: the contract is the same.
        unsafe { write(pointer, std::ptr::null_mut(), name) }?;
        Ok(Self(pointer))
    }

    /// Hands `text` over to C, which gives it back to `ualm_string_free`.
    pub(super) fn fill(self, text: &str) -> Result<()> {
        let text = CString::new(text).map_err(|e| Failure::invalid(format!("NUL in the text: {e}")))?;
        // SAFETY: checked by `new`; the call is not over.
        unsafe { self.0.write(text.into_raw()) };
        Ok(())
    }
}

/// Frees a string that a function of this library gave to the caller. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: by the header's law it came from `StringPlace::fill` and was not freed yet.
        drop(unsafe { CString::from_raw(string) });
    }
}
