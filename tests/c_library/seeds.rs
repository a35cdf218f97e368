//! The fuzzer's seeds for sequences of calls.

use ualm_testing::{run_seeds, skip_without_fixtures};

#[test]
fn seeds_and_damaged_copies_of_them_return() {
    skip_without_fixtures!();
    run_seeds(&[("calls", ualm_capi::internal::calls)], 10);
}
