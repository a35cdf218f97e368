#![no_main]

// a panic of the decoder becomes an error, as in `audio`
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| ualm::internal::fuzzing::opus(bytes)
);
