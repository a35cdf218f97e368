//! Atomic writes: no incomplete files after signals, on a full disk, without the folder, or with a closed pipe.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ualm_testing::{Draws, package, root, skip_without_fixtures};

fn ualm(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package("tiny-omni-fp32")).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!words.contains("panicked"), "{words}");
    words
}

fn works(folder: &TempDir, arguments: &[&str]) {
    let output = ualm(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
}

/// Returns every file under `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Checks that all files in `folder` are complete and that no temporary files are left; returns the number of files.
fn assert_whole(folder: &Path) -> usize {
    let found = files(folder);
    for path in &found {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.ends_with(".part"), "{name} was left");
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("wav") => {
                match ualm::audio::decode_file(path, &Default::default()) {
                    Ok(decoded) => assert!(decoded.warnings.is_empty(), "{name}: {:?}", decoded.warnings),
                    // a reply with fewer positions than streams has no sound
                    Err(error) => assert!(error.message().contains("holds no sound"), "{error}"),
                }
                if !name.starts_with(|c: char| c.is_ascii_digit()) || path.parent().unwrap().ends_with("chain") {
                    ualm::Record::read_wav(path).unwrap();
                }
            }
            Some("json") if name == "reply.json" => drop(ualm::Record::read(path).unwrap()),
            Some("json" | "jsonl") => {
                let text = fs::read_to_string(path).unwrap();
                text.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
                assert!(text.is_empty() || text.ends_with('\n'), "{name} is torn");
            }
            Some("png") => assert!(fs::read(path).unwrap().ends_with(b"IEND\xaeB`\x82"), "{name} is torn"),
            _ => assert!(fs::read_to_string(path).unwrap().ends_with('\n'), "{name} is torn"),
        }
    }
    found.len()
}

/// A prompt with which the tiny model generates several frames.
const LONG_ENOUGH: &str = "a dog barks twice and then a bell rings";
const STEPS: &str = "60";
const COMMANDS: [&[&str]; 3] = [
    &[
        "generate",
        LONG_ENOUGH,
        "-o",
        "out.wav",
        "--max-steps",
        STEPS,
        "--temperature",
        "0",
        "--seed",
        "1",
        "--takes",
        "3",
        "--spectrogram",
        "out.png",
    ],
    &["reason", LONG_ENOUGH, "-o", "chain", "--reflect", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
    &["batch", "requests.jsonl", "--out", "results"],
];

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let request = |id: usize| {
        let content = json!([{"type": "text", "text": format!("rain {id}")}]);
        json!({"id": id.to_string(), "messages": [{"role": "user", "content": content}], "force": ["audio"],
            "audio": {"max_steps": 40, "temperature": 1.2}, "max_segments": 1})
    };
    let lines: Vec<_> = (0..8).map(|id| request(id).to_string() + "\n").collect();
    fs::write(folder.path().join("requests.jsonl"), lines.concat()).unwrap();
    folder
}

fn duration(command: &[&str]) -> Duration {
    let folder = folder();
    let begun = Instant::now();
    let output = ualm(&folder, command).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_whole(folder.path());
    begun.elapsed()
}

#[cfg(unix)]
fn signal_at_random(command: &[&str], signal: &str, rounds: usize, draws: &mut Draws) {
    let whole = duration(command);
    let mut ended = [0; 3];
    for _ in 0..rounds {
        let folder = folder();
        let child = ualm(&folder, command).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(draws.below(1100) as f64 / 1000.0));
        Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        let asked = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(20), "{signal} was not obeyed");
        let words = said(&output);
        let files = assert_whole(folder.path());
        match output.status.code() {
            Some(0) => ended[0] += 1,
            Some(130) => ended[1] += 1,
            // before the signal handler is installed there are no results
            None => {
                ended[2] += 1;
                assert_eq!(files, 1, "{words}");
            }
            code => panic!("exit code {code:?}: {words}"),
        }
        if let Some((_, path)) = words.split_once(" s are in ") {
            assert!(folder.path().join(path.trim()).is_file(), "{words}");
        }
    }
    println!(
        "{} {signal}, {rounds} times: {} ended before, {} were interrupted, {} before they listened",
        command[0], ended[0], ended[1], ended[2]
    );
}

/// Closes standard output after a random number of bytes.
fn reader_leaves_at_random(command: &[&str], rounds: usize, draws: &mut Draws) {
    for _ in 0..rounds {
        let folder = folder();
        let mut child: Child = ualm(&folder, command).spawn().unwrap();
        let mut some = vec![0; draws.below(400)];
        let _ = child.stdout.take().unwrap().read_exact(&mut some);
        let output = child.wait_with_output().unwrap();
        let words = said(&output);
        assert_eq!(output.status.code(), Some(0), "{words}");
        assert_whole(folder.path());
    }
    println!("{} whose reader left, {rounds} times", command[0]);
}

