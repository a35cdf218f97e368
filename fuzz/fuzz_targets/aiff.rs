#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ualm::internal::fuzzing::aiff(bytes));
