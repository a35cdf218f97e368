//! The programs of `examples/rust` with the default package, as `cargo test` builds them.

use std::env::current_exe;
use std::path::Path;
use std::process::Command;

use ualm::audio::decode_file;
use ualm_testing::{root, skip_without_library};

/// Runs an example and returns its standard output.
fn run(name: &str, arguments: &[&str]) -> Vec<u8> {
    let test = current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is missing: build it with `cargo build --examples`", program.display());
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap().trim()
}

#[test]
fn a_sound_is_made_and_described() {
    skip_without_library!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dog.wav");
    let path_text = path.to_str().unwrap();
    let made = run("generate", &["a dog barking", path_text]);
    assert!(text(&made).starts_with(path_text), "{made:?}");
    let sound = decode_file(Path::new(path_text), &Default::default()).unwrap().waveform;
    assert!(sound.seconds() > 0.2);
    let answer = run("ask", &[path_text, "What do you hear?"]);
    assert!(text(&answer).contains(' '), "{answer:?}");
}

#[test]
fn a_stream_is_stopped_after_its_limit() {
    skip_without_library!();
    let seconds = |limit: &str| run("stream", &["sea waves", limit]).len() as f64 / (4.0 * 16_000.0);
    let [short, whole] = ["0.5", "60"].map(seconds);
    assert!((0.5..whole).contains(&short), "{short} s of {whole} s");
}

#[test]
fn conversations_run_at_once() {
    skip_without_library!();
    let output = run("conversations", &["a dog barking", "sea waves"]);
    let lines: Vec<_> = text(&output).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("a dog barking: ") && lines[1].starts_with("sea waves: "), "{lines:?}");
}
