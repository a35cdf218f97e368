//! Resource limits: each has a flag, and an error with the requested and the allowed value.

use std::process::{Command, Output};

use tempfile::TempDir;
use ualm::audio::Waveform;
use ualm::{ErrorKind, Limits, Message, Modality};
use ualm_testing::{model, package, root, skip_without_fixtures};

fn ualm(arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package("tiny-omni-fp32")).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a file was left");
    output
}

#[test]
fn every_limit_has_a_flag() {
    skip_without_fixtures!();
    let clip = root().join("tests/data/audio/mono-16k.flac");
    let clip = clip.to_str().unwrap();
    let make = ["generate", "a dog barks", "-o", "out.wav", "--seed", "1"];
    let hear = ["ask", clip, "what is it?"];
    let cases: [(&[&str], &[&str], &str); 9] = [
        (&hear, &["--limit-input-seconds", "0.2"], "at most 0.2 s"),
        (&hear, &["--limit-decoded-bytes", "1K"], "1024 bytes"),
        (&make, &["--limit-prompt-frames", "5"], "the limit is 5"),
        (&hear, &["--limit-segments", "0"], "1 segments were requested; the limit is 0"),
        (&make, &["--max-steps", "30", "--limit-steps", "29"], "steps were requested; the limit is 29"),
        (&make, &["--takes", "3", "--limit-takes", "2"], "3 takes were requested; the limit is 2"),
        (&make, &["--limit-context", "8"], "context holds 8"),
        (&make, &["--limit-memory", "10K"], "the limit on memory is 1 MB"),
        (&make, &["--limit-memory", "0"], "the limit on memory is 0 MB"),
    ];
    for (command, flags, expected) in cases {
        let output = ualm(&[command, flags].concat());
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains(expected), "expected {expected:?} in: {words}");
    }
    assert_eq!(ualm(&["inspect", "--limit-memory", "much"]).status.code(), Some(2));
}

/// Checks `doctor`'s report in a control group with 300 MB of memory, as systemd creates them; requires a superuser.
#[cfg(target_os = "linux")]
#[test]
fn the_limit_of_a_control_group_is_respected() {
    use std::path::Path;
    skip_without_fixtures!();
    let v1 = Path::new("/sys/fs/cgroup/memory");
    let v2 = Path::new("/sys/fs/cgroup");
    let (above, file) = if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (v2, "memory.max") };
    let group = above.join(format!("ualm-test-{}", std::process::id()));
    if std::fs::create_dir(&group).and_then(|()| std::fs::write(group.join(file), "300000000")).is_err() {
        let _ = std::fs::remove_dir(&group);
        eprintln!("no control group was tried: none can be made here");
        return;
    }
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.display());
    let mut command = Command::new("sh");
    command.args(["-c", &enter, "sh", env!("CARGO_BIN_EXE_ualm"), "doctor", "--json"]);
    let output = command.env("UALM_MODEL", package("tiny-omni-fp32")).output().unwrap();
    std::fs::remove_dir(&group).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("this process may use 300 MB in all"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn memory_is_checked_before_it_is_allocated() {
    skip_without_fixtures!();
    let whole = model("synthetic-fp32");
    let sizes = &whole.manifest().language_model;
    let ualm::package::StateConfig::Attention(attention) = sizes.state[0] else { panic!("attention") };
    let row = |positions: usize| (8 * attention.layers * attention.heads * attention.head_size * positions) as u64;
    let capacity = 256.min(sizes.max_positions);
    let generate = |memory: u64, guidance: f32| {
        let model = whole.with_limits(Limits::default().memory(memory));
        let mut session = model.session();
        let mut config = model.config();
        config.force = vec![Modality::Audio];
        config.max_segments = 1;
        config.audio.max_steps = 10;
        config.audio.guidance = guidance;
        let prompt = session.prompt(&[Message::text("x")])?;
        session.generate(prompt, &config)?.into_reply()
    };
    generate(row(capacity), 1.0).unwrap();
    let error = generate(row(capacity) - 1, 1.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    generate(3 * row(capacity), 3.0).unwrap();
    let error = generate(3 * row(capacity) - 1, 3.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn a_limited_context_ends_like_a_full_one() {
    skip_without_fixtures!();
    let model = model("synthetic-fp32").with_limits(Limits::default().context(20));
    let mut session = model.session();
    assert_eq!(session.max_positions(), 20);
    let mut config = model.config();
    config.force = vec![Modality::Audio];
    config.max_segments = 1;
    config.audio.min_steps = 100;
    let prompt = session.prompt(&[Message::text("x")]).unwrap();
    let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
    assert_eq!(reply.segments[0].end, ualm::SegmentEnd::Context);
    assert_eq!(session.position(), 22, "the last frame and a closing one wait for the next turn");
}

#[test]
fn long_sound_is_refused_by_the_library_as_well() {
    skip_without_fixtures!();
    let model = model("tiny-omni-fp32").with_limits(Limits::default().input_seconds(0.5));
    let sound = Waveform::mono(vec![0.1; 16_000], 16_000).unwrap();
    for error in [model.audio_features(&sound).unwrap_err(), model.encode_codes(Modality::Audio, &sound).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("1.0 s long; at most 0.5 s"), "{error}");
    }
    assert!(model.with_limits(Limits::default()).encode_codes(Modality::Audio, &sound).is_ok());
}
