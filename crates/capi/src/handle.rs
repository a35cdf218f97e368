//! Handles: the pointers by which C holds objects.

use std::sync::Arc;

use super::boundary::{Failure, Result, entry};

/// An object that C refers to by a pointer. The pointer owns one reference of an `Arc`, which `free` releases.
///
/// `Send + Sync`, since any number of threads may use a handle at once.
pub(super) trait Handle: Send + Sync + Sized {
    /// The name in the header.
    const NAME: &'static str;
}

/// An out-pointer for a handle.
pub(super) struct Out<T>(*mut *mut T);

impl<T: Handle> Out<T> {
    /// Wraps `pointer` and sets its target to NULL, until [`fill`](Self::fill).
    ///
    /// # Safety
    /// `pointer` is NULL or may be written to during the call.
    pub(super) unsafe fn new(pointer: *mut *mut T) -> Result<Self> {
        if pointer.is_null() || !pointer.is_aligned() {
            return Err(Failure::invalid(format!("the out-pointer for the {} is NULL or not aligned", T::NAME)));
        }
        // SAFETY: not NULL, aligned, and writable by contract.
        unsafe { pointer.write(std::ptr::null_mut()) };
        Ok(Self(pointer))
    }

    /// Wraps `pointer`, as [`new`](Self::new) does; `None` when it is NULL.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(super) unsafe fn if_any(pointer: *mut *mut T) -> Result<Option<Self>> {
        // SAFETY: same contract.
        if pointer.is_null() { Ok(None) } else { unsafe { Self::new(pointer) }.map(Some) }
    }

    /// Passes ownership of `object` to C.
    pub(super) fn fill(self, object: T) {
        // SAFETY: checked by `new`; the call is not over.
        unsafe { self.0.write(Arc::into_raw(Arc::new(object)).cast_mut()) }
    }
}

/// Clones the `Arc` of a handle, for the duration of a call.
///
/// # Safety
/// `pointer` is NULL or a handle that is not freed before this function returns.
pub(super) unsafe fn share<T: Handle>(pointer: *const T) -> Result<Arc<T>> {
    if pointer.is_null() {
        return Err(Failure::null(T::NAME));
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is not a handle of this library", T::NAME)));
    }
    // SAFETY: by contract it came from `Out::fill` and is alive.
    unsafe {
        Arc::increment_strong_count(pointer);
        Ok(Arc::from_raw(pointer))
    }
}

/// Clones the `Arc` of a handle, as [`share`] does; `None` when the handle is NULL.
///
/// # Safety
/// As [`share`].
pub(super) unsafe fn share_if_any<T: Handle>(pointer: *const T) -> Result<Option<Arc<T>>> {
    // SAFETY: same contract.
    if pointer.is_null() { Ok(None) } else { unsafe { share(pointer) }.map(Some) }
}

/// Releases the reference of C; does nothing for NULL.
///
/// # Safety
/// `pointer` is NULL or a handle that is not used afterwards.
pub(super) unsafe fn free<T: Handle>(pointer: *mut T) {
    if !pointer.is_null() {
        // a free function returns no status; a panic becomes the thread's last error
        entry(|| {
            // SAFETY: by contract it came from `Out::fill` and was not freed yet.
            drop(unsafe { Arc::from_raw(pointer) });
            Ok(())
        });
    }
}
