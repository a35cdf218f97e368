#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ualm_cli::internal::base64(bytes));