const PIPED: [&[&str]; 3] = [
    &["generate", LONG_ENOUGH, "-o", "-", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
    &["reason", LONG_ENOUGH, "-o", "chain", "--reflect", "--max-steps", "20", "--seed", "1"],
    &["generate", "rain", "-o", "out.wav", "--json", "--max-steps", "20", "--seed", "1"],
];

#[cfg(unix)]
#[test]
fn signals_leave_complete_files() {
    skip_without_fixtures!();
    let mut draws = Draws(11);
    for command in COMMANDS {
        for signal in ["-INT", "-TERM"] {
            signal_at_random(command, signal, 1, &mut draws);
        }
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    skip_without_fixtures!();
    PIPED.into_iter().for_each(|command| reader_leaves_at_random(command, 1, &mut Draws(12)));
}

/// For manual runs: cargo test --test program files -- --ignored --nocapture
#[cfg(unix)]
#[test]
#[ignore = "takes many minutes: hundreds of signals"]
fn hundreds_of_signals_leave_complete_files() {
    skip_without_fixtures!();
    let mut draws = Draws(13);
    for command in COMMANDS {
        for signal in ["-INT", "-TERM"] {
            signal_at_random(command, signal, 34, &mut draws);
        }
    }
    PIPED.into_iter().for_each(|command| reader_leaves_at_random(command, 20, &mut draws));
}

/// Runs a command with a limit on file sizes in kilobytes, which simulates a full disk.
#[cfg(target_os = "linux")]
fn with_full_disk(folder: &TempDir, kilobytes: usize, arguments: &[&str]) -> Output {
    // with the signal ignored, the write returns an error
    let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
    let run = ualm(folder, arguments);
    let mut bash = Command::new("bash");
    bash.args(["-c", &script, "bash"]).arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
    bash.env("UALM_MODEL", package("tiny-omni-fp32")).current_dir(folder.path()).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_complete_files() {
    skip_without_fixtures!();
    let folder = folder();
    works(
        &folder,
        &["generate", LONG_ENOUGH, "-o", "take.wav", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
    );
    let recording = root().join("tests/data/audio/mono-16k.flac");
    let recording = recording.to_str().unwrap();
    works(&folder, &["codec", "encode", recording, "-o", "codes.npy"]);
    fs::rename(folder.path().join("codes.npy"), folder.path().join("codes.npy.bin")).unwrap();
    let before = files(folder.path());
    fs::write(folder.path().join("old.wav"), "old\n").unwrap();
    let cases: [&[&str]; 7] = [
        &["generate", LONG_ENOUGH, "-o", "old.wav", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
        &[
            "generate",
            "x",
            "-o",
            "sound.wav",
            "--max-steps",
            "9",
            "--no-take",
            "--seed",
            "1",
            "--spectrogram",
            "picture.png",
        ],
        &["reason", LONG_ENOUGH, "-o", "chain", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
        &["codec", "encode", recording, "-o", "codes.npy"],
        &["codec", "decode", "codes.npy.bin", "-o", "decoded.wav"],
        &["take", "take.wav", "--extend", "0.5", "-o", "longer.wav"],
        &["take", "take.wav", "--again", "-o", "again.wav"],
    ];
    for arguments in cases {
        let output = with_full_disk(&folder, 1, arguments);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(words.contains("cannot be written"), "{arguments:?}: {words}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("old.wav")).unwrap(), "old\n", "the old file is lost");
    for path in files(folder.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let known = before.contains(&path) || ["old.wav", "sound.wav", "01-plan.txt"].contains(&&*name);
        assert!(known || name == "reply.json", "{name} was left");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_devices_are_an_error() {
    skip_without_fixtures!();
    let folder = folder();
    works(
        &folder,
        &["generate", LONG_ENOUGH, "-o", "take.wav", "--temperature", "0", "--max-steps", STEPS, "--seed", "1"],
    );
    works(&folder, &["codec", "encode", "take.wav", "-o", "codes.npy"]);
    let to_full: [&[&str]; 4] = [
        &["generate", "rain", "-o", "/dev/full", "--max-steps", "20", "--seed", "1"],
        &["codec", "encode", "take.wav", "-o", "/dev/full"],
        &["codec", "decode", "codes.npy", "-o", "/dev/full"],
        &["generate", "rain", "-o", "/proc/out.wav", "--max-steps", "20", "--seed", "1"],
    ];
    let printed: [&[&str]; 5] = [
        &["generate", "rain", "-o", "-", "--max-steps", "20", "--seed", "1"],
        &["codec", "encode", "take.wav", "-o", "-"],
        &["ask", "take.wav", "what is it?", "--max-steps", "3"],
        &["inspect", "--json"],
        &["take", "take.wav"],
    ];
    for (arguments, stdout) in to_full.map(|a| (a, "/dev/null")).into_iter().chain(printed.map(|a| (a, "/dev/full"))) {
        let stdout = fs::File::options().write(true).open(stdout).unwrap();
        let output = ualm(&folder, arguments).stdout(stdout).output().unwrap();
        let words = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(words.contains("cannot be written"), "{arguments:?}: {words}");
    }
    for arguments in
        [&["reason", "rain", "-o", "/proc/chain"][..], &["batch", "requests.jsonl", "--out", "/proc/results"]]
    {
        let output = ualm(&folder, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_folder_that_vanishes_is_an_error() {
    skip_without_fixtures!();
    // before or after the folder is checked, its loss must be an error; if the program ends before the folder is removed, it is run
    // again with half the time
    let mut wait = Duration::from_millis(200);
    let (code, words) = loop {
        let (code, words) = lose_the_folder_after(wait);
        if code != Some(0) {
            break (code, words);
        }
        wait /= 2;
    };
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("away/out.wav") && !words.contains("panicked"), "{words}");
}

fn lose_the_folder_after(wait: Duration) -> (Option<i32>, String) {
    let folder = folder();
    let out = folder.path().join("away");
    fs::create_dir(&out).unwrap();
    let mut child = ualm(&folder, &["generate", "rain", "-o", "away/out.wav", "--max-steps", "3000", "--seed", "1"])
        .spawn()
        .unwrap();
    std::thread::sleep(wait);
    fs::remove_dir_all(&out).unwrap();
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    (child.wait().unwrap().code(), words)
}
