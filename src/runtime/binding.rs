//! What ONNX Runtime's wrapper has no safe way for: binding some rows of a tensor, and running without a list of outputs.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt::Debug;
use std::ops::Range;

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::session::{IoBinding, Session};
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

/// Runs `session` on what `binding` holds; the outputs lie in the tensors that were bound.
pub(crate) fn run(session: &mut Session, binding: &IoBinding) -> ort::Result<()> {
    // SAFETY: both are alive, the session is borrowed by this call alone, and no options are the default ones.
    let status = unsafe { (ort::api().RunWithBinding)(session.ptr_mut(), std::ptr::null(), binding.ptr()) };
    // SAFETY: the status is fresh, and read once.
    unsafe { ort::Error::result_from_status(status) }
}

/// Binds `rows` of `buffer`, whose first dimension is the row, as `input` and as `output`: the buffer's own memory.
///
/// # Safety
/// `binding` must not be run once `buffer` is gone, nor while its numbers are borrowed.
pub(crate) unsafe fn bind_rows<T: PrimitiveTensorElementType + Debug>(
    binding: &mut IoBinding,
    [input, output]: [&str; 2],
    buffer: &mut Tensor<T>,
    rows: &Range<usize>,
) -> ort::Result<()> {
    let (shape, numbers) = buffer.extract_tensor_mut();
    let [all, of_row @ ..] = &shape[..] else { return Err(ort::Error::new("a tensor without rows was to be bound")) };
    let of_row = of_row.to_vec();
    let size = numbers.len() / usize::try_from(*all).unwrap_or(1).max(1);
    let Some(numbers) = numbers.get_mut(rows.start * size..rows.end * size) else {
        return Err(ort::Error::new(format!("rows {rows:?} of {all} were to be bound")));
    };
    let shape = Shape::new(std::iter::once(rows.len() as i64).chain(of_row));
    // SAFETY: the memory is as large as the shape says, and the caller sees to it that it stays.
    let view = unsafe { TensorRefMut::<T>::from_raw(MemoryInfo::default(), numbers.as_mut_ptr().cast(), shape)? };
    for (name, is_input) in [(input, true), (output, false)] {
        let name = CString::new(name).map_err(|e| ort::Error::new(e.to_string()))?;
        let api = ort::api();
        // SAFETY: all are alive; ONNX Runtime shares the view, and copies the name.
        let status = unsafe {
            match is_input {
                true => (api.BindInput)(binding.ptr_mut(), name.as_ptr(), view.ptr()),
                false => (api.BindOutput)(binding.ptr_mut(), name.as_ptr(), view.ptr()),
            }
        };
        // SAFETY: the status is fresh, and read once.
        unsafe { ort::Error::result_from_status(status)? };
    }
    Ok(())
}
