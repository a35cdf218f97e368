//! The fuzzer's seeds for batches and for request bodies.

use ualm_testing::run_seeds;

#[test]
fn seeds_and_damaged_copies_of_them_return() {
    run_seeds(ualm_cli::internal::TARGETS, 40);
}
