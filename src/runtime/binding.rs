//! Bindings of tensors to the ports of a graph, with those that `ort` does not expose: some rows of a tensor, and runs
//! without a list of outputs.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::session::{IoBinding, RunOptions, Session, SharedSessionInner};
use ort::sys::OrtValue;
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

use super::place::{Place, Places};

/// Tensors bound to the ports of one graph.
pub(crate) struct Binding {
    bound: IoBinding,
    places: Arc<Places>,
    /// The bytes that ONNX Runtime copies from the device to the host in each run.
    downloaded: u64,
    capture: Option<Capture>,
}

/// The recorded run of a binding.
struct Capture {
    /// The id of the recorded run in its session, or [`NOT_RECORDED`].
    id: i32,
    options: RunOptions,
    has_run: bool,
    session: Arc<SharedSessionInner>,
}

/// The id of runs that are not recorded.
const NOT_RECORDED: i32 = -1;
/// The next id. Ids are unique, so that no run is replayed on memory that is no longer bound.
static NEXT: AtomicI32 = AtomicI32::new(1);

impl Capture {
    fn new(session: &Session, id: i32) -> ort::Result<Self> {
        let mut options = RunOptions::new()?;
        options.set("gpu_graph_id", id.to_string())?;
        Ok(Self { id, options, has_run: false, session: session.inner() })
    }
}

/// The kind of port that a tensor is bound to.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Input,
    Output,
}

impl Binding {
    /// Creates a binding to `session`, whose ports have `places`; `captures` says that the session can record runs.
    pub(super) fn new(session: &Session, places: &Arc<Places>, captures: bool) -> ort::Result<Self> {
        let capture = captures.then(|| Capture::new(session, NOT_RECORDED)).transpose()?;
        Ok(Self { bound: session.create_binding()?, places: Arc::clone(places), downloaded: 0, capture })
    }

    /// Records the first run and replays it in later runs, if the session can. Nothing can be bound after that run.
    pub(super) fn record(&mut self, session: &Session) -> ort::Result<()> {
        if self.capture.is_some() && self.places.are_all_on_device() {
            self.capture = Some(Capture::new(session, NEXT.fetch_add(1, Ordering::Relaxed))?);
        }
        Ok(())
    }

    /// Releases the recorded run after a failure, so that the next run is recorded anew.
    pub(super) fn record_anew(&mut self, session: &Session) -> ort::Result<()> {
        if !self.is_recorded() {
            return Ok(());
        }
        self.release();
        self.record(session)
    }

    /// Releases the recorded run, and with it memory of the device.
    fn release(&self) {
        let Some(capture) = self.capture.as_ref().filter(|_| self.is_recorded()) else { return };
        let session = capture.session.ptr().cast_mut();
        let release = || {
            // SAFETY: the session is alive; the status is consumed once.
            unsafe { ort::Error::result_from_status((ort::api().SessionReleaseCapturedGraph)(session, capture.id)) }
        };
        let released = self.places.device().map_or_else(|| Ok(()), |device| device.with(release));
        if let Err(e) = released {
            log::warn!("a recorded run cannot be released before its session ends: {}", e.message().trim());
        }
    }

    /// Runs `session` on the bound tensors; the outputs are written to them.
    pub(super) fn run(&mut self, session: &mut Session) -> ort::Result<()> {
        let options = self.capture.as_mut().map_or(std::ptr::null(), |capture| {
            capture.has_run = true;
            capture.options.ptr()
        });
        // SAFETY: all pointers are valid, the session is borrowed mutably, and null stands for the default options.
        let status = unsafe { (ort::api().RunWithBinding)(session.ptr_mut(), options, self.bound.ptr()) };
        // SAFETY: the status was returned by the call above and is consumed once.
        unsafe { ort::Error::result_from_status(status)? };
        if let Some(device) = self.places.device() {
            device.count_download(self.downloaded);
        }
        Ok(())
    }

    fn is_recorded(&self) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.has_run && capture.id != NOT_RECORDED)
    }

    /// Binds a tensor of the host as the input `name`, which the graph must read on the host.
    pub(super) fn input<T: PrimitiveTensorElementType + Debug>(
        &mut self,
        name: &str,
        tensor: &Tensor<T>,
    ) -> ort::Result<()> {
        self.bind(name, tensor.ptr(), Direction::Input)
    }

    /// Binds a tensor of the host as the output `name`; if the graph writes the output on a device, each run copies it here.
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
        if self.is_recorded() {
            return Err(ort::Error::new(
                "nothing can be bound after a recorded run, which keeps the memory that was bound then",
            ));
        }
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

impl Drop for Binding {
    fn drop(&mut self) {
        self.release();
    }
}

/// Binds `rows` of `buffer`, whose first dimension is the row, both as `input` and as `output`, in place.
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
