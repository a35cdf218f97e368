//! Queries of ONNX Runtime that `ort` does not expose yet: the provider of each node, the description of memory, and the
//! metadata of a device.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::device::Device;
use ort::session::Session;
use ort::sys::{OrtDeviceMemoryType, OrtMemoryInfo, OrtMemoryInfoDeviceType, OrtStatusPtr};

use super::memory::Memory;

/// The option that makes a session record the provider of each node; to be set to 1.
pub(crate) const RECORD_PLACEMENT: &str = "session.record_ep_graph_assignment_info";

/// Returns the provider and operator of every node of `session`, which must be built with [`RECORD_PLACEMENT`].
pub(crate) fn nodes_by_provider(session: &Session) -> Vec<(String, String)> {
    let api = ort::api();
    let mut nodes = Vec::new();
    // SAFETY: the session is alive, and its data, which live as long as the session, are copied here.
    unsafe {
        let subgraphs = list(|start, count| (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), start, count));
        for subgraph in subgraphs {
            let provider = text(|out| (api.EpAssignedSubgraph_GetEpName)(subgraph, out));
            for node in list(|start, count| (api.EpAssignedSubgraph_GetNodes)(subgraph, start, count)) {
                nodes.push((provider.clone(), text(|out| (api.EpAssignedNode_GetOperatorType)(node, out))));
            }
        }
    }
    nodes
}

impl Memory {
    /// Returns the description of `info`.
    ///
    /// # Safety
    /// `info` must be valid.
    pub(crate) unsafe fn of(info: *const OrtMemoryInfo) -> Self {
        let api = ort::api();
        let mut device = OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU;
        // SAFETY: `info` is valid; so is its name, which is copied.
        unsafe {
            (api.MemoryInfoGetDeviceType)(info, &mut device);
            let is_shared =
                (api.MemoryInfoGetDeviceMemType)(info) == OrtDeviceMemoryType::OrtDeviceMemoryType_HOST_ACCESSIBLE;
            Self { name: text(|out| (api.MemoryInfoGetName)(info, out)), device: device.into(), is_shared }
        }
    }
}

/// Returns an item of a device's metadata, such as `version` or `library_path` of its plugin.
pub(crate) fn metadata(device: &Device<'_>, wanted: &str) -> Option<String> {
    let api = ort::api();
    // SAFETY: the device, and hence its list of pairs, is alive; ONNX Runtime sets the length of the list.
    unsafe {
        let pairs = (api.EpDevice_EpMetadata)(device.ptr());
        if pairs.is_null() {
            return None;
        }
        let mut keys = ptr::null();
        let mut values = ptr::null();
        let mut count = 0;
        (api.GetKeyValuePairs)(pairs, &mut keys, &mut values, &mut count);
        (0..count).find(|i| copied(*keys.add(*i)) == wanted).map(|i| copied(*values.add(i)))
    }
}

/// Returns a copy of the list from `get`, or an empty list if `get` fails.
///
/// # Safety
/// `get` must set a pointer that is NULL or valid for the count of values that it sets.
unsafe fn list<T: Copy>(get: impl FnOnce(*mut *const T, *mut usize) -> OrtStatusPtr) -> Vec<T> {
    let mut start = ptr::null();
    let mut count = 0;
    // SAFETY: the status is consumed once; the caller ensures that the values are valid.
    unsafe {
        match ort::Error::result_from_status(get(&mut start, &mut count)) {
            Ok(()) if !start.is_null() => std::slice::from_raw_parts(start, count).to_vec(),
            _ => Vec::new(),
        }
    }
}

/// Returns a copy of the text from `get`, or an empty text if `get` fails.
///
/// # Safety
/// `get` must set a pointer that is NULL or points to a NUL-terminated string.
unsafe fn text(get: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> String {
    let mut start = ptr::null();
    // SAFETY: the status is consumed once; the caller ensures that the text is valid.
    unsafe {
        match ort::Error::result_from_status(get(&mut start)) {
            Ok(()) => copied(start),
            Err(_) => String::new(),
        }
    }
}

/// Returns a copy of the string at `start`, empty for NULL.
///
/// # Safety
/// `start` must be NULL or point to a NUL-terminated string.
unsafe fn copied(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: `start` is not NULL, so that it points to a NUL-terminated string.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
}
