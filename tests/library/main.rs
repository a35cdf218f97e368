//! The library as a Rust program uses it.

mod audio;
mod chains;
mod default_package;
mod engine;
mod numbers;
mod packages;
mod reference;
mod resume;
#[cfg(feature = "internal")]
mod seeds;
mod sources;
