//! Skipping of tests in a fresh clone, which has neither the fixtures nor ONNX Runtime's library.

use std::cell::Cell;
use std::env::var_os;
use std::io::Write;
use std::thread;

use crate::root;

/// The requirement of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// ONNX Runtime's library.
    Library,
    /// The fixtures, and ONNX Runtime's library.
    Fixtures,
}

impl Need {
    /// Describes the missing files, with the way to get them.
    fn missing(self) -> Option<&'static str> {
        if ualm::internal::find_library(None).is_err() {
            return Some("ONNX Runtime's library is missing; run `make library`");
        }
        // the exporter writes the stamp last
        let is_exported = self == Self::Library || root().join("target/fixtures/stamp").is_file();
        (!is_exported).then_some("the fixtures are missing; run `make fixtures`")
    }
}

thread_local! {
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Checks whether the test of this thread has to be skipped, and says so on standard error, past libtest's capture.
///
/// # Panics
/// If something is missing although `UALM_REQUIRE_FIXTURES` is set, as `make` sets it.
pub fn is_skipped(need: Need) -> bool {
    let Some(missing) = need.missing() else { return false };
    assert!(var_os("UALM_REQUIRE_FIXTURES").is_none(), "{missing}");
    // a property test calls this function for each of its cases
    if !IS_TOLD.replace(true) {
        let thread = thread::current();
        let _ = writeln!(std::io::stderr(), "skipped {}: {missing}", thread.name().unwrap_or("a test"));
    }
    true
}

/// Ends the test as skipped if the fixtures or ONNX Runtime's library are missing.
#[macro_export]
macro_rules! skip_without_fixtures {
    () => {
        if $crate::is_skipped($crate::Need::Fixtures) {
            return;
        }
    };
}

/// Ends the test as skipped if ONNX Runtime's library is missing.
#[macro_export]
macro_rules! skip_without_library {
    () => {
        if $crate::is_skipped($crate::Need::Library) {
            return;
        }
    };
}
