//! Cancellation from another thread.

use std::ffi::c_int;

use ualm::Cancel;

use super::boundary::{Result, entry, ualm_status, value};
use super::handle::{Handle, Out, free, share, share_if_any};

/// A cancellation token, which stops every generation that it was passed to. It cannot be reset.
pub struct ualm_cancel(pub(super) Cancel);

impl Handle for ualm_cancel {
    const NAME: &'static str = "cancel";
}

/// Returns the token at `pointer`; for NULL, a token that is never cancelled.
///
/// # Safety
/// As [`share`].
pub(super) unsafe fn cancel_of(pointer: *const ualm_cancel) -> Result<Cancel> {
    // SAFETY: same contract.
    Ok(unsafe { share_if_any(pointer) }?.map_or_else(Cancel::new, |cancel| cancel.0.clone()))
}

/// Creates a cancellation token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_new(cancel: *mut *mut ualm_cancel) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { Out::new(cancel) }?.fill(ualm_cancel(Cancel::new()));
        Ok(())
    })
}

/// Cancels the token, from any thread: every generation that has it ends after its current step and keeps what it has
/// made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_throw(cancel: *mut ualm_cancel) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { share(cancel) }?.0.cancel();
        Ok(())
    })
}

/// Returns 1 when the token was cancelled, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_is_thrown(cancel: *const ualm_cancel) -> c_int {
    // SAFETY: per the header's contract.
    value(0, || Ok(c_int::from(unsafe { share(cancel) }?.0.is_cancelled())))
}

/// Frees a token; generations that have it continue. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_free(cancel: *mut ualm_cancel) {
    // SAFETY: per the header's contract.
    unsafe { free(cancel) }
}
