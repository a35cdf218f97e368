//! Questions to ONNX Runtime that `ort` does not ask yet: which provider took which nodes, which memory a graph takes its
//! inputs from, and what a device says of itself.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::device::Device;
use ort::session::Session;
use ort::sys::{OrtDeviceMemoryType, OrtMemoryInfo, OrtMemoryInfoDeviceType, OrtStatusPtr};

use super::memory::Memory;

/// The session's option that makes it remember, to be set to 1.
pub(crate) const RECORD_PLACEMENT: &str = "session.record_ep_graph_assignment_info";

/// Provider and operator of every node of `session`, which was built with [`RECORD_PLACEMENT`].
pub(crate) fn nodes_by_provider(session: &Session) -> Vec<(String, String)> {
    let api = ort::api();
    let mut nodes = Vec::new();
    // SAFETY: the session lives; what it gives out lives as long as it does, and is copied here.
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

/// Returns the memory that `session` takes each of its inputs from, with the input's name.
pub(crate) fn input_memory(session: &Session) -> ort::Result<Vec<(String, Memory)>> {
    let mut infos = vec![ptr::null(); session.inputs().len()];
    // SAFETY: the session lives, the list is as long as is said, and the status is fresh and read once.
    unsafe {
        let status = (ort::api().SessionGetMemoryInfoForInputs)(session.ptr(), infos.as_mut_ptr(), infos.len());
        ort::Error::result_from_status(status)?;
    }
    if infos.iter().any(|info| info.is_null()) {
        return Err(ort::Error::new("an input without memory"));
    }
    let names = session.inputs().iter().map(|input| input.name().to_owned());
    // SAFETY: ONNX Runtime wrote all of them, and they live as long as the session.
    Ok(names.zip(infos.into_iter().map(|info| unsafe { memory(info) })).collect())
}

/// # Safety
/// `info` is alive.
unsafe fn memory(info: *const OrtMemoryInfo) -> Memory {
    let api = ort::api();
    let mut device = OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU;
    // SAFETY: the contract is the same; the name lives as long, and is copied.
    unsafe {
        (api.MemoryInfoGetDeviceType)(info, &mut device);
        let is_shared =
            (api.MemoryInfoGetDeviceMemType)(info) == OrtDeviceMemoryType::OrtDeviceMemoryType_HOST_ACCESSIBLE;
        Memory { name: text(|out| (api.MemoryInfoGetName)(info, out)), device: device.into(), is_shared }
    }
}

/// What a device says of itself, such as `version` and `library_path` of its plugin.
pub(crate) fn metadata(device: &Device<'_>, wanted: &str) -> Option<String> {
    let api = ort::api();
    // SAFETY: the device lives, and with it its list of pairs, whose lengths ONNX Runtime tells.
    unsafe {
        let pairs = (api.EpDevice_EpMetadata)(device.ptr());
        if pairs.is_null() {
            return None;
        }
        let (mut keys, mut values, mut count) = (ptr::null(), ptr::null(), 0);
        (api.GetKeyValuePairs)(pairs, &mut keys, &mut values, &mut count);
        (0..count).find(|i| copied(*keys.add(*i)) == wanted).map(|i| copied(*values.add(i)))
    }
}

/// The list that `get` gives; empty when it fails.
///
/// # Safety
/// `get` gives a pointer to as many values as it says.
unsafe fn list<T: Copy>(get: impl FnOnce(*mut *const T, *mut usize) -> OrtStatusPtr) -> Vec<T> {
    let (mut start, mut count) = (ptr::null(), 0);
    // SAFETY: a status is given away once; the values are there by contract.
    unsafe {
        match ort::Error::result_from_status(get(&mut start, &mut count)) {
            Ok(()) if !start.is_null() => std::slice::from_raw_parts(start, count).to_vec(),
            _ => Vec::new(),
        }
    }
}

/// The text that `get` gives; empty when it fails.
///
/// # Safety
/// `get` gives a pointer to a text that ends with a NUL.
unsafe fn text(get: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> String {
    let mut start = ptr::null();
    // SAFETY: a status is given away once; the text is there by contract.
    unsafe {
        match ort::Error::result_from_status(get(&mut start)) {
            Ok(()) => copied(start),
            Err(_) => String::new(),
        }
    }
}

/// # Safety
/// `start` is NULL or a text that ends with a NUL.
unsafe fn copied(start: *const c_char) -> String {
    match start.is_null() {
        true => String::new(),
        // SAFETY: the contract is the same.
        false => unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned(),
    }
}
