//! Tensors that the host writes and graphs read. A graph on the host reads the host's tensor; a graph on a device reads a
//! tensor of the device, to which the host's numbers are copied before a run.

#![allow(unsafe_code)]

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use ort::AsPointer;
use ort::memory::Allocator;
use ort::session::{Session, SharedSessionInner};
use ort::sys::{OrtAllocator, OrtValue};
use ort::value::{PrimitiveTensorElementType, Shape, Tensor};

use super::binding::{Binding, Direction};
use super::device::Device;
use super::place::{DeviceMemory, Place, Places};

/// A tensor of the host, with its counterpart on a device where the session wants one.
pub(crate) struct Buffer<T: PrimitiveTensorElementType + Debug> {
    host: Tensor<T>,
    device: Option<DeviceTensor<T>>,
}

impl<T: PrimitiveTensorElementType + Debug + Clone + 'static> Buffer<T> {
    /// Allocates a tensor of `shape` at `place`, a place of `session`.
    pub(super) fn new(session: &Session, place: &Place, shape: &[usize]) -> ort::Result<Self> {
        let device = match place {
            Place::Host => None,
            Place::Device(memory) => Some(DeviceTensor::new(session, memory, shape)?),
        };
        Ok(Self { host: on_host(shape)?, device })
    }

    /// Allocates a tensor of `shape` on the host alone.
    pub(crate) fn on_host(shape: &[usize]) -> ort::Result<Self> {
        Ok(Self { host: on_host(shape)?, device: None })
    }

    /// Returns the host's numbers.
    pub(crate) fn numbers(&self) -> &[T] {
        self.host.extract_tensor().1
    }

    /// Returns the host's numbers, to be written and then [uploaded](Self::upload).
    pub(crate) fn numbers_mut(&mut self) -> &mut [T] {
        self.host.extract_tensor_mut().1
    }

    /// Returns whether graphs read the numbers on the host.
    pub(crate) fn is_on_host(&self) -> bool {
        self.device.is_none()
    }

    /// Copies the host's numbers to the device; does nothing where graphs read them on the host.
    pub(crate) fn upload(&self) -> ort::Result<()> {
        match &self.device {
            None => Ok(()),
            Some(tensor) => tensor.upload(&self.host),
        }
    }

    /// Copies the numbers that a graph wrote on the device to the host; does nothing where the graph wrote them there.
    pub(crate) fn download(&mut self) -> ort::Result<()> {
        match &self.device {
            None => Ok(()),
            Some(tensor) => tensor.download_to(&mut self.host),
        }
    }

    /// Binds the numbers as the input `name`.
    pub(crate) fn bind_input(&self, binding: &mut Binding, name: &str) -> ort::Result<()> {
        match &self.device {
            None => binding.input(name, &self.host),
            Some(tensor) => tensor.bind(binding, name, Direction::Input),
        }
    }

    /// Binds the numbers as the output `name` of a graph that writes to `place`. Returns whether the graph writes them where
    /// other graphs read them; if not, they arrive on the host and must be uploaded.
    pub(super) fn bind_output(&mut self, binding: &mut Binding, name: &str, place: &Place) -> ort::Result<bool> {
        match (&self.device, place) {
            (Some(tensor), Place::Device(memory)) if tensor.is_in(memory)? => {
                tensor.bind(binding, name, Direction::Output)?;
                Ok(true)
            }
            (device, _) => {
                let is_on_host = device.is_none();
                binding.output(name, &mut self.host)?;
                Ok(is_on_host)
            }
        }
    }
}

/// Checks that numbers can be copied to every place in `places`, those of `session`.
///
/// # Errors
/// A part of a sentence with the provider as its subject.
pub(super) fn check_copies(session: &Session, places: &Places) -> Result<(), String> {
    for (port, place) in places.iter() {
        let Place::Device(memory) = place else { continue };
        let copied = Buffer::<f32>::new(session, place, &[1]).and_then(|buffer| buffer.upload());
        copied.map_err(|e| {
            let kept = format!("it keeps {port:?} in memory of its own ({})", memory.name);
            format!("{kept}, to which nothing can be copied: {}", e.message().trim())
        })?;
    }
    Ok(())
}

