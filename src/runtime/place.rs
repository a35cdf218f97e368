//! The memory in which a session wants the tensors of its ports: the host's, or a device's.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::Session;
use ort::sys::{OrtMemoryInfo, OrtStatusPtr};

use super::device::Device;
use crate::provider::Memory;

/// The memory that holds a tensor.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Host,
    Device(DeviceMemory),
}

/// Memory of a device, identified by ONNX Runtime's description of it.
#[derive(Clone, Debug)]
pub(super) struct DeviceMemory {
    /// ONNX Runtime's name of the memory, such as `WebGPU_Buf`, and the kind of the device.
    pub name: String,
    /// The description, which is valid as long as the session that returned it.
    info: NonNull<OrtMemoryInfo>,
    pub device: Arc<Device>,
}

// SAFETY: ONNX Runtime never changes the description.
unsafe impl Send for DeviceMemory {}
// SAFETY: as above.
unsafe impl Sync for DeviceMemory {}

impl DeviceMemory {
    pub fn info(&self) -> *const OrtMemoryInfo {
        self.info.as_ptr()
    }
}

/// The places of the inputs and outputs of a session, by name.
#[derive(Debug)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    /// Returns the places of the ports of `session`, which runs on `device`.
    ///
    /// # Errors
    /// A part of a sentence with the provider as its subject.
    pub fn of(session: &Session, device: &Arc<Device>) -> Result<Self, String> {
        let api = ort::api();
        let inputs = session.inputs().iter().map(|port| port.name().to_owned());
        let outputs = session.outputs().iter().map(|port| port.name().to_owned());
        let unknown = |e: ort::Error| format!("it does not report the memory of its tensors: {}", e.message());
        let query = api.SessionGetMemoryInfoForInputs;
        // SAFETY: the session is alive, and `query` writes one pointer for each input.
        let of_inputs = unsafe { list(session.inputs().len(), |list, len| query(session.ptr(), list, len)) };
        let query = api.SessionGetMemoryInfoForOutputs;
        // SAFETY: as above, for outputs.
        let of_outputs = unsafe { list(session.outputs().len(), |list, len| query(session.ptr(), list, len)) };
        let infos = of_inputs.map_err(unknown)?.into_iter().chain(of_outputs.map_err(unknown)?);
        let places = inputs.chain(outputs).zip(infos).map(|(name, info)| {
            // SAFETY: ONNX Runtime wrote the pointer, which is valid as long as the session.
            let memory = unsafe { Memory::of(info.as_ptr()) };
            if memory.is_host() {
                return Ok((name, Place::Host));
            }
            if memory.is_shared {
                return Err(format!("it wants {name:?} in memory shared with the host ({})", memory.name));
            }
            let words = format!("{} of a {:?}", memory.name, memory.device);
            Ok((name, Place::Device(DeviceMemory { name: words, info, device: Arc::clone(device) })))
        });
        Ok(Self(places.collect::<Result<_, _>>()?))
    }

    /// Returns the ports with their places.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Place)> {
        self.0.iter()
    }

    /// Returns the place of the port `name`; the host for a port without an entry.
    pub fn get(&self, name: &str) -> &Place {
        self.0.get(name).unwrap_or(&Place::Host)
    }

    /// Returns whether all ports lie on the device.
    pub fn are_all_on_device(&self) -> bool {
        self.0.values().all(|place| matches!(place, Place::Device(_)))
    }

    /// Returns the device, if any port lies on one.
    pub fn device(&self) -> Option<&Arc<Device>> {
        self.0.values().find_map(|place| match place {
            Place::Host => None,
            Place::Device(memory) => Some(&memory.device),
        })
    }
}

/// Returns the list of `len` descriptions that `get` writes.
///
/// # Safety
/// `get` must write as many pointers as its second argument says.
unsafe fn list(
    len: usize,
    get: impl FnOnce(*mut *const OrtMemoryInfo, usize) -> OrtStatusPtr,
) -> ort::Result<Vec<NonNull<OrtMemoryInfo>>> {
    let mut infos = vec![std::ptr::null(); len];
    // SAFETY: the status is consumed once.
    unsafe { ort::Error::result_from_status(get(infos.as_mut_ptr(), len))? };
    let missing = || ort::Error::new("a tensor without memory");
    infos.into_iter().map(|info| NonNull::new(info.cast_mut()).ok_or_else(missing)).collect()
}
