//! `--play` and `show`, with scripts as players.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use ualm::audio::decode_file;
use ualm_testing::{package, root, skip_without_fixtures};

/// Names of players, in the order in which they are tried.
const PLAYERS: [&str; 2] = if cfg!(target_os = "macos") { ["unknown", "afplay"] } else { ["paplay", "aplay"] };

/// A folder with players, the only one in the search path.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn player(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn ualm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
        command.args(arguments).current_dir(self.0.path()).env("PATH", self.0.path()).env("TMPDIR", self.0.path());
        command.env("UALM_MODEL", package("tiny-omni-fp32")).env_remove("UALM_PLAYER");
        command.env("ORT_DYLIB_PATH", ualm::internal::find_library(None).unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.ualm(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its standard error.
    fn works(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !printed.contains("panicked"), "{arguments:?}: {printed}");
        printed
    }

    /// Counts temporary sounds that were left behind.
    fn left_behind(&self) -> usize {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("ualm-")).count()
    }
}

fn clip() -> String {
    root().join("tests/data/audio/mono-16k.flac").display().to_string()
}

fn samples(path: &Path) -> Vec<f32> {
    decode_file(path, &Default::default()).unwrap().waveform.samples().to_vec()
}

#[test]
fn the_first_player_that_works_plays_the_sound() {
    let room = Room::new();
    room.player(PLAYERS[0], "echo no daemon >&2; exit 1");
    room.player(PLAYERS[1], "for last; do :; done; /bin/cp \"$last\" played.wav; /bin/sleep 1");
    let printed = room.works(&["show", &clip(), "--play"]);
    assert_eq!(printed, "", "what a player says is not shown");
    assert_eq!(samples(&room.path("played.wav")), samples(Path::new(&clip())));
    assert_eq!(room.left_behind(), 0);
}

#[test]
fn sounds_are_played_after_they_are_written() {
    skip_without_fixtures!();
    let room = Room::new();
    room.player("named player", "/bin/test -f out.2.wav && echo played >> log; /bin/cp \"$1\" last.wav");
    let make = ["generate", "rain", "-o", "out.wav", "--takes", "2", "--seed", "1", "--min-steps", "40"];
    room.works(&[&make[..], &["--play", "--player", "./named player"]].concat());
    assert_eq!(fs::read_to_string(room.path("log")).unwrap(), "played\nplayed\n");
    assert_eq!(samples(&room.path("last.wav")), samples(&room.path("out.2.wav")));
    room.works(&[&make[..], &["--best", "--play", "--player", "./named player"]].concat());
    assert_eq!(fs::read_to_string(room.path("log")).unwrap().lines().count(), 3, "the best alone");
    assert_eq!(samples(&room.path("last.wav")), samples(&room.path("out.wav")));
    room.works(&["take", "out.1.wav", "--play", "--player", "./named player", "-q"]);
    assert_eq!(samples(&room.path("last.wav")), samples(&room.path("out.1.wav")));
    room.works(&["codec", "encode", "out.1.wav", "-o", "codes.npy", "-q"]);
    room.works(&["codec", "decode", "codes.npy", "-o", "back.wav", "--play", "--player", "./named player"]);
    assert_eq!(samples(&room.path("last.wav")), samples(&room.path("back.wav")));
    assert_eq!(fs::read_to_string(room.path("log")).unwrap().lines().count(), 5);
}

#[test]
fn without_a_working_player_there_is_one_note() {
    skip_without_fixtures!();
    let room = Room::new();
    let make = ["generate", "rain", "-o", "out.wav", "--takes", "2", "--seed", "1", "--min-steps", "40", "--play"];
    let printed = room.works(&make);
    assert_eq!(printed.matches("not played: ").count(), 1, "{printed}");
    assert!(!room.works(&[&make[..], &["-q"]].concat()).contains("not played"));
    assert!(printed.contains("--player") && room.path("out.2.wav").exists(), "{printed}");
    let printed = room.works(&["show", &clip(), "--play", "--player", "missing; echo >evil $(echo >evil)"]);
    assert!(printed.contains("did not play the sound") && !room.path("evil").exists(), "no shell runs: {printed}");
}

