//! `ualm batch`: whatever happens to a run, every request gets the same single result as in an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ualm_testing::{Draws, package, root, skip_without_fixtures};

/// A folder with a file of requests, and runs on it.
struct Bench {
    folder: TempDir,
}

fn request(id: &str, max_steps: usize) -> Value {
    json!({"id": id, "messages": [{"role": "user", "content": [{"type": "text", "text": format!("rain and {id}")}]}],
        "force": ["text", "audio"], "text": {"max_steps": 3, "temperature": 1.0},
        "audio": {"max_steps": max_steps, "temperature": 1.2}, "max_segments": 2})
}

/// Returns requests, among them an invalid one, one with a missing recording, and one without an id.
fn requests(count: usize) -> Vec<String> {
    let mut lines: Vec<_> = (0..count).map(|n| request(&format!("r/{n}"), 12 + n % 5).to_string()).collect();
    lines.insert(
        1,
        json!({"id": "gone", "messages": [{"role": "user", "content": [{"type": "audio", "path": "gone.wav"}]}]})
            .to_string(),
    );
    lines.insert(2, json!({"id": "odd", "colour": 1}).to_string());
    lines.insert(3, "{broken".into());
    lines
}

impl Bench {
    fn new(lines: &[String]) -> Self {
        let bench = Self { folder: TempDir::new().unwrap() };
        bench.write("requests.jsonl", lines);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, lines: &[String]) {
        fs::write(self.path(name), lines.join("\n")).unwrap();
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
        command.arg("batch").arg(self.path("requests.jsonl")).arg("--out").arg(self.path(out)).args(more);
        command.env("UALM_MODEL", package("tiny-omni-fp32")).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn spawn(&self, out: &str, more: &[&str]) -> Child {
        self.command(out, more).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a batch to its end and returns its standard error.
    fn run(&self, out: &str, more: &[&str], code: i32) -> String {
        said(&self.command(out, more).output().unwrap(), code)
    }

    fn merge(&self, out: &str, from: &[&str], code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
        command.args(["batch", "merge"]).arg(self.path("requests.jsonl")).arg("--out").arg(self.path(out));
        said(&command.args(from.iter().map(|name| self.path(name))).output().unwrap(), code)
    }

    fn results(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the results of a run, without times, and its sounds.
    fn made(&self, out: &str) -> (Vec<Value>, BTreeMap<String, Vec<u8>>) {
        let mut results = self.results(&format!("{out}/results.jsonl"));
        results.iter_mut().for_each(|result| drop(result.as_object_mut().unwrap().remove("seconds")));
        let sounds = names(&self.path(out)).into_iter().filter(|name| name.ends_with(".wav"));
        let sounds = sounds.map(|name| (name.clone(), fs::read(self.path(out).join(&name)).unwrap())).collect();
        (results, sounds)
    }

    fn assert_same(&self, a: &str, b: &str) {
        let a = self.made(a);
        let b = self.made(b);
        assert_eq!(a.0, b.0);
        assert!(a.1 == b.1, "other sounds: {:?} and {:?}", a.1.keys(), b.1.keys());
    }
}

fn said(output: &Output, code: i32) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(!words.contains("panicked"), "{words}");
    words
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Kills runs at random, at least `least` times, until one is complete, and compares it with an undisturbed run.
fn kill_at_random(least: usize, seed: u64, requests_each: usize) {
    let bench = Bench::new(&requests(requests_each));
    let begun = Instant::now();
    bench.run("whole", &["--frames"], 1);
    let whole = begun.elapsed();
    let mut draws = Draws(seed);
    let mut kills = 0;
    let mut torn = 0;
    while kills < least {
        // starts over if the run was complete before it was killed often enough
        let more: &[&str] =
            if bench.path("killed/results.jsonl").exists() && draws.below(5) == 0 { &["--restart"] } else { &[] };
        let mut child = bench.spawn("killed", &[&["--frames", "-q"], more].concat());
        std::thread::sleep(whole.mul_f64(draws.below(1000) as f64 / 1000.0));
        if child.try_wait().unwrap().is_none() {
            kills += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        torn += usize::from(
            fs::read(bench.path("killed/results.jsonl"))
                .is_ok_and(|text| text.last().is_some_and(|byte| *byte != b'\n')),
        );
    }
    bench.run("killed", &["--frames"], 1);
    bench.assert_same("whole", "killed");
    let left: Vec<_> = names(&bench.path("killed")).into_iter().filter(|name| name.ends_with(".part")).collect();
    assert!(left.is_empty(), "{left:?}");
    println!("killed {kills} times, {torn} torn lines; an undisturbed run takes {whole:?}");
}

#[test]
fn a_killed_run_resumes_without_losing_or_repeating_lines() {
    skip_without_fixtures!();
    kill_at_random(4, 1, 6);
}

/// For manual runs: cargo test --test program batch -- --ignored --nocapture
#[test]
#[ignore = "takes minutes: a hundred kills"]
fn a_run_that_is_killed_a_hundred_times() {
    skip_without_fixtures!();
    kill_at_random(100, 2, 24);
}

#[test]
fn an_incomplete_line_is_made_again() {
    skip_without_fixtures!();
    let bench = Bench::new(&requests(3));
    bench.run("whole", &[], 1);
    bench.run("torn", &[], 1);
    let path = bench.path("torn/results.jsonl");
    let text = fs::read(&path).unwrap();
    for (cut, damage) in [(text.len() - 20, &b""[..]), (text.len() / 2, b"\0\0\0\0\n{]\n"), (0, b"\n")] {
        fs::write(&path, [&text[..cut], damage].concat()).unwrap();
        assert!(bench.run("torn", &[], 1).contains("their requests run again"));
        bench.assert_same("whole", "torn");
    }
    fs::remove_file(bench.path("torn/r%2F1.1.wav")).unwrap();
    bench.run("torn", &[], 1);
    bench.assert_same("whole", "torn");
}

#[test]
fn results_depend_only_on_their_request() {
    skip_without_fixtures!();
    let lines = requests(7);
    let bench = Bench::new(&lines);
    bench.run("whole", &["--frames"], 1);
    let by_id = |out: &str| -> BTreeMap<String, (Value, Vec<Vec<u8>>)> {
        let (results, sounds) = bench.made(out);
        let named = results.into_iter().filter(|result| result["segments"].is_array());
        let sound = |segment: &Value| sounds[segment["audio"].as_str()?].clone().into();
        named
            .map(|result| {
                let sounds = result["segments"].as_array().unwrap().iter().filter_map(sound).collect();
                (result["id"].as_str().unwrap().to_owned(), (result, sounds))
            })
            .collect()
    };
    let whole = by_id("whole");
    assert_eq!(whole.len(), 7);
    let seeds: BTreeSet<_> = whole.values().map(|(result, _)| result["segments"][0]["frames"].to_string()).collect();
    assert!(seeds.len() > 1, "each request has a seed of its own");

    bench.run("workers", &["--frames", "--workers", "3"], 1);
    bench.assert_same("whole", "workers");

    let mut draws = Draws(5);
    for (round, keep) in [10, 6, 3].into_iter().enumerate() {
        let mut shuffled = lines.clone();
        (1..shuffled.len()).rev().for_each(|last| shuffled.swap(last, draws.below(last + 1)));
        shuffled.truncate(keep);
        bench.write("requests.jsonl", &shuffled);
        let out = format!("shuffled-{round}");
        let workers = (round + 1).to_string();
        let output = bench.command(&out, &["--frames", "--workers", &workers]).output().unwrap();
        assert!([Some(0), Some(1)].contains(&output.status.code()));
        for (id, result) in by_id(&out) {
            assert!(result == whole[&id], "{id} depends on the others");
        }
    }
}

#[test]
fn merged_shards_equal_a_whole_run() {
    skip_without_fixtures!();
    let bench = Bench::new(&requests(7));
    bench.run("whole", &[], 1);
    for (shard, out) in [("1/3", "shards"), ("2/3", "shards"), ("3/3", "elsewhere")] {
        bench.command(out, &["--shard", shard]).output().unwrap();
    }
    let missing = bench.merge("shards", &[], 1);
    assert!(missing.contains("without a result") && missing.contains("r/"), "{missing}");
    let doubled = bench.merge("merged", &["shards", "elsewhere", "whole"], 1);
    assert!(doubled.contains("10 requests with more than one result"), "{doubled}");
    assert!(!bench.path("merged").exists());
    bench.merge("merged", &["shards", "elsewhere"], 0);
    bench.assert_same("whole", "merged");
    bench.merge("whole", &[], 0);

    let sound = names(&bench.path("elsewhere")).into_iter().find(|name| name.ends_with(".wav")).unwrap();
    fs::remove_file(bench.path("elsewhere").join(&sound)).unwrap();
    assert!(bench.merge("merged", &["shards", "elsewhere"], 1).contains(&sound));
    bench.command("elsewhere", &["--shard", "3/3", "--restart", "--frames"]).output().unwrap();
    assert!(bench.merge("merged", &["shards", "elsewhere"], 2).contains("different packages or flags"));

    let mut changed = requests(7);
    changed[0] = request("r/0", 99).to_string();
    bench.write("requests.jsonl", &changed);
    assert!(bench.merge("whole", &[], 1).contains("1 results of no request in the file: "));
}

#[test]
fn failures_are_retried_and_changed_requests_run_again() {
    skip_without_fixtures!();
    let bench = Bench::new(&requests(3));
    assert!(bench.run("out", &[], 1).contains("3 of 6 requests failed"));
    let first = bench.results("out/results.jsonl");
    assert!(bench.run("out", &[], 1).contains("6 of 6 requests already have results"));
    assert_eq!(bench.results("out/results.jsonl"), first);

    let clip = root().join("tests/data/audio/mono-16k.flac");
    fs::copy(clip, bench.path("gone.wav")).unwrap();
    let printed = bench.run("out", &["--retry-failed"], 1);
    assert!(printed.contains("2 of 6 requests failed"), "{printed}");
    let second = bench.results("out/results.jsonl");
    assert_eq!((&second[0], &second[4..]), (&first[0], &first[4..]));
    assert_eq!(second[1]["id"], "gone");
    assert!(second[1]["segments"].is_array() && second[1]["error"].is_null());

    let mut lines = requests(3);
    lines.truncate(5);
    lines[0] = request("r/0", 20).to_string();
    bench.write("requests.jsonl", &lines);
    bench.run("out", &[], 1);
    let third = bench.results("out/results.jsonl");
    assert_eq!((third.len(), &third[1..]), (5, &second[1..5]));
    assert_ne!(third[0]["request"], second[0]["request"]);
    assert_eq!(bench.results("out/results.previous.jsonl"), second, "nothing is lost");

    bench.run("out", &["--float"], 1);
    assert_eq!(bench.results("out/results.previous.jsonl"), third, "other flags make other results");
}

#[test]
fn two_runs_do_not_write_the_same_results() {
    skip_without_fixtures!();
    let bench = Bench::new(&requests(400));
    let mut first = bench.spawn("out", &["-q"]);
    let begun = Instant::now();
    while !fs::read(bench.path("out/results.jsonl")).is_ok_and(|text| text.contains(&b'\n')) {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing was finished");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(bench.run("out", &[], 1).contains("another `ualm batch` is writing these results"));
    first.kill().unwrap();
    first.wait().unwrap();
}

/// A limit on file sizes simulates a full disk: a write fails halfway.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_a_run_and_loses_nothing() {
    skip_without_fixtures!();
    let bench = Bench::new(&requests(6));
    bench.run("whole", &["--frames"], 1);
    let mut largest = 0;
    for kilobytes in [2, 4] {
        // with the signal ignored, the write returns an error
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
        let run = bench.command("full", &["--frames"]);
        let output = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(run.get_program())
            .args(run.get_args())
            .env("UALM_MODEL", package("tiny-omni-fp32"))
            .output()
            .unwrap();
        let words = said(&output, 1);
        assert!(words.contains("cannot be written") && words.contains("run the same command again"), "{words}");
        let text = fs::read(bench.path("full/results.jsonl")).unwrap();
        assert!(text.is_empty() || text.ends_with(b"\n"), "a torn line was left");
        assert!(names(&bench.path("full")).iter().all(|name| !name.ends_with(".part")));
        largest = largest.max(text.len());
    }
    assert!(largest > 0, "some results were there before the disk was full");
    bench.run("full", &["--frames"], 1);
    bench.assert_same("whole", "full");
}
