//! Devices with memory of their own, and the lock under which each is used.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ort::environment::Environment;

use super::faults;
use crate::provider::Provider;

/// A device with memory of its own, as one provider with its options finds it. All runs and copies on the device hold the
/// lock that the devices of a provider share: providers are not safe for use by several threads at once.
#[derive(Debug)]
pub(crate) struct Device {
    environment: Environment,
    lock: Arc<Mutex<ReportedFaults>>,
    /// The provider as requested.
    provider: String,
    /// True if the provider reports some faults in the log alone.
    logs_faults: bool,
    /// The result of the attention check: true if attention over many positions is right.
    attention: OnceLock<bool>,
    /// The result of the float16 check, with the reason if it failed.
    half: OnceLock<Result<(), String>>,
    /// The error with which the device was lost.
    lost: OnceLock<String>,
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

/// The number of logged faults that calls have returned as errors so far.
#[derive(Debug, Default)]
pub(super) struct ReportedFaults(u64);

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
    /// Creates the device of `provider`, as requested, whose name in ONNX Runtime is `name`; all devices of that name
    /// share `lock`.
    fn new(environment: Environment, provider: String, name: &str, lock: Arc<Mutex<ReportedFaults>>) -> Self {
        Self {
            environment,
            lock,
            provider,
            logs_faults: faults::are_logged_by(name),
            attention: OnceLock::new(),
            half: OnceLock::new(),
            lost: OnceLock::new(),
            uploaded: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
        }
    }

    /// Returns the provider as requested.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// Waits until no other thread uses the device.
    pub(super) fn lock(&self) -> MutexGuard<'_, ReportedFaults> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `work`, which uses the device, while no other thread uses it.
    ///
    /// # Errors
    /// The error of `work`, or a fault that the provider only logged. Once the device is lost, every call fails.
    pub(super) fn with<T>(&self, work: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
        let mut reported = self.lock();
        if let Some(lost) = self.lost() {
            return Err(ort::Error::new(lost));
        }
        let done = work();
        let fault = self.logs_faults.then(|| faults::logged_since(&mut reported.0)).flatten();
        let done = fault.map_or(done, Err);
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
        CopiedBytes {
            uploaded: self.uploaded.load(Ordering::Relaxed),
            downloaded: self.downloaded.load(Ordering::Relaxed),
        }
    }

    pub(super) fn count_upload(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_download(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns whether attention over many positions is right on the device; `check` is called the first time.
    pub(super) fn attends_right(&self, check: impl FnOnce() -> ort::Result<bool>) -> ort::Result<bool> {
        if let Some(is_right) = self.attention.get() {
            return Ok(*is_right);
        }
        let is_right = self.with(check)?;
        Ok(*self.attention.get_or_init(|| is_right))
    }

    /// Checks that the device computes in float16; `check` is called the first time.
    ///
    /// # Errors
    /// The reason why it does not, with the provider as the subject.
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

/// The devices of a process.
#[derive(Debug, Default)]
pub(super) struct Devices(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// The devices, by provider as requested.
    devices: BTreeMap<String, Arc<Device>>,
    /// The locks, by ONNX Runtime's names of the providers.
    locks: BTreeMap<String, Arc<Mutex<ReportedFaults>>>,
}

impl Devices {
    /// Returns the device of `provider`, whose name in ONNX Runtime is `name`. The same provider with other options may
    /// be another device, with the same lock.
    pub(super) fn of(&self, environment: &Environment, provider: &Provider, name: &str) -> Arc<Device> {
        let mut registry = self.lock();
        let lock = Arc::clone(registry.locks.entry(name.to_owned()).or_default());
        let provider = provider.to_string();
        let new = || Arc::new(Device::new(environment.clone(), provider.clone(), name, lock));
        Arc::clone(registry.devices.entry(provider.clone()).or_insert_with(new))
    }

    /// Returns the bytes copied so far, by provider.
    pub(super) fn copied(&self) -> BTreeMap<String, CopiedBytes> {
        self.lock().devices.iter().map(|(provider, device)| (provider.clone(), device.copied())).collect()
    }

    /// Returns the lost devices, by provider, each with its error.
    pub(super) fn lost(&self) -> BTreeMap<String, String> {
        let registry = self.lock();
        let lost = |(provider, device): (&String, &Arc<Device>)| Some((provider.clone(), device.lost()?.to_owned()));
        registry.devices.iter().filter_map(lost).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
