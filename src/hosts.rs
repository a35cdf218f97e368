//! The processors that this crate can be built for: weights, recordings and codes are read as little-endian numbers where they lie,
//! and sizes of packages do not fit into 32 bits. `scripts/check_targets.py` holds this file against processors that it refuses.

#[cfg(target_endian = "big")]
compile_error!("ualm does not run on big-endian processors: its models' weights are little-endian");

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "ualm needs a 64-bit processor and system: there is no ONNX Runtime for others, and models are too large for them"
);
