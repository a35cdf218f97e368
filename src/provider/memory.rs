//! The memory that a graph takes its inputs from and writes its outputs to.

use ort::memory::DeviceType;

/// Memory of the host or of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// ONNX Runtime's name of the memory, such as `Cpu` or `WebGPU_Buf`.
    pub name: String,
    /// The kind of hardware that the memory belongs to.
    pub device: DeviceType,
    /// True for memory that a device shares with the host, in addition to its own memory.
    pub is_shared: bool,
}

impl Memory {
    /// Returns whether ONNX Runtime reads a tensor of the host in place. Otherwise it copies the tensor at the time of binding
    /// and does not see later writes.
    pub fn is_host(&self) -> bool {
        self.device == DeviceType::CPU && !self.is_shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_memory_of_the_cpu_is_the_host_s() {
        let memory = |name: &str, device, is_shared| Memory { name: name.to_owned(), device, is_shared };
        assert!(memory("Cpu", DeviceType::CPU, false).is_host());
        for other in [
            memory("WebGPU_Buf", DeviceType::GPU, false),
            memory("Cuda", DeviceType::GPU, false),
            memory("CudaPinned", DeviceType::GPU, true),
            memory("Cann", DeviceType::NPU, false),
            memory("shared", DeviceType::CPU, true),
        ] {
            assert!(!other.is_host(), "{other:?}");
        }
    }
}
