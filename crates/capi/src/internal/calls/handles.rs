//! The input of the fuzzer, and the handles that its calls return.

#![expect(clippy::indexing_slicing, reason = "a fuzzer detects faults by panics")]

use std::ffi::CStr;
use std::ptr::null_mut;

use crate::boundary::{ualm_last_error, ualm_last_status, ualm_status};

/// The rest of the input.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Returns the next number; 0 after the end.
    pub(super) fn number(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0))
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.number() % choices.len()]
    }
}

/// All live handles of a kind.
pub(super) struct Handles<T> {
    pub(super) alive: Vec<*mut T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Handles<T> {
    pub(super) fn new(free: unsafe extern "C" fn(*mut T)) -> Self {
        Self { alive: Vec::new(), free }
    }

    /// Returns one of the handles, or NULL.
    pub(super) fn any(&self, number: usize) -> *mut T {
        let at = number % (self.alive.len() + 1);
        self.alive.iter().rev().nth(at).copied().unwrap_or(null_mut())
    }

    /// Keeps the handle that `call` returns, which must be NULL exactly when the call failed.
    pub(super) fn make(&mut self, call: impl FnOnce(*mut *mut T) -> ualm_status) {
        let mut made = std::ptr::dangling_mut();
        let worked = works(call(&mut made));
        assert_eq!(worked, !made.is_null());
        self.alive.extend(worked.then_some(made));
    }

    /// Frees one of the handles, or NULL.
    pub(super) fn free(&mut self, number: usize) {
        let one = self.any(number);
        self.alive.retain(|handle| *handle != one);
        // SAFETY: it was alive, and is forgotten.
        unsafe { (self.free)(one) };
    }
}

impl<T> Drop for Handles<T> {
    fn drop(&mut self) {
        for handle in &self.alive {
            // SAFETY: the handle is alive.
            unsafe { (self.free)(*handle) };
        }
    }
}

/// Returns whether a call succeeded; a failed one must have set the last error.
pub(super) fn works(status: ualm_status) -> bool {
    // SAFETY: valid until the next call that fails.
    let words = unsafe { CStr::from_ptr(ualm_last_error()) };
    assert_ne!(status, ualm_status::Panic, "{words:?}");
    assert!(status == ualm_status::Ok || status == ualm_last_status() && !words.is_empty());
    status == ualm_status::Ok
}
