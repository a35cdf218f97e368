//! The C library: the C ABI of `ualm` (`include/ualm.h`, which cbindgen generates from this folder). C has no
//! borrows, so most functions here are unsafe.
//!
//! Soundness:
//!
//! - *Handles* ([`handle`]): C holds a share of an `Arc`, and every call takes another one first. So a handle that is
//!   freed during a call (by its callback) lives until the call ends, and related handles may be freed in any order.
//!   Calls see handles by shared reference only; mutable state is behind a lock, and a call during another one fails as
//!   busy. All handles are `Send + Sync`, which the compiler checks.
//! - *A running generation* ([`running`]) borrows its session in Rust. Here it takes the session out of its slot into
//!   one value that holds both; the session goes back when the reply ends or is dropped.
//! - *A stage of a chain* ([`stages`]) runs in a thread that owns the chain meanwhile and passes on one event at a time.
//! - *Arguments* ([`argument`], [`options`]) are checked once, at the entry: NULL, UTF-8, alignment, length, size.
//! - *Views* ([`view`]): what C reads without a call (events, segments, samples) points into memory that its owner
//!   never changes and never moves.
//! - *Panics* ([`boundary`]) end at the entry, as a status.
//!
//! The remaining obligations of the caller are the safety contract at the top of the header, which holds for every
//! function here.

#![allow(unsafe_code, reason = "a call from C is unsafe by its nature")]
#![allow(non_camel_case_types, reason = "the header and the source use the same names")]
#![allow(clippy::missing_safety_doc, reason = "the contract stands once, on top of the header")]
// The library must not panic on any input. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::exit,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod argument;
mod audio;
mod boundary;
#[cfg(feature = "internal")]
mod calls;
mod cancel;
mod chain;
mod checkpoint;
mod codes;
mod conversation;
mod engine;
mod event;
mod generation;
mod handle;
mod limits;
mod model;
mod names;
mod options;
mod prompt;
mod ranking;
mod record;
mod reply;
mod report;
mod running;
mod session;
mod stages;
mod takes;
mod tensor;
mod version;
mod view;

/// Entry points for the fuzzer and the tests of this workspace; no part of the interface.
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod internal {
    pub use crate::calls::calls;
}
