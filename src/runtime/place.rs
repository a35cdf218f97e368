//! Where a session wants the tensors of its ports: in memory of the host, or in memory of a device.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::session::Session;
use ort::sys::{OrtMemoryInfo, OrtStatusPtr};

use super::buffer::Buffer;
use super::faults;
use super::moves::Mover;
use crate::provider::Memory;

/// A device that has memory of its own, as one provider with its options finds it. What runs on it or copies to and from
/// it holds the lock of all devices of the provider: providers are not safe for use by several threads at once.
#[derive(Debug)]
pub(crate) struct Device {
    environment: Environment,
    lock: Arc<Mutex<Told>>,
    /// The provider as it was asked for.
    provider: String,
    /// Whether the provider only logs some faults.
    logs_faults: bool,
    /// Whether its attention over many positions is right, once that was checked.
    attention: OnceLock<bool>,
    /// Whether it computes in float16, once that was checked, or the reason why not.
    half: OnceLock<Result<(), String>>,
    /// The sessions that move rows of float32 and of float16; `None` where that fails.
    movers: Mutex<BTreeMap<bool, Option<Arc<Mover>>>>,
    /// The error with which the device was lost.
    lost: OnceLock<String>,
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

/// The number of logged faults of a provider that were told.
#[derive(Debug, Default)]
pub(super) struct Told(u64);

/// Bytes that were copied between the host and a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedBytes {
    /// Bytes copied to the device.
    pub uploaded: u64,
    /// Bytes copied to the host.
    pub downloaded: u64,
}

impl Device {
    /// Creates the device of `provider`, as it was asked for, which ONNX Runtime calls `name`; `lock` is that of all its
    /// devices.
    pub(super) fn new(environment: Environment, provider: &str, name: &str, lock: Arc<Mutex<Told>>) -> Self {
        Self {
            environment,
            lock,
            provider: provider.to_owned(),
            logs_faults: faults::are_logged_by(name),
            attention: OnceLock::new(),
            half: OnceLock::new(),
            movers: Mutex::default(),
            lost: OnceLock::new(),
            uploaded: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
        }
    }

    /// Returns the provider as it was asked for.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns what moves rows of numbers of float16 or of float32, as `load` makes it the first time; `None` if that
    /// fails.
    pub(super) fn mover(&self, is_half: bool, load: impl FnOnce() -> ort::Result<Mover>) -> Option<Arc<Mover>> {
        let mut movers = self.movers.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || {
            let not_loaded = |e: &ort::Error| {
                let (provider, why) = (&self.provider, e.message().trim());
                log::warn!("{provider} does not move rows of a cache on its device, so the host does, slowly: {why}");
            };
            load().inspect_err(not_loaded).ok().map(Arc::new)
        };
        movers.entry(is_half).or_insert_with(load).clone()
    }

    /// Waits until no other thread uses the device.
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `work`, which uses the device, while no other thread uses it.
    ///
    /// # Errors
    /// That of `work`, or a fault that the provider only logged. A device that is lost stays so.
    pub(super) fn with<T>(&self, work: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
        let mut told = self.lock();
        if let Some(lost) = self.lost() {
            return Err(ort::Error::new(lost));
        }
        let done = work();
        let done = match self.logs_faults.then(|| faults::logged_since(&mut told.0)).flatten() {
            None => done,
            Some(fault) => Err(fault),
        };
        done.inspect_err(|e| {
            if faults::is_lost(e) {
                let _ = self.lost.set(e.message().trim().to_owned());
            }
        })
    }

    /// Returns the error with which the device was lost, if it was.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Returns the bytes that were copied so far.
    pub(super) fn copied(&self) -> CopiedBytes {
        let [uploaded, downloaded] = [&self.uploaded, &self.downloaded].map(|bytes| bytes.load(Ordering::Relaxed));
        CopiedBytes { uploaded, downloaded }
    }

    pub(super) fn count_upload(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_download(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns whether its attention over many positions is right, as `check` finds the first time.
    pub(super) fn attends_right(&self, check: impl FnOnce() -> ort::Result<bool>) -> ort::Result<bool> {
        if let Some(is_right) = self.attention.get() {
            return Ok(*is_right);
        }
        let is_right = self.with(check)?;
        Ok(*self.attention.get_or_init(|| is_right))
    }

    /// Returns the reason why it does not compute in float16, if `check` finds so the first time.
    pub(super) fn computes_half(&self, check: impl FnOnce() -> ort::Result<bool>) -> Result<(), String> {
        let find = || match self.with(check) {
            Ok(true) => Ok(()),
            Ok(false) => Err("its float16 was checked and is wrong on this device".to_owned()),
            Err(e) => Err(format!("it does not compute in float16: {}", e.message().trim())),
        };
        self.half.get_or_init(find).clone()
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The place of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Host,
    Device(DeviceMemory),
}

/// Memory of a device, by ONNX Runtime's description of it.
#[derive(Clone, Debug)]
pub(super) struct DeviceMemory {
    /// ONNX Runtime's name of it, such as `WebGPU_Buf`, and the kind of the device.
    name: String,
    /// Valid as long as the session that named it.
    info: NonNull<OrtMemoryInfo>,
    pub device: Arc<Device>,
}

// SAFETY: the description is never changed.
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
    /// Asks `session`, which runs on `device`.
    ///
    /// # Errors
    /// A part of a sentence with the provider as its subject.
    pub fn of(session: &Session, device: &Arc<Device>) -> Result<Self, String> {
        let api = ort::api();
        let inputs = session.inputs().iter().map(|port| port.name().to_owned());
        let outputs = session.outputs().iter().map(|port| port.name().to_owned());
        let untold = |e: ort::Error| format!("it does not tell where its tensors lie: {}", e.message());
        // SAFETY: the session is alive, and the lists have the lengths that are told.
        let (of_inputs, of_outputs) = unsafe {
            (
                list(session.inputs().len(), |list, len| (api.SessionGetMemoryInfoForInputs)(session.ptr(), list, len)),
                list(session.outputs().len(), |list, len| {
                    (api.SessionGetMemoryInfoForOutputs)(session.ptr(), list, len)
                }),
            )
        };
        let infos = of_inputs.map_err(untold)?.into_iter().chain(of_outputs.map_err(untold)?);
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
        let places: BTreeMap<_, _> = places.collect::<Result<_, _>>()?;
        places.iter().try_for_each(|(port, place)| check_copies(session, port, place))?;
        Ok(Self(places))
    }

    /// Returns the place of the port `name`; that of a port without one is the host.
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

/// Checks that numbers can be copied to `place`.
fn check_copies(session: &Session, port: &str, place: &Place) -> Result<(), String> {
    let Place::Device(memory) = place else { return Ok(()) };
    let copied = Buffer::<f32>::new(session, place, &[1]).and_then(|buffer| buffer.upload());
    copied.map_err(|e| {
        let kept = format!("it keeps {port:?} in memory of its own ({})", memory.name);
        format!("{kept}, to which nothing can be copied: {}", e.message().trim())
    })
}

/// Returns the list of `len` descriptions that `get` writes.
///
/// # Safety
/// `get` must write as many pointers as it is told.
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
