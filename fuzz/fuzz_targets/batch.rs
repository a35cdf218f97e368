#![no_main]

#[path = "../batch_lines.rs"]
#[allow(dead_code)]
mod batch_lines;
#[path = "../../src/bin/ualm/overrides.rs"]
#[allow(dead_code)]
mod overrides;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batch_lines::batch(bytes));
