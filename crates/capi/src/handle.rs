//! Handles: what C holds of an object.

use std::sync::Arc;

use super::boundary::{Failure, Result, entry};

/// An object that C holds by pointer. The pointer is a share of an `Arc`; `free` gives it back.
///
/// `Send + Sync`: any thread may call with it, and two at once must do no harm.
pub(super) trait Handle: Send + Sync + Sized {
    /// What the header calls it.
    const NAME: &'static str;
}

/// Where a call puts the handle that it makes.
pub(super) struct Place<T>(*mut *mut T);

impl<T: Handle> Place<T> {
    /// The place that `pointer` names, which holds NULL from now on, until [`fill`](Self::fill).
    ///
    /// # Safety
    /// `pointer` is NULL or may be written to during the call.
    pub(super) unsafe fn new(pointer: *mut *mut T) -> Result<Self> {
        if pointer.is_null() || !pointer.is_aligned() {
            return Err(Failure::invalid(format!("the place for the {} is NULL or not aligned", T::NAME)));
        }
        // SAFETY: not NULL, aligned, and writable by contract.
        unsafe { pointer.write(std::ptr::null_mut()) };
        Ok(Self(pointer))
    }

    /// As [`new`](Self::new), of a place that may be NULL.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(super) unsafe fn if_any(pointer: *mut *mut T) -> Result<Option<Self>> {
        // SAFETY: the contract is the same.
        if pointer.is_null() { Ok(None) } else { unsafe { Self::new(pointer) }.map(Some) }
    }

    /// Hands `object` over to C.
    pub(super) fn fill(self, object: T) {
        // SAFETY: checked by `new`; the call is not over.
        unsafe { self.0.write(Arc::into_raw(Arc::new(object)).cast_mut()) }
    }
}

/// A share of the object behind a handle, for the time of a call.
///
/// # Safety
/// `pointer` is NULL or a handle that is not freed before this function returns.
pub(super) unsafe fn share<T: Handle>(pointer: *const T) -> Result<Arc<T>> {
    if pointer.is_null() {
        return Err(Failure::null(T::NAME));
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is no handle of this library", T::NAME)));
    }
    // SAFETY: by contract it came from `Place::fill` and is alive.
    unsafe {
        Arc::increment_strong_count(pointer);
        Ok(Arc::from_raw(pointer))
    }
}

/// As [`share`], of a handle that may be NULL.
///
/// # Safety
/// As [`share`].
pub(super) unsafe fn share_if_any<T: Handle>(pointer: *const T) -> Result<Option<Arc<T>>> {
    // SAFETY: the contract is the same.
    if pointer.is_null() { Ok(None) } else { unsafe { share(pointer) }.map(Some) }
}

/// Gives C's share back; NULL is passed over.
///
/// # Safety
/// `pointer` is NULL or a handle that no one uses after this.
pub(super) unsafe fn free<T: Handle>(pointer: *mut T) {
    if !pointer.is_null() {
        // the status has nowhere to go; a fault is in the thread's last error
        entry(|| {
            // SAFETY: by contract it came from `Place::fill` and was not freed yet.
            drop(unsafe { Arc::from_raw(pointer) });
            Ok(())
        });
    }
}