fn on_host<T: PrimitiveTensorElementType + Debug>(shape: &[usize]) -> ort::Result<Tensor<T>> {
    Tensor::new(&Allocator::default(), Shape::new(shape.iter().map(|size| *size as i64)))
}

/// A tensor in memory of a device.
pub(crate) struct DeviceTensor<T> {
    value: NonNull<OrtValue>,
    /// The allocator of the memory, which must outlive the tensor.
    allocator: NonNull<OrtAllocator>,
    device: Arc<Device>,
    shape: Vec<usize>,
    element: PhantomData<T>,
    /// The session of the allocator, which must outlive it.
    _session: Arc<SharedSessionInner>,
}

// SAFETY: ONNX Runtime's values may be used by any thread; all uses of the memory hold the device's lock.
unsafe impl<T> Send for DeviceTensor<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for DeviceTensor<T> {}

impl<T: PrimitiveTensorElementType + Debug + Clone + 'static> DeviceTensor<T> {
    /// Allocates a tensor in `memory`, a place of `session`.
    pub(super) fn new(session: &Session, memory: &DeviceMemory, shape: &[usize]) -> ort::Result<Self> {
        let dimensions: Vec<_> = shape.iter().map(|size| *size as i64).collect();
        let api = ort::api();
        let mut allocator = null_mut();
        // SAFETY: the session is alive, and with it the description of its memory; each status is consumed once.
        memory.device.with(|| unsafe {
            let status = (api.CreateAllocator)(session.ptr(), memory.info(), &mut allocator);
            ort::Error::result_from_status(status)
        })?;
        let allocator = NonNull::new(allocator).ok_or_else(|| ort::Error::new("no allocator"))?;
        let mut value = null_mut();
        let element = T::into_tensor_element_type().into();
        // SAFETY: the allocator is valid; the shape has the length that is passed.
        let made = memory.device.with(|| unsafe {
            let status = (api.CreateTensorAsOrtValue)(
                allocator.as_ptr(),
                dimensions.as_ptr(),
                dimensions.len(),
                element,
                &mut value,
            );
            ort::Error::result_from_status(status)
        });
        let Some(value) = NonNull::new(value) else {
            // SAFETY: nothing uses the allocator.
            unsafe { (api.ReleaseAllocator)(allocator.as_ptr()) };
            return made.and_then(|()| Err(ort::Error::new("no tensor")));
        };
        // after a fault that was only logged the value is leaked: its buffer has no memory, and the allocator would hand it
        // out again as the next one of its size
        made?;
        Ok(Self {
            value,
            allocator,
            device: Arc::clone(&memory.device),
            shape: shape.to_vec(),
            element: PhantomData,
            _session: session.inner(),
        })
    }

    /// Copies the numbers of `host`, which has the same shape, to the device.
    pub(crate) fn upload(&self, host: &Tensor<T>) -> ort::Result<()> {
        self.device.count_upload(self.bytes());
        self.copy(host.ptr(), self.value.as_ptr())
    }

    /// Returns the numbers in a tensor of the host.
    pub(crate) fn download(&self) -> ort::Result<Tensor<T>> {
        let mut host = on_host(&self.shape)?;
        self.download_to(&mut host)?;
        Ok(host)
    }

    /// Copies the numbers to `host`, which has the same shape.
    fn download_to(&self, host: &mut Tensor<T>) -> ort::Result<()> {
        self.device.count_download(self.bytes());
        self.copy(self.value.as_ptr(), host.ptr())
    }

    fn copy(&self, from: *const OrtValue, to: *const OrtValue) -> ort::Result<()> {
        let mut to = to;
        let environment = self.device.environment().ptr().cast_mut();
        // SAFETY: both values are alive and of one shape and type; the status is consumed once.
        self.device.with(|| unsafe {
            let status = (ort::api().CopyTensors)(environment, &from, &mut to, null_mut(), 1);
            ort::Error::result_from_status(status)
        })
    }

    fn bytes(&self) -> u64 {
        (self.len() * size_of::<T>()) as u64
    }

    fn is_in(&self, memory: &DeviceMemory) -> ort::Result<bool> {
        let api = ort::api();
        let mut info = null();
        let mut order = 0;
        // SAFETY: the value is alive, and with it its description; each status is consumed once.
        unsafe {
            ort::Error::result_from_status((api.GetTensorMemoryInfo)(self.value.as_ptr(), &mut info))?;
            ort::Error::result_from_status((api.CompareMemoryInfo)(info, memory.info(), &mut order))?;
        }
        Ok(order == 0)
    }

    fn bind(&self, binding: &mut Binding, name: &str, direction: Direction) -> ort::Result<()> {
        binding.bind(name, self.value.as_ptr(), direction)
    }

    /// Returns the number of elements.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Binds the first `rows` rows both as `input` and as `output`, in place.
    ///
    /// # Safety
    /// `binding` must not be run after this tensor is dropped.
    pub(crate) unsafe fn bind_first_rows(
        &self,
        binding: &mut Binding,
        [input, output]: [&str; 2],
        rows: usize,
    ) -> ort::Result<()> {
        let [all, of_row @ ..] = &self.shape[..] else {
            return Err(ort::Error::new("cannot bind rows of a tensor without rows"));
        };
        if rows > *all {
            return Err(ort::Error::new(format!("cannot bind {rows} rows of {all}")));
        }
        let shape: Vec<_> = std::iter::once(rows).chain(of_row.iter().copied()).collect();
        // SAFETY: the caller does not run the binding after this tensor is dropped.
        unsafe { self.bind_as(binding, &[input], &[output], &shape) }
    }

    /// Binds the first elements as tensors of `shape`, in place.
    ///
    /// # Safety
    /// `binding` must not be run after this tensor is dropped.
    pub(super) unsafe fn bind_as(
        &self,
        binding: &mut Binding,
        inputs: &[&str],
        outputs: &[&str],
        shape: &[usize],
    ) -> ort::Result<()> {
        let len: usize = shape.iter().product();
        if len > self.len() {
            return Err(ort::Error::new(format!("cannot bind {len} numbers of {}", self.len())));
        }
        let shape: Vec<_> = shape.iter().map(|size| *size as i64).collect();
        let bytes = len * size_of::<T>();
        let api = ort::api();
        let mut info = null();
        let mut data = null_mut();
        let mut view = null_mut();
        // SAFETY: the value is alive. The view begins where the value begins and is not larger. The view is released here;
        // the binding, which the caller does not run after this tensor is dropped, keeps a reference of its own.
        unsafe {
            ort::Error::result_from_status((api.GetTensorMemoryInfo)(self.value.as_ptr(), &mut info))?;
            ort::Error::result_from_status((api.GetTensorMutableData)(self.value.as_ptr(), &mut data))?;
            let element = T::into_tensor_element_type().into();
            let status = (api.CreateTensorWithDataAsOrtValue)(
                info,
                data,
                bytes,
                shape.as_ptr(),
                shape.len(),
                element,
                &mut view,
            );
            ort::Error::result_from_status(status)?;
            let inputs = inputs.iter().map(|name| (name, Direction::Input));
            let outputs = outputs.iter().map(|name| (name, Direction::Output));
            let bound = inputs.chain(outputs).try_for_each(|(name, direction)| binding.bind(name, view, direction));
            (api.ReleaseValue)(view);
            bound
        }
    }
}

impl<T> Drop for DeviceTensor<T> {
    fn drop(&mut self) {
        let _using = self.device.lock();
        let api = ort::api();
        // SAFETY: both are released once, the tensor before its allocator.
        unsafe {
            (api.ReleaseValue)(self.value.as_ptr());
            (api.ReleaseAllocator)(self.allocator.as_ptr());
        }
    }
}
