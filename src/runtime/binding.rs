//! Unsafe bindings that `ort` does not expose: binding some rows of a tensor, and running without a list of outputs.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt::Debug;
use std::ops::Range;

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::session::{IoBinding, Session};
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

/// Runs `session` on the tensors in `binding`; the outputs are written to the bound tensors.
pub(crate) fn run(session: &mut Session, binding: &IoBinding) -> ort::Result<()> {
    // SAFETY: both pointers are valid, the session is borrowed mutably, and null stands for the default options.
    let status = unsafe { (ort::api().RunWithBinding)(session.ptr_mut(), std::ptr::null(), binding.ptr()) };
    // SAFETY: the status was returned by the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }
}

/// Binds `rows` of `buffer`, the first dimension of which is the row, both as `input` and as `output`, in the buffer's
/// memory.
///
/// # Safety
/// `binding` must not be run after `buffer` is dropped, nor while the elements of `buffer` are borrowed.
pub(crate) unsafe fn bind_rows<T: PrimitiveTensorElementType + Debug>(
    binding: &mut IoBinding,
    [input, output]: [&str; 2],
    buffer: &mut Tensor<T>,
    rows: &Range<usize>,
) -> ort::Result<()> {
    let (shape, numbers) = buffer.extract_tensor_mut();
    let [all, of_row @ ..] = &shape[..] else {
        return Err(ort::Error::new("cannot bind rows of a tensor without rows"));
    };
    let of_row = of_row.to_vec();
    let size = numbers.len() / usize::try_from(*all).unwrap_or(1).max(1);
    let Some(numbers) = numbers.get_mut(rows.start * size..rows.end * size) else {
        return Err(ort::Error::new(format!("cannot bind the rows {rows:?} of {all}")));
    };
    let shape = Shape::new(std::iter::once(rows.len() as i64).chain(of_row));
    // SAFETY: the memory has the size of the shape, and the caller keeps it alive.
    let view = unsafe { TensorRefMut::<T>::from_raw(MemoryInfo::default(), numbers.as_mut_ptr().cast(), shape)? };
    for (name, is_input) in [(input, true), (output, false)] {
        let name = CString::new(name).map_err(|e| ort::Error::new(e.to_string()))?;
        let api = ort::api();
        // SAFETY: all pointers are valid; ONNX Runtime keeps a reference to the view, and copies the name.
        let status = unsafe {
            if is_input {
                (api.BindInput)(binding.ptr_mut(), name.as_ptr(), view.ptr())
            } else {
                (api.BindOutput)(binding.ptr_mut(), name.as_ptr(), view.ptr())
            }
        };
        // SAFETY: the status was returned by the call above and is consumed once.
        unsafe { ort::Error::result_from_status(status)? };
    }
    Ok(())
}
