//! Entry points for the fuzzer and the tests of this workspace; no part of the interface.

mod calls;

pub use calls::calls;
