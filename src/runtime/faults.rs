//! Faults of devices: memory that has run out, and a device that is lost. ONNX Runtime and its providers give these faults no
//! code, so that they are recognized by the words of the message.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};

/// The beginning of a message by which the WebGPU provider logs a fault that no call returns: a tensor that cannot be
/// allocated is skipped with all work on it, and the run continues with old numbers.
const LOGGED: &str = "WebGPU device error(";
/// The beginning of ONNX Runtime's name of the provider that logs them; a second plugin of it has a number after the name.
const LOGGED_BY: &str = "WebGpuExecutionProvider";

/// Words for memory that has run out, from Vulkan, Direct3D, CUDA, ONNX Runtime's arena and WebGPU's limits.
const NO_MEMORY: [&str; 10] = [
    "WebGPU device error(3)",
    "OUT_OF_DEVICE_MEMORY",
    "OUT_OF_HOST_MEMORY",
    "OUTOFMEMORY",
    "out of memory",
    "ALLOC_FAILED",
    "Failed to allocate memory",
    "smaller than requested bytes",
    "exceeds the max",
    "larger than the maximum",
];

/// Words for a device that is lost, from WebGPU, Vulkan, Direct3D, and CUDA, which needs a new process after such an error.
const LOST: [&str; 10] = [
    "[Device] is lost",
    "DEVICE_LOST",
    "Device lost",
    "DEVICE_REMOVED",
    "DEVICE_HUNG",
    "DEVICE_RESET",
    "illegal memory access",
    "unspecified launch failure",
    "device-side assert",
    "uncorrectable ECC error",
];

/// The logged faults.
static FAULTS: Mutex<Logged> = Mutex::new(Logged { count: 0, last: VecDeque::new() });
/// The maximum number of faults that are kept: many follow from the first one.
const KEPT: usize = 64;

/// The faults of a process.
struct Logged {
    /// The number of faults so far.
    count: u64,
    /// The messages of the last [`KEPT`] faults.
    last: VecDeque<String>,
}

/// Records `message`, which ONNX Runtime logged, if it reports a fault.
pub(super) fn note(message: &str) {
    if message.starts_with(LOGGED) {
        let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
        faults.count += 1;
        faults.last.push_back(message.trim().to_owned());
        if faults.last.len() > KEPT {
            faults.last.pop_front();
        }
    }
}

/// Returns the first fault that was logged since the count was `seen`, and sets `seen` to the current count.
pub(super) fn logged_since(seen: &mut u64) -> Option<ort::Error> {
    let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    let new = faults.count - std::mem::replace(seen, faults.count);
    let behind = faults.last.len().min(usize::try_from(new).unwrap_or(KEPT));
    let first = faults.last.get(faults.last.len() - behind).filter(|_| behind > 0);
    first.map(ort::Error::new)
}

/// Returns whether the provider whose name in ONNX Runtime is `name` reports some faults in the log alone.
pub(super) fn are_logged_by(name: &str) -> bool {
    name.starts_with(LOGGED_BY)
}

/// Returns whether `error` says that a device is lost.
pub(super) fn is_lost(error: &ort::Error) -> bool {
    LOST.iter().any(|words| error.message().contains(words))
}

fn is_out_of_memory(error: &ort::Error) -> bool {
    NO_MEMORY.iter().any(|words| error.message().contains(words))
}

/// Returns the error that `what` failed with `error`: [`ErrorKind::Limit`] for memory that has run out and
/// [`ErrorKind::Provider`] for a device that is lost, each with the remedy, else `kind`.
pub(crate) fn explain(what: &str, kind: ErrorKind, error: &ort::Error) -> Error {
    let words = error.message().trim();
    if is_lost(error) {
        let way = "restart the program, or run it on another provider; a conversation can be resumed from its record";
        return Error::new(ErrorKind::Provider, format!("{what}: the device is lost: {way}: {words}"));
    }
    if is_out_of_memory(error) {
        let way = "ask for fewer steps, a shorter prompt, a smaller context or fewer slots, or for another provider";
        return Error::new(ErrorKind::Limit, format!("{what}: there is no memory left: {way}: {words}"));
    }
    Error::new(kind, format!("{what}: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_other_errors() {
        let kind = |words: &str| explain("the graph llm failed", ErrorKind::Graph, &ort::Error::new(words)).kind();
        for (words, expected) in [
            ("Failed to download data from buffer. Status: 4, message: [Device] is lost.", ErrorKind::Provider),
            ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", ErrorKind::Provider),
            ("WebGPU device error(3): vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY", ErrorKind::Limit),
            ("CUDA failure 2: out of memory ; GPU=0", ErrorKind::Limit),
            ("Failed to allocate memory for requested buffer of size 17179869184", ErrorKind::Limit),
            ("the shapes do not fit", ErrorKind::Graph),
        ] {
            assert_eq!(kind(words), expected, "{words}");
        }
    }

    /// Of several faults the first is returned, which the others follow from.
    #[test]
    fn logged_faults_are_returned_once() {
        let mut seen = 0;
        logged_since(&mut seen);
        note("a warning");
        assert!(logged_since(&mut seen).is_none());
        for number in 0..3 {
            note(&format!("WebGPU device error(3): number {number}"));
        }
        assert!(logged_since(&mut seen).unwrap().message().contains("number 0"));
        assert!(logged_since(&mut seen).is_none());
        for number in 0..2 * KEPT {
            note(&format!("WebGPU device error(2): number {number}"));
        }
        assert!(logged_since(&mut seen).is_some() && logged_since(&mut seen).is_none());
    }
}
