#![no_main]

// a panic of a dependency that becomes an error is not a finding; a panic that is not caught still ends the process
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| ualm::internal::fuzzing::audio(bytes)
);
