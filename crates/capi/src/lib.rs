//! The C library: the C ABI of `ualm` (`include/ualm.h`, which cbindgen generates from this folder). C has no
//! borrows, so most functions here are unsafe.
//!
//! Soundness:
//!
//! - *Handles* ([`handle`]): what C holds is an `Arc`, and every call takes a share of it first. So a handle that is
//!   freed in the midst of a call (by its callback) lives until the call ends, and what belongs together may be freed
//!   in any order. Calls see handles by shared reference only; what changes lies behind a lock, and a call that comes
//!   in between another one is told that the handle is busy. All handles are `Send + Sync`, which the compiler checks.
//! - *A reply in the making* ([`running`]) borrows its session in Rust. Here it takes the session out of its slot into
//!   one value that holds both; the session goes back when the reply is finished or given up.
//! - *A stage of a chain* ([`stages`]) runs in a thread that owns the chain meanwhile and hands over one event at a time.
//! - *Arguments* ([`argument`], [`sized`]) are looked at once, at the entry: NULL, UTF-8, alignment, length, size.
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
mod converse;
mod engine;
mod event;
mod generation;
mod generation_options;
mod handle;
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

/// Entry points for the fuzzer and the tests of this workspace; no part of the interface.
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod internal {
    pub use crate::calls::calls;
}
