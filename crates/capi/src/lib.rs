//! The C library: the C ABI of `ualm` (`include/ualm.h`, which cbindgen generates from this folder). C has no
//! borrow checker, so most functions here are unsafe.
//!
//! Soundness:
//!
//! - *Handles* (`handle`): a handle in C is an `Arc`, and every call clones it first. So a handle that is freed during
//!   a call (by its callback) lives until the call ends, and related handles may be freed in any order. Calls access
//!   handles by shared reference only; mutable state is behind a lock, and a call that finds the lock taken fails with
//!   UALM_STATUS_BUSY. All handles are `Send + Sync`, which the compiler checks.
//! - *A running generation* (`running`) borrows its session in Rust. Here it moves the session out of its slot into
//!   one value that holds both, and moves the session back at the end of the reply, or when the generation is dropped.
//! - *A stage of a chain* (`stages`) runs on a thread that owns the chain for that time and passes on one event at a time.
//! - *Arguments* (`argument`, `sized`) are checked once, at the entry: NULL, UTF-8, alignment, length, size.
//! - *Views* (`view`): structs that C reads without a call (events, segments, samples) point into memory that their
//!   owner never changes and never moves.
//! - *Panics* (`boundary`) are caught at the entry and become a status.
//!
//! The remaining obligations of the caller are the safety contract at the top of the header, which holds for every
//! function here.

#![allow(unsafe_code, reason = "calls from C are inherently unsafe")]
#![allow(non_camel_case_types, reason = "the header and the source use the same names")]
#![allow(clippy::missing_safety_doc, reason = "the contract is stated once, at the top of the header")]
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
mod cancel;
mod chain;
mod checkpoint;
mod codes;
mod conversation;
mod converse;
mod engine;
mod event;
mod generation;
mod generation_options;
mod handle;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod internal;
mod limits;
mod model;
mod names;
mod prompt;
mod ranking;
mod record;
mod reply;
mod report;
mod running;
mod runtime_options;
mod session;
mod sized;
mod stages;
mod takes;
mod tensor;
mod version;
mod view;
