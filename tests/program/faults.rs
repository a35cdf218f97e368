//! Faults of the machine: memory runs out, files vanish after they were checked.

use std::fs;

use tempfile::TempDir;
use ualm::audio::{WavFormat, Waveform, write_wav};
use ualm::{ErrorKind, Message, Modality, Model, Package, RuntimeOptions};
use ualm_testing::{copied_package, root, skip_without_fixtures, skip_without_library};

/// Limits the address space, from too little for ONNX Runtime's library on. Memory must run out with an error, except
/// where an allocation of Rust fails, which aborts with a message, or the C library can load nothing more.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_is_an_error() {
    skip_without_library!();
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    let folder = TempDir::new().unwrap();
    let recording = folder.path().join("half-a-minute.wav");
    let sound = Waveform::mono((0..480_000).map(|n| (n as f32 * 0.05).sin() * 0.3).collect(), 16_000).unwrap();
    write_wav(&recording, &sound, WavFormat::Pcm16).unwrap();
    let mut refused = 0;
    for megabytes in (220..=300).step_by(20) {
        let script = format!("ulimit -v {}; exec \"$@\"", megabytes * 1024);
        let mut bash = Command::new("bash");
        bash.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_ualm"), "ask"]).arg(&recording);
        bash.args(["--threads", "1", "--max-steps", "3"]);
        let output = bash.env("UALM_MODEL", root().join("onnx/default")).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                refused += usize::from(words.contains("failed: ") || words.contains("bad_alloc"));
                assert!(words.contains("error: "), "{megabytes} MiB: {words}");
            }
            code => {
                let has_none = ["memory allocation of", "libgcc_s.so.1 must be installed", "cannot allocate memory"];
                let is_explained = has_none.iter().any(|explanation| words.contains(explanation));
                assert!(
                    is_explained && (code == Some(127) || output.status.signal() == Some(6)),
                    "{megabytes} MiB: {code:?}, {words}"
                );
            }
        }
    }
    assert!(refused > 0, "ONNX Runtime never ran out of memory");
}

#[test]
fn package_files_that_vanish_after_the_check_are_an_error() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    for name in ["llm.onnx", "llm.onnx.data", "tokenizer.json"] {
        let copy = copied_package("synthetic-fp32", &folder.path().join(name));
        let opened = Package::open(&copy).unwrap();
        fs::remove_file(copy.join(name)).unwrap();
        let error = Model::from_package(opened, &RuntimeOptions::default()).err().expect("a file is missing");
        assert!(error.to_string().contains(name.trim_end_matches(".data")), "{error}");
        assert!([ErrorKind::Package, ErrorKind::Io].contains(&error.kind()), "{error}");
    }
}

/// The graphs for sound are loaded when they are first used.
#[test]
fn graphs_that_vanish_before_their_first_use_are_an_error() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let copy = copied_package("tiny-omni-fp32", &folder.path().join("package"));
    let model = Model::load(&copy).unwrap();
    for name in ["audio_encoder.onnx", "codec_encoder.onnx", "codec_decoder.onnx"] {
        fs::remove_file(copy.join(name)).unwrap();
    }
    let sound = Waveform::mono(vec![0.1; 16_000], 16_000).unwrap();
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    let mut config = model.config();
    config.force = vec![Modality::Audio];
    let errors = [
        model.audio_features(&sound).unwrap_err(),
        model.encode_codes(ualm::Modality::Audio, &sound).unwrap_err(),
        session.generate(prompt, &config).unwrap().into_reply().unwrap_err(),
    ];
    assert_eq!(session.position(), 0, "the conversation is unchanged");
    for (error, name) in errors.iter().zip(["audio_encoder", "codec_encoder", "codec_decoder"]) {
        assert_eq!(error.kind(), ErrorKind::Package, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
