//! The C library: its header, its binary interface, and programs that use it.

mod abi;
mod header;
#[cfg(unix)]
mod installed;
mod languages;
#[cfg(feature = "internal")]
mod seeds;
