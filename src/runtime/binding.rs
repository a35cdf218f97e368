//! Tensors bound to the ports of a graph, in the ways that `ort` does not expose, too: some rows of a tensor, and runs
//! without a list of outputs.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::session::{IoBinding, Session};
use ort::sys::OrtValue;
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

use super::place::{Place, Places};

/// Tensors bound to the ports of one graph.
pub(crate) struct Binding {
    bound: IoBinding,
    places: Arc<Places>,
    /// The bytes that ONNX Runtime copies from the device to the host in each run.
    downloaded: u64,
}

/// What a tensor is bound as.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Input,
    Output,
}

impl Binding {
    /// Creates a binding to `session`, whose ports have `places`.
    pub(super) fn new(session: &Session, places: &Arc<Places>) -> ort::Result<Self> {
        Ok(Self { bound: session.create_binding()?, places: Arc::clone(places), downloaded: 0 })
    }

    /// Runs `session` on the bound tensors; the outputs are written to them.
    pub(super) fn run(&self, session: &mut Session) -> ort::Result<()> {
        // SAFETY: both pointers are valid, the session is borrowed mutably, and null stands for the default options.
        let status = unsafe { (ort::api().RunWithBinding)(session.ptr_mut(), std::ptr::null(), self.bound.ptr()) };
        // SAFETY: the status was returned by the call above and is consumed once.
        unsafe { ort::Error::result_from_status(status)? };
        if let Some(device) = self.places.device() {
            device.count_download(self.downloaded);
        }
        Ok(())
    }

    /// Binds a tensor of the host as the input `name`, which the graph must read there.
    pub(super) fn input<T: PrimitiveTensorElementType + Debug>(
        &mut self,
        name: &str,
        tensor: &Tensor<T>,
    ) -> ort::Result<()> {
        self.bind(name, tensor.ptr(), Direction::Input)
    }

    /// Binds a tensor of the host as the output `name`, to which it is copied where the graph writes it on a device.
    pub(crate) fn output<T: PrimitiveTensorElementType + Debug>(
        &mut self,
        name: &str,
        tensor: &mut Tensor<T>,
    ) -> ort::Result<()> {
        if let Place::Device(_) = self.places.get(name) {
            self.downloaded += size_of_val(tensor.extract_tensor().1) as u64;
        }
        self.bind(name, tensor.ptr(), Direction::Output)
    }

    /// Binds `value`, to which the binding keeps a reference.
    pub(super) fn bind(&mut self, name: &str, value: *const OrtValue, direction: Direction) -> ort::Result<()> {
        let name = CString::new(name).map_err(|e| ort::Error::new(e.to_string()))?;
        let api = ort::api();
        // SAFETY: all pointers are valid; the status is consumed once.
        unsafe {
            let status = match direction {
                Direction::Input => (api.BindInput)(self.bound.ptr_mut(), name.as_ptr(), value),
                Direction::Output => (api.BindOutput)(self.bound.ptr_mut(), name.as_ptr(), value),
            };
            ort::Error::result_from_status(status)
        }
    }
}

/// Binds `rows` of `buffer`, the first dimension of which is the row, both as `input` and as `output`, in the buffer's
/// memory.
///
/// # Safety
/// `binding` must not be run after `buffer` is dropped, nor while the elements of `buffer` are borrowed.
pub(crate) unsafe fn bind_rows<T: PrimitiveTensorElementType + Debug>(
    binding: &mut Binding,
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
    binding.bind(input, view.ptr(), Direction::Input)?;
    binding.bind(output, view.ptr(), Direction::Output)
}
