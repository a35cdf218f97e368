//! The fuzzer's seeds for the formats of the library.

use ualm_testing::run_seeds;

#[test]
fn seeds_and_damaged_copies_of_them_return() {
    run_seeds(ualm::internal::fuzzing::TARGETS, 40);
}
