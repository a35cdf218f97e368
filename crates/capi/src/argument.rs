//! Arguments other than handles.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use ualm::internal::path_of;

use super::boundary::{Failure, Result};

/// Borrows the NUL-terminated UTF-8 text at `pointer`.
///
/// # Safety
/// `pointer` is NULL or a NUL-terminated string that does not change during the call.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not NULL; the rest is the contract.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|e| Failure::invalid(format!("{name} is not UTF-8 after byte {}", e.valid_up_to())))
}

/// Borrows a path, as [`text`] does; on Unix it may be any bytes.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn path<'a>(pointer: *const c_char, name: &str) -> Result<&'a Path> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not NULL; the rest is the contract.
    let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
    path_of(bytes).map_err(|e| Failure::invalid(format!("{name} is not UTF-8 after byte {}", e.valid_up_to())))
}

/// Borrows a list of `len` values, which may be NULL when `len` is 0.
///
/// # Safety
/// `pointer` is NULL or points to `len` values that do not change during the call. Every bit pattern is a valid `T`.
pub(super) unsafe fn list<'a, T: Copy>(pointer: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Failure::invalid(format!("{name} is NULL, but its length is {len}")));
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{name} is not aligned: expected a multiple of {}", align_of::<T>())));
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::invalid(format!("{name} has the length {len}, more than memory can hold")));
    }
    // SAFETY: checked above; that the values are there is the contract.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Writes `value` to the out-pointer `pointer`.
///
/// # Safety
/// `pointer` is NULL or may be written to.
pub(super) unsafe fn write<T>(pointer: *mut T, value: T, name: &str) -> Result<()> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Failure::invalid(format!("the out-pointer for {name} is NULL or not aligned")));
    }
    // SAFETY: not NULL, aligned, and writable by contract.
    unsafe { pointer.write(value) };
    Ok(())
}

/// An out-pointer for a string.
pub(super) struct StringOut(*mut *mut c_char);

impl StringOut {
    /// Wraps `pointer` and sets its target to NULL, until [`fill`](Self::fill).
    ///
    /// # Safety
    /// `pointer` is NULL or may be written to during the call.
    pub(super) unsafe fn new(pointer: *mut *mut c_char, name: &str) -> Result<Self> {
        // SAFETY: same contract.
        unsafe { write(pointer, std::ptr::null_mut(), name) }?;
        Ok(Self(pointer))
    }

    /// Passes ownership of `text` to C, which frees it with `ualm_string_free`.
    pub(super) fn fill(self, text: &str) -> Result<()> {
        let text = CString::new(text).map_err(|e| Failure::invalid(format!("the text contains NUL: {e}")))?;
        // SAFETY: checked by `new`; the call is not over.
        unsafe { self.0.write(text.into_raw()) };
        Ok(())
    }
}

/// Frees a string that this library returned. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: per the header's contract it came from `StringOut::fill` and was not freed yet.
        drop(unsafe { CString::from_raw(string) });
    }
}