/// Without an audio device, ffplay exits at once and reports success.
#[test]
fn a_player_that_exits_at_once_did_not_play() {
    let room = Room::new();
    room.player(PLAYERS[1], "exit 0");
    let printed = room.works(&["show", &clip(), "--play"]);
    assert!(printed.contains("no program that plays sound was found"), "{printed}");
}

#[test]
fn an_interruption_stops_the_player() {
    let room = Room::new();
    room.player(PLAYERS[1], "echo $$ > pid.new; /bin/mv pid.new pid; exec /bin/sleep 60");
    let child = room.ualm(&["show", &clip(), "--play"]).spawn().unwrap();
    let begun = Instant::now();
    while !room.path("pid").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it was never played");
        sleep(Duration::from_millis(20));
    }
    let player = fs::read_to_string(room.path("pid")).unwrap().trim().to_owned();
    let signal = |signal: &str, process: &str| {
        Command::new("kill").args([signal, process]).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(signal("-INT", &child.id().to_string()));
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{printed}");
    assert!(printed.contains("playback was stopped") && !signal("-0", &player), "{printed}");
    assert_eq!(room.left_behind(), 0);
}

#[test]
fn a_recording_is_shown_without_a_model() {
    let room = Room::new();
    let shown = |name: &str, value: &str, arguments: &[&str]| {
        let output = room.ualm(arguments).env("LC_ALL", "C").env(name, value).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let clip = clip();
    let ascii = shown("LC_ALL", "C", &["show", &clip]);
    let unicode = shown("LC_ALL", "de_DE.UTF-8", &["show", &clip]);
    for drawn in [&ascii, &unicode] {
        assert!(drawn.contains("mono-16k.flac: 1.00 s, 16 kHz, mono\n 8kHz"), "{drawn}");
        assert!(!drawn.contains('\x1b') && drawn.lines().count() == 16, "{drawn}");
    }
    assert!(ascii.is_ascii() && !unicode.is_ascii());
    assert_eq!(ascii.lines().last(), unicode.lines().last());
    let printed = shown("LC_ALL", "C", &["show", &clip, "--json"]);
    assert_eq!(printed, "{\"seconds\":1.0,\"sample_rate\":16000,\"channels\":1}\n");
    assert_eq!(shown("LC_ALL", "C", &["show", &clip, "--spectrogram", "drawn.png"]).lines().count(), 1);
    assert!(fs::read(room.path("drawn.png")).unwrap().starts_with(b"\x89PNG"));
    let output = room.run(&["show", &root().join("Cargo.toml").display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "it is no recording");
}

/// The demo reports its results, right or wrong, and stops if a command fails.
#[test]
fn the_demo_is_honest() {
    let room = Room::new();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let demo = |heard: &str| {
        room.player("ualm", &format!("case $1 in ask) echo 'I hear wind.';; transcribe) {heard};; esac"));
        let mut command = Command::new(&python);
        command.arg(root().join("scripts/demo.py")).args(["./ualm", "made", "--prompt", "a dog's bark", "--seed", "1"]);
        let output = command.args(["--digits", "Seven three"]).current_dir(room.path("")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, printed) = demo("echo seven three");
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("transcribed the same") && printed.contains("The model answered   I hear wind."),
        "{printed}"
    );
    let begin = "$ ualm generate 'a dog'\"'\"'s bark' -o made/scene.wav --seed 1";
    assert!(
        printed.contains(begin) && printed.contains("$ ualm show made/scene.wav\n"),
        "not played in a pipe: {printed}"
    );
    let (code, printed) = demo("echo seven two");
    assert!(code == Some(0) && printed.contains("It transcribed       seven two\nThat differs"), "{printed}");
    assert_eq!(printed.split("Try next:").nth(1).unwrap().matches("./ualm ").count(), 3, "{printed}");
    let (code, printed) = demo("exit 3");
    assert!(code == Some(3) && !printed.contains("Try next:"), "{printed}");
}
