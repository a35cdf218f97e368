//! `reason`, `take`, `--takes` and `chat` by the command line.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use ualm::{Record, SegmentEnd};
use ualm_testing::{package, root, skip_without_fixtures};

/// Settings with which the tiny model samples a few frames.
const DRAWN: [&str; 4] = ["--temperature", "1", "--max-steps", "14"];

fn ualm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package("tiny-omni-fp32")).stdin(Stdio::null());
    command.env_remove("EDITOR").env_remove("VISUAL").env_remove("UALM_SEED");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn works(arguments: &[&str]) -> String {
    let output = ualm(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn complains(output: &Output, code: i32, expected: &str) {
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(complaint.contains("error: ") && !complaint.contains("panicked"), "{complaint}");
    assert!(complaint.contains(expected), "expected {expected:?} in: {complaint}");
}

fn fails(arguments: &[&str], code: i32, expected: &str) {
    complains(&ualm(arguments).output().unwrap(), code, expected);
}

fn given(mut command: Command, lines: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A temporary folder.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn files(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join(name)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Checks that two chains have the same files, byte by byte.
    fn assert_same(&self, a: &str, b: &str) {
        assert_eq!(self.files(a), self.files(b));
        for name in self.files(a) {
            assert_eq!(self.read(&format!("{a}/{name}")), self.read(&format!("{b}/{name}")), "{name}");
        }
    }

    /// Runs a chain into the folder `name`.
    fn reason(&self, name: &str, more: &[&str]) -> String {
        let out = self.path(name);
        works(&[&["reason", "rain", "-o", &out, "-q", "--seed", "5"], &DRAWN[..], more].concat())
    }
}

#[test]
fn every_mode_saves_its_segments() {
    skip_without_fixtures!();
    let folder = Folder::new();
    folder.reason("enrich", &["--enrich"]);
    assert_eq!(folder.files("enrich"), ["01-plan.txt", "02-final.wav", "reply.json"]);
    folder.reason("usual", &[]);
    folder.assert_same("usual", "enrich");
    folder.reason("reflect", &["--reflect", "--rounds", "2"]);
    let names = ["01-plan.txt", "02-draft.wav", "03-critique.txt", "04-draft.wav", "05-critique.txt", "06-final.wav"];
    assert_eq!(folder.files("reflect")[..6], names);
    let shown: Value = serde_json::from_str(&folder.reason("shown", &["--json", "--reflect"])).unwrap();
    let stages: Vec<_> = shown["segments"].as_array().unwrap().iter().map(|s| s["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["plan", "draft", "critique", "final"]);
    assert_eq!((&shown["plan"], &shown["seed"]), (&Value::Null, &Value::from(5)));
    let out = folder.path("dialogue");
    let dialogue = [&["reason", "rain", "-o", &out, "--dialogue", "--seed", "5", "-q"], &DRAWN[..]].concat();
    let talked = given(ualm(&dialogue), "on tin\n");
    assert!(talked.status.success(), "{}", text(&talked.stderr));
    assert_eq!(folder.files("dialogue")[..4], ["01-question.txt", "02-answer.txt", "03-plan.txt", "04-final.wav"]);
    assert_eq!(folder.read("dialogue/02-answer.txt"), b"on tin\n");
    let out = folder.path("silent");
    fails(&[&["reason", "rain", "-o", &out, "--dialogue", "--seed", "5"], &DRAWN[..]].concat(), 2, "--segment 2");
}

#[test]
fn a_chain_resumed_at_any_segment_is_the_same() {
    skip_without_fixtures!();
    let folder = Folder::new();
    folder.reason("whole", &["--reflect", "--listen"]);
    let from = folder.path("whole/reply.json");
    for segment in 1..=4 {
        let name = format!("from-{segment}");
        works(&["reason", "--from", &from, "--segment", &segment.to_string(), "-o", &folder.path(&name), "-q"]);
        folder.assert_same(&name, "whole");
    }
    works(&["reason", "--from", &from, "--segment", "4", "-o", &folder.path("other"), "-q", "--seed", "6"]);
    assert_eq!(folder.read("other/03-critique.txt"), folder.read("whole/03-critique.txt"));
    assert_ne!(folder.read("other/04-final.wav"), folder.read("whole/04-final.wav"));
    works(&["take", &folder.path("other/04-final.wav"), "--again"]);
    works(&["reason", "--from", &from, "--segment", "3", "--rounds", "2", "-o", &folder.path("longer"), "-q"]);
    assert_eq!(folder.files("longer").len(), 7);
}

#[test]
fn a_supplied_or_edited_plan_is_used() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let plan = "Keywords: rain. Layout: 0-1 rain. Description: It rains.";
    fs::write(folder.path("plan.txt"), plan).unwrap();
    let shown = folder.reason("by-hand", &["--plan", &folder.path("plan.txt"), "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["plan"]["keywords"], serde_json::json!(["rain"]));
    assert_eq!(folder.read("by-hand/01-plan.txt"), format!("{plan}\n").into_bytes());
    works(&["take", &folder.path("by-hand/02-final.wav"), "--again"]);
    fails(&["reason", "x", "-o", &folder.path("x"), "--plan", &folder.path("none.txt")], 1, "none.txt");

    if cfg!(unix) {
        let editor = folder.path("editor");
        fs::write(&editor, format!("#!/bin/sh\necho '{plan}' > \"$1\"\n")).unwrap();
        assert!(Command::new("chmod").args(["+x", &editor]).status().unwrap().success());
        let out = folder.path("edited");
        let arguments = [&["reason", "rain", "-o", &out, "-q", "--seed", "5", "--edit"], &DRAWN[..]].concat();
        assert!(ualm(&arguments).env("EDITOR", &editor).output().unwrap().status.success());
        assert_eq!(folder.read("edited/02-final.wav"), folder.read("by-hand/02-final.wav"));
        let out = folder.path("failed");
        let arguments = ["reason", "rain", "-o", &out, "--seed", "5", "--edit"];
        for (editor, why) in
            [("false", "--segment 1"), ("no-such-editor -w", "cannot be started"), ("'", "is not a command")]
        {
            complains(&ualm(&arguments).env("EDITOR", editor).output().unwrap(), 1, why);
            assert_eq!(folder.files("failed"), ["01-plan.txt", "reply.json"], "what was finished remains");
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn takes_are_kept_ranked_and_reproduced() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let out = folder.path("rain.wav");
    let picture = folder.path("rain.png");
    let arguments = ["generate", "rain", "-o", &out, "--seed", "7", "--takes", "3", "--best", "--json"];
    let made = works(&[&arguments[..], &DRAWN[..], &["--spectrogram", &picture]].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["takes"].as_array().unwrap().len(), 3);
    assert_eq!(made["ranking"].as_array().unwrap().len(), 3);
    let best = 1 + made["ranking"][0]["take"].as_u64().unwrap();
    assert_eq!(folder.read("rain.wav"), folder.read(&format!("rain.{best}.wav")));
    works(&[&["generate", "rain", "-o", &folder.path("alone.wav"), "--seed", "8"], &DRAWN[..]].concat());
    assert_eq!(folder.read("alone.wav"), folder.read("rain.2.wav"), "a take is what its seed makes alone");
    fails(&["generate", "rain", "-o", "-", "--takes", "2"], 2, "standard output");

    let take = folder.path("rain.2.wav");
    let shown: Value = serde_json::from_str(&works(&["take", &take, "--json"])).unwrap();
    assert_eq!((&shown["seed"], &shown["turns"][0]["messages"][0]["text"]), (&8.into(), &"rain".into()));
    works(&["take", &take, "--again", "-o", &folder.path("again.wav")]);
    assert_eq!(folder.read("again.wav"), folder.read("rain.2.wav"));
    works(&["take", &take, "--extend", "0.5s", "-o", &folder.path("longer.wav")]);
    let seconds =
        |name: &str| ualm::audio::decode_file(folder.path(name), &Default::default()).unwrap().waveform.seconds();
    assert!((seconds("longer.wav") - seconds("rain.2.wav") - 0.5).abs() < 1e-9);
    works(&["take", &folder.path("longer.wav"), "--again"]);
}

#[test]
fn takes_of_a_plan_are_kept_and_the_best_ends_the_chain() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let shown: Value = serde_json::from_str(&folder.reason("rain", &["--takes", "3", "--best", "--json"])).unwrap();
    let takes = ["02-final.1.wav", "02-final.2.wav", "02-final.3.wav", "02-final.wav"];
    assert_eq!(folder.files("rain"), [&["01-plan.txt"], &takes[..], &["reply.json"]].concat());
    let best = shown["ranking"][0]["take"].as_u64().unwrap() as usize;
    assert_eq!(folder.read("rain/02-final.wav"), folder.read(&format!("rain/{}", takes[best])));
    works(&["take", &folder.path("rain/02-final.wav"), "--again"]);
}

#[test]
fn damaged_changed_and_missing_takes_are_refused() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let out = folder.path("rain.wav");
    works(&[&["generate", "rain", "-o", &out, "--seed", "8"], &DRAWN[..]].concat());
    let whole = folder.read("rain.wav");
    let refused = |bytes: &[u8], arguments: &[&str], code, expected: &str| {
        let path = folder.path("damaged.wav");
        fs::write(&path, bytes).unwrap();
        fails(&[&["take", &path], arguments].concat(), code, expected);
    };
    refused(b"", &[], 1, "not a WAV file");
    refused(&whole[..whole.len() / 2], &[], 1, "damaged.wav");
    let offset = whole.windows(4).position(|bytes| bytes == b"ualm").unwrap();
    let mut damaged = whole.clone();
    damaged[offset + 8] = b'[';
    refused(&damaged, &[], 2, "not a record");
    let mut huge = whole.clone();
    huge[offset + 4..offset + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(&huge, &[], 1, "bytes");
    let mut louder = whole.clone();
    louder[60] ^= 0x40;
    refused(&louder, &["--again"], 1, "samples differ");
    works(&[&["generate", "rain", "-o", &out, "--seed", "8", "--no-take"], &DRAWN[..]].concat());
    fails(&["take", &out], 2, "carries no take");
    fs::write(&out, &whole).unwrap();
    let other = ualm(&["take", &out, "--again"]).env("UALM_MODEL", package("tiny-afwhisper-fp32")).output().unwrap();
    complains(&other, 2, "tiny-omni");
    fails(&["take", &out, "--extend", "0s", "-o", &out], 2, "above 0");
    fails(&["take", &out, "-o", &folder.path("x.wav")], 2, "--again or --extend");
}

#[test]
fn chains_that_cannot_be_resumed_are_refused() {
    skip_without_fixtures!();
    let folder = Folder::new();
    folder.reason("chain", &["--reflect"]);
    let from = folder.path("chain/reply.json");
    fails(&["reason"], 2, "a prompt");
    fails(&["reason", "rain"], 2, "-o DIR");
    fails(&["reason", "rain", "-o", &folder.path("chain")], 2, "--from");
    fails(&["reason", "--from", &from], 2, "--segment");
    fails(&["reason", "--from", &from, "--segment", "5"], 2, "1..=4");
    fails(&["reason", "--from", &from, "--segment", "4", "--dialogue"], 2, "differs");
    fails(&["reason", "rain", "-o", &folder.path("x"), "--rounds", "33"], 2, "33");
    let record = fs::read_to_string(&from).unwrap();
    for (name, bytes) in [("empty", ""), ("half", &record[..record.len() / 2]), ("foreign", "{\"id\": 3}")] {
        fs::write(folder.path(name), bytes).unwrap();
        fails(&["reason", "--from", &folder.path(name), "--segment", "1"], 2, "not a record");
    }
    let other = ualm(&["reason", "--from", &from, "--segment", "2"])
        .env("UALM_MODEL", package("tiny-afwhisper-fp32"))
        .output()
        .unwrap();
    complains(&other, 2, "load the package that made it");
    // a folder in place of a segment's file makes the write fail, as a full disk would: finished segments remain
    let blocked = folder.path("blocked");
    fs::create_dir_all(Path::new(&blocked).join("03-critique.txt")).unwrap();
    let arguments = [&["reason", "rain", "-o", &blocked, "--reflect", "--seed", "5"], &DRAWN[..]].concat();
    fails(&arguments, 1, "--segment 3");
    assert_eq!(folder.read("blocked/02-draft.wav"), folder.read("chain/02-draft.wav"));
    assert_eq!(Record::read(PathBuf::from(&blocked).join("reply.json")).unwrap().turns[0].segments.len(), 2);
    fs::remove_dir(Path::new(&blocked).join("03-critique.txt")).unwrap();
    works(&["reason", "--from", &folder.path("blocked/reply.json"), "--segment", "3", "-q"]);
    folder.assert_same("blocked", "chain");
}

/// A prompt with which the tiny model generates several frames.
const LONG_ENOUGH: &str = "a dog barks twice and then a bell rings";

/// Returns a command like [`ualm`], with a language model that fails after 32 positions.
fn failing(arguments: &[&str]) -> Command {
    let mut command = ualm(arguments);
    command.env("UALM_MODEL", package("failing-fp32"));
    command
}

#[test]
fn a_partial_result_is_kept_and_resumed_after_a_failure() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let complaint = "the graph llm on cpu failed";
    let plan = folder.path("plan");
    complains(
        &failing(&["reason", LONG_ENOUGH, "-o", &plan, "--enrich", "--seed", "5"]).output().unwrap(),
        1,
        complaint,
    );
    assert_eq!(folder.files("plan"), ["01-plan.txt", "reply.json"]);
    let record = Record::read(folder.path("plan/reply.json")).unwrap();
    let segment = &record.turns[0].segments[0];
    assert!(segment.end == SegmentEnd::Failed && segment.tokens.len() > 5, "{:?}", segment.end);
    assert_eq!(folder.read("plan/01-plan.txt"), format!("{}\n", segment.text.trim_end()).into_bytes());

    let out = folder.path("sound");
    let by_hand = folder.path("plan.txt");
    fs::write(&by_hand, "rain").unwrap();
    let greedy = ["--seed", "5", "--temperature", "0"];
    let arguments = [&["reason", LONG_ENOUGH, "-o", &out, "--enrich", "--plan", &by_hand], &greedy[..]].concat();
    let output = failing(&arguments).output().unwrap();
    complains(&output, 1, complaint);
    complains(&output, 1, "--segment 2");
    assert_eq!(folder.files("sound"), ["01-plan.txt", "02-final.wav", "reply.json"]);
    let sound = folder.path("sound/02-final.wav");
    assert!(ualm::audio::decode_file(&sound, &Default::default()).unwrap().waveform.seconds() > 0.05);
    let again = failing(&["take", &sound, "--again"]).output().unwrap();
    assert!(again.status.success(), "{}", text(&again.stderr));
    let from = folder.path("sound/reply.json");
    let on = failing(&["reason", "--from", &from, "--segment", "2", "--max-steps", "9"]).output().unwrap();
    assert!(on.status.success(), "{}", text(&on.stderr));

    let rain = folder.path("rain.wav");
    let prompt = format!("{LONG_ENOUGH} and then a bell rings");
    let arguments = [&["generate", &prompt, "-o", &rain, "--takes", "2"], &greedy[..]].concat();
    let output = failing(&arguments).output().unwrap();
    complains(&output, 1, complaint);
    complains(&output, 1, "rain.1.wav");
    assert!(Path::new(&folder.path("rain.2.wav")).exists(), "the second take, made at the same time, is kept as well");
    let longer = folder.path("longer.wav");
    let arguments = ["take", &folder.path("rain.1.wav"), "--extend", "5s", "-o", &longer];
    complains(&failing(&arguments).output().unwrap(), 1, "longer.wav");
    assert!(Path::new(&longer).exists());

    let output = given(failing(&["chat", "--json", "-q", "--seed", "5"]), LONG_ENOUGH);
    complains(&output, 1, complaint);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["segments"][0]["end"], "failed", "what there is of the reply is shown");
}

#[test]
fn a_chat_is_clean_when_piped() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let recording = root().join("tests/data/audio/mono-16k.flac");
    let saved = folder.path("chat.json");
    let lines = format!(
        "hello\n/audio {}\nwhat is it?\n/undo\n/seed 9\n/seed\n\nagain\n/save {saved}\n/quit\nnever said\n",
        recording.display()
    );
    let picture = folder.path("heard.png");
    let chat = ["chat", "-q", "--json", "--seed", "3", "--max-steps", "20", "--spectrogram", &picture];
    let output = given(ualm(&chat), &lines);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(![&output.stdout[..], &output.stderr].concat().contains(&0x1b), "no escapes");
    let shown = text(&output.stdout);
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let turns: Vec<_> = shown.iter().filter_map(|line| line["turn"].as_u64()).collect();
    assert_eq!((turns, &shown[2]), (vec![1, 2, 2], &Value::from(9)));
    assert!(folder.read("heard.1.png").starts_with(b"\x89PNG"), "the recording is drawn");
    let record = Record::read(&saved).unwrap();
    let said: Vec<_> = record.turns.iter().map(|turn| turn.messages[0].text.as_deref()).collect();
    assert_eq!(said, [Some("hello"), Some("again")], "the removed turn is gone");
    for (lines, expected) in
        [("/jump\n", "is not a command"), ("/undo\n", "no turn to remove"), ("/audio none.wav\n", "none.wav")]
    {
        let output = given(ualm(&chat), lines);
        assert!(!output.status.success() && text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn a_long_chat_fits_if_old_turns_may_be_forgotten() {
    skip_without_fixtures!();
    let turn = format!("{}\n", "a dog barks and then ".repeat(10));
    let mut full = ualm(&["chat", "-q", "--seed", "3", "--max-steps", "20"]);
    full.env("UALM_MODEL", package("synthetic-fp32"));
    let output = given(full, &turn.repeat(20));
    complains(&output, 1, "--keep-last");
    let mut long = ualm(&["chat", "-q", "--json", "--seed", "3", "--max-steps", "20", "--keep-last", "3"]);
    long.env("UALM_MODEL", package("synthetic-fp32"));
    let output = given(long, &turn.repeat(20));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 20);
}

#[test]
fn the_pictures_of_a_batch_are_beside_its_sounds() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let requests = folder.path("requests.jsonl");
    let out = folder.path("out");
    let request = r#"{"id": "a.b", "messages": [{"role": "user", "content": [{"type": "text", "text": "WORDS"}]}],
        "force": ["audio"], "audio": {"temperature": 0}, "max_segments": 1}"#;
    fs::write(&requests, request.replace('\n', " ").replace("WORDS", LONG_ENOUGH)).unwrap();
    works(&["batch", &requests, "--out", &out, "-q", "--spectrogram"]);
    assert!(folder.files("out").contains(&"a.b.0.wav".to_owned()));
    assert!(folder.read("out/a.b.0.png").starts_with(b"\x89PNG"));
}

/// The context of 512 positions is full after about thirty turns; from then on memory must not grow.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_chat_of_200_turns_does_not_grow() {
    skip_without_fixtures!();
    use std::io::{BufRead, BufReader};
    let folder = Folder::new();
    for entry in fs::read_dir(package("synthetic-fp32")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path(&entry.file_name().into_string().unwrap())).unwrap();
    }
    let manifest = String::from_utf8(folder.read("manifest.json")).unwrap();
    fs::write(folder.path("manifest.json"), manifest.replace("\"max_steps\": 1024", "\"max_steps\": 6")).unwrap();
    let mut chat = ualm(&["chat", "--json", "-q", "--seed", "3", "--keep-last", "3"]);
    chat.env("UALM_MODEL", folder.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = chat.spawn().unwrap();
    let mut says = child.stdin.take().unwrap();
    let mut hears = BufReader::new(child.stdout.take().unwrap());
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut early = 0;
    for turn in 1..=200 {
        writeln!(says, "a bell rings").unwrap();
        let mut line = String::new();
        hears.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["turn"], turn);
        if turn == 50 {
            early = resident();
        }
    }
    let grown = resident().saturating_sub(early);
    assert!(grown <= 4096, "{grown} KiB more after turn 200 than after turn 50, of {early}");
    drop(says);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupted_chain_keeps_finished_segments_and_resumes() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let out = folder.path("chain");
    // greedy text runs to its limit of 1024 steps: there is time to stop it
    let mut child = ualm(&["reason", "rain", "-o", &out, "--rounds", "3", "--seed", "5", "--max-steps", "14"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !Path::new(&out).join("reply.json").exists() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed().as_secs() < 120, "nothing was finished");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return; // it was faster than the signal
    }
    complains(&output, 130, "resume with --from");
    let record = Record::read(Path::new(&out).join("reply.json")).unwrap();
    let next = (record.turns[0].segments.len()).to_string();
    works(&["reason", "--from", &folder.path("chain/reply.json"), "--segment", &next, "-q"]);
    assert_eq!(Record::read(Path::new(&out).join("reply.json")).unwrap().turns[0].segments.len(), 8);
}
