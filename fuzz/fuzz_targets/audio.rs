#![no_main]

// a panic of a crate that is caught and becomes an error is no find; one that comes through still ends the process
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| ualm::internal::fuzzing::audio(bytes)
);
