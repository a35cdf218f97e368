//! Stopping from another thread.

use std::ffi::c_int;

use ualm::Cancel;

use super::boundary::{Result, entry, ualm_status, value};
use super::handle::{Handle, Place, free, share, share_if_any};

/// A switch that stops the generations it was given to. It is thrown once and for all.
pub struct ualm_cancel(pub(super) Cancel);

impl Handle for ualm_cancel {
    const NAME: &'static str = "cancel";
}

/// The switch that `pointer` names; for NULL one that nobody throws.
///
/// # Safety
/// As [`share`].
pub(super) unsafe fn cancel_of(pointer: *const ualm_cancel) -> Result<Cancel> {
    // SAFETY: the contract is the same.
    Ok(unsafe { share_if_any(pointer) }?.map_or_else(Cancel::new, |cancel| cancel.0.clone()))
}

/// Makes a switch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_new(cancel: *mut *mut ualm_cancel) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { Place::new(cancel) }?.fill(ualm_cancel(Cancel::new()));
        Ok(())
    })
}

/// Throws the switch, from any thread: every generation with this switch ends after its current step, with what it has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_throw(cancel: *mut ualm_cancel) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { share(cancel) }?.0.cancel();
        Ok(())
    })
}

/// 1 when the switch was thrown, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_is_thrown(cancel: *const ualm_cancel) -> c_int {
    // SAFETY: the header's law.
    value(0, || Ok(c_int::from(unsafe { share(cancel) }?.0.is_cancelled())))
}

/// Frees a switch; generations that have it go on. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_cancel_free(cancel: *mut ualm_cancel) {
    // SAFETY: the header's law.
    unsafe { free(cancel) }
}
