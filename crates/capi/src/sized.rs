//! Structs of options that begin with their own size, so that they can grow.
//!
//! A caller compiled with an older header passes a shorter struct: missing fields take the defaults. A caller compiled
//! with a newer header passes a longer struct: fields that this library does not know must be zero.

use super::boundary::{Failure, Result};

/// The maximum size of an options struct, to detect garbage in `struct_size`.
const LARGEST: usize = 4096;

/// A struct of options. It has no padding at its end (on 64-bit machines), which a new field could not be distinguished
/// from.
///
/// # Safety
/// `#[repr(C)]`, the first field is `struct_size: usize`, and every bit pattern is a value.
pub(super) unsafe trait Options: Copy {
    /// The name in the header.
    const NAME: &'static str;
    /// The size in the first version, which stays when fields are added.
    const OLDEST: usize;
}

/// Reads the caller's struct, with `defaults` for missing fields and for NULL.
///
/// # Safety
/// `pointer` is NULL or a struct of as many bytes as its first field says.
pub(super) unsafe fn read<T: Options>(pointer: *const T, defaults: T) -> Result<T> {
    if pointer.is_null() {
        return Ok(defaults);
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is not aligned", T::NAME)));
    }
    // SAFETY: the first field is there by contract.
    let size = unsafe { pointer.cast::<usize>().read() };
    check_size::<T>(size)?;
    // SAFETY: as many bytes are there by contract.
    let given = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if given.iter().skip(known).any(|byte| *byte != 0) {
        let what = "asks for something that this version of the library does not know: update the library";
        return Err(Failure::invalid(format!("{} of {size} bytes {what}", T::NAME)));
    }
    let mut value = defaults;
    // SAFETY: `known` bytes are in both, and any bytes make a `T`.
    unsafe { std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut value).cast::<u8>(), known) };
    Ok(value)
}

/// Fills the caller's struct of `size` bytes with `value`, the rest with zeros, and sets `struct_size`.
///
/// # Safety
/// `pointer` is NULL or points to `size` writable bytes.
pub(super) unsafe fn fill<T: Options>(pointer: *mut T, size: usize, value: T) -> Result<()> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is NULL or not aligned", T::NAME)));
    }
    check_size::<T>(size)?;
    // SAFETY: `size` bytes may be written by contract, the first field is among them.
    unsafe {
        std::ptr::write_bytes(pointer.cast::<u8>(), 0, size);
        std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), pointer.cast::<u8>(), size.min(size_of::<T>()));
        pointer.cast::<usize>().write(size);
    }
    Ok(())
}

fn check_size<T: Options>(size: usize) -> Result<()> {
    if (T::OLDEST..=LARGEST).contains(&size) {
        return Ok(());
    }
    let name = T::NAME;
    let oldest = T::OLDEST;
    Err(Failure::invalid(format!("{name}: struct_size is {size}; expected {oldest} or more, as {name}_init writes it")))
}

/// Reads a field that is 0 or 1.
pub(super) fn flag<T: From<u8> + PartialEq + std::fmt::Display>(value: T, name: &str) -> Result<bool> {
    if value == T::from(1) {
        Ok(true)
    } else if value == T::from(0) {
        Ok(false)
    } else {
        Err(Failure::invalid(format!("{name} is {value}; expected 0 or 1")))
    }
}
