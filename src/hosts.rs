//! Refuses processors that this crate does not support: weights, recordings and codes are read in place as little-endian
//! numbers, and package sizes exceed 32 bits. `scripts/check_targets.py` checks this file.

#[cfg(target_endian = "big")]
compile_error!("ualm does not run on big-endian processors: its models' weights are little-endian");

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "ualm needs a 64-bit processor and system: there is no ONNX Runtime for others, and models are too large for them"
);
