//! Faults of devices, by the words of ONNX Runtime and its providers, which give them no code: memory that has run out,
//! and a device that is lost.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};

/// The beginning of a message by which the WebGPU provider tells of a fault that no call returns: what cannot be allocated
/// is left out together with all work on it, and a run goes on with old numbers.
const LOGGED: &str = "WebGPU device error(";
/// ONNX Runtime's name of the provider that logs them; other files of it have a number after the name.
const LOGGED_BY: &str = "WebGpuExecutionProvider";

/// Words for memory that has run out: of Vulkan, Direct3D, CUDA, ONNX Runtime's arena, and of WebGPU's limits.
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

/// Words for a device that is lost: of WebGPU, Vulkan, Direct3D, and of CUDA, whose process must be started anew after them.
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

/// The faults that were logged.
static FAULTS: Mutex<Logged> = Mutex::new(Logged { count: 0, last: VecDeque::new() });
/// The most faults that are kept. Those that follow from the first one are many.
const KEPT: usize = 64;

struct Logged {
    count: u64,
    last: VecDeque<String>,
}

/// Takes note of `message`, which ONNX Runtime logged, if it tells of a fault.
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

/// Returns the first fault that was logged since the count was `seen`, which becomes the present count.
pub(super) fn logged_since(seen: &mut u64) -> Option<ort::Error> {
    let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    let new = faults.count - std::mem::replace(seen, faults.count);
    let behind = faults.last.len().min(usize::try_from(new).unwrap_or(KEPT));
    let first = faults.last.get(faults.last.len() - behind).filter(|_| behind > 0);
    first.map(ort::Error::new)
}

/// Returns whether the provider that ONNX Runtime calls `name` only logs some faults.
pub(super) fn are_logged_by(name: &str) -> bool {
    name.starts_with(LOGGED_BY)
}

/// Returns whether `error` tells of a device that is lost.
pub(super) fn is_lost(error: &ort::Error) -> bool {
    LOST.iter().any(|words| error.message().contains(words))
}

fn is_out_of_memory(error: &ort::Error) -> bool {
    NO_MEMORY.iter().any(|words| error.message().contains(words))
}

/// Returns the error that `what` failed with `error`: of memory that has run out, of a device that is lost, each with what
/// to do, else of `kind`.
pub(crate) fn explain(what: &str, kind: ErrorKind, error: &ort::Error) -> Error {
    let words = error.message().trim();
    if is_lost(error) {
        let way =
            "the program must be started anew, or run on another provider; a conversation goes on from its record";
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

    /// The first one is told, from which the others follow.
    #[test]
    fn logged_faults_are_told_once() {
        let mut seen = 0;
        logged_since(&mut seen);
        note("a warning");
        assert!(logged_since(&mut seen).is_none());
        for number in 0..3 {
            note(&format!("WebGPU device error(3): number {number}"));
        }
        assert!(logged_since(&mut seen).unwrap().message().contains("number 0"));
        assert!(logged_since(&mut seen).is_none());
        (0..2 * KEPT).for_each(|number| note(&format!("WebGPU device error(2): number {number}")));
        assert!(logged_since(&mut seen).is_some() && logged_since(&mut seen).is_none());
    }
}
