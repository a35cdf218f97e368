//! The commands of the program: results, exit codes and error messages.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use ualm_testing::{change_manifest, copied_package, package, root, skip_without_fixtures};

/// A prompt with which the tiny model generates several frames.
const LONG_ENOUGH: &str = "a dog barks twice and then a bell rings";

fn ualm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package("tiny-omni-fp32")).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    ualm(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed, and returns its standard output.
fn works(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with `code` and `expected` in its message.
fn fails(arguments: &[&str], code: i32, expected: &str) -> String {
    complains(&run(arguments), code, expected)
}

fn complains(output: &Output, code: i32, expected: &str) -> String {
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(complaint.contains("error: "), "{complaint}");
    assert!(complaint.contains(expected), "expected {expected:?} in: {complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    complaint
}

fn recording(name: &str) -> String {
    root().join("tests/data/audio").join(name).display().to_string()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Returns the header of a 16-bit or float WAV file that claims `data` bytes of samples.
fn wav_header(channels: u16, rate: u32, float: bool, data: u32) -> Vec<u8> {
    let bits: u16 = if float { 32 } else { 16 };
    let block = channels * bits / 8;
    let mut header = b"RIFF".to_vec();
    header.extend((36 + data).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0");
    header.extend(if float { 3u16 } else { 1 }.to_le_bytes());
    header.extend(channels.to_le_bytes());
    header.extend(rate.to_le_bytes());
    header.extend((rate * u32::from(block)).to_le_bytes());
    header.extend(block.to_le_bytes());
    header.extend(bits.to_le_bytes());
    header.extend(b"data");
    header.extend(data.to_le_bytes());
    header
}

#[test]
fn sound_from_text_and_text_from_sound() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("a sound ä.wav").display().to_string();
    let made: Value = serde_json::from_str(&works(&[
        "generate",
        LONG_ENOUGH,
        "-o",
        &out,
        "--temperature",
        "0",
        "--seed",
        "3",
        "--json",
    ]))
    .unwrap();
    assert_eq!(made["seed"], 3);
    assert!(made["seconds"].as_f64().unwrap() > 0.05);
    let samples = ualm::audio::decode_file(&out, &Default::default()).unwrap().waveform.len();
    assert_eq!(samples, (made["seconds"].as_f64().unwrap() * 16000.0).round() as usize);
    assert!(works(&["ask", &out, "what is it?", "--max-steps", "5"]).ends_with('\n'));
    assert!(works(&["transcribe", &out, "--max-steps", "5"]).ends_with('\n'));
    fails(&["transcribe", &out, "--translate"], 2, "does not translate");
    let output = run(&["speak", "seven", "-o", &out, "--seed", "1", "--max-steps", "3"]);
    assert!(output.status.success() && text(&output.stderr).contains("the clip is empty"));
}

/// With three threads sound is decoded in parallel to the steps, except in low-memory mode.
#[test]
fn sound_is_the_same_decoded_in_parallel_or_between_steps() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sound.wav").display().to_string();
    let made = |memory: &[&str]| {
        let steps = ["generate", "rain", "--min-steps", "200", "--max-steps", "200", "--seed", "5", "--threads", "3"];
        works(&[&steps[..], &["-o", &file, "--no-take"], memory].concat());
        let streamed = run(&[&steps[..], &["-o", "-", "--raw"], memory].concat()).stdout;
        assert!(streamed.len() > 190 * 320 * 2, "{} bytes", streamed.len());
        (fs::read(&file).unwrap(), streamed)
    };
    assert!(made(&[]) == made(&["--low-memory"]));
}

#[test]
fn a_drawn_seed_is_printed_and_reproduces_the_sound() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let first = folder.path().join("1.wav");
    let again = folder.path().join("2.wav");
    let output = run(&["generate", "rain", "-o", first.to_str().unwrap(), "--max-steps", "20"]);
    let printed = text(&output.stderr);
    let seed = printed.split("seed ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    works(&["generate", "rain", "-o", again.to_str().unwrap(), "--max-steps", "20", "--seed", &seed]);
    assert_eq!(fs::read(first).unwrap(), fs::read(again).unwrap());
}

#[test]
fn dashes_are_standard_input_and_output() {
    skip_without_fixtures!();
    let output = run(&["generate", "rain", "-o", "-", "--seed", "1", "--max-steps", "20"]);
    assert!(output.status.success());
    assert_eq!(&output.stdout[..4], b"RIFF");

    let mut child = ualm(&["ask", "-", "what is it?", "--max-steps", "4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(recording("mono-16k.flac")).unwrap()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

/// Compares streamed samples with those of a file, up to the differences between the codec's chunks.
#[test]
fn streamed_sound_equals_the_file() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let made = |more: &[&str]| {
        let common = ["generate", LONG_ENOUGH, "--seed", "1", "--min-steps", "80", "--max-steps", "80", "--float"];
        [&common[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |arguments: Vec<String>, stdout: Stdio| {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output =
            ualm(&arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let named = folder.path().join("named.wav");
    let redirected = folder.path().join("redirected.wav");
    run(made(&["-o", named.to_str().unwrap()]), Stdio::null());
    run(made(&["-o", "-"]), fs::File::create(&redirected).unwrap().into());
    assert_eq!(fs::read(&named).unwrap(), fs::read(&redirected).unwrap());

    let samples: Vec<f32> = hound::WavReader::open(&named).unwrap().into_samples().map(Result::unwrap).collect();
    let raw = run(made(&["-o", "-", "--raw"]), Stdio::piped());
    let wav = run(made(&["-o", "-"]), Stdio::piped());
    assert!(wav.starts_with(b"RIFF") && wav.ends_with(&raw));
    let raw: Vec<f32> = raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(raw.len(), samples.len());
    assert!(raw.iter().zip(&samples).all(|(a, b)| (a - b).abs() < 1e-5));
    fails(&["generate", "rain", "-o", "x.wav", "--raw"], 2, "-o -");
}

/// All parts run on a small package; lengths beyond its context are left out.
#[test]
fn bench_measures_the_requested_parts() {
    skip_without_fixtures!();
    let report: Value = serde_json::from_str(&works(&[
        "bench",
        "--json",
        "--runs",
        "1",
        "--prompt",
        "40,100000",
        "--context",
        "30",
        "--seconds",
        "0.2",
    ]))
    .unwrap();
    let figures = report["figures"].as_array().unwrap();
    let figure = |name: &str| {
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap_or_else(|| panic!("no {name:?} among {figures:#?}"))
    };
    for name in [
        "first load",
        "clip of 0.2 s, real-time factor",
        "words to first sound",
        "prefill of 40",
        "unconditional prefill of 40",
        "text step, context 30",
        "audio step, context 30",
        "audio step, guidance, context 30",
        "codec encode 10 s",
        "codec decode 10 s",
        "load",
        "load every graph",
    ] {
        assert!(figure(name)["median"].as_f64().unwrap() > 0.0, "{name}");
    }
    let parts = &figure("audio step, guidance, context 30")["parts"];
    for part in ["embed", "llm", "audio_head", "own"] {
        assert!(parts[part].as_f64().unwrap() > 0.0, "{part}: {parts}");
    }
    assert!(figures.iter().all(|figure| figure["name"] != "prefill of 100000"));
    for (name, by) in [
        ("prefill of 40", "operations"),
        ("text step, context 30", "memory"),
        ("codec decode 10 s", "operations"),
        ("listening to 30 s", "operations"),
    ] {
        let figure = figure(name);
        let limit = figure["limit"].as_f64().unwrap();
        let median = figure["median"].as_f64().unwrap();
        assert!(limit > 0.0, "{figure}");
        assert_eq!(figure["limit_by"], by, "{figure}");
        let ratio = figure["ratio"].as_f64().unwrap();
        assert!((ratio * limit / median - 1.0).abs() < 1e-9, "{figure}");
    }
    for name in ["first load", "load", "words to first sound", "unconditional prefill of 40"] {
        assert!(figure(name).get("limit").is_none(), "{name}");
    }
    assert!(report["speed"]["bytes_per_second"].as_f64().unwrap() > 0.0, "{report}");
    let lines = works(&["bench", "--only", "encoder", "--runs", "1"]);
    assert!(lines.contains("first load") && lines.contains("listening to 30 s"), "{lines}");
    assert!(lines.contains("by operations: ") && lines.contains("limits: memory "), "{lines}");
    let lines = works(&["bench", "--only", "encoder", "--runs", "1", "--no-limits"]);
    assert!(lines.contains("listening to 30 s") && !lines.contains("limit"), "{lines}");
    fails(&["bench", "--only", "everything"], 2, "everything");
    let arguments = ["bench", "--only", "steps", "--context", "30,100000", "--runs", "1", "--no-limits"];
    let notes = text(&run(&arguments).stderr);
    assert!(notes.contains("not measured: steps at a context of 100000; ") && !notes.contains("of 30;"), "{notes}");
}

#[test]
fn codes_survive_a_round_trip() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let codes = folder.path().join("c.npy");
    let sound = folder.path().join("s.wav");
    works(&["codec", "encode", &recording("mono-16k.flac"), "-o", codes.to_str().unwrap()]);
    works(&["codec", "decode", codes.to_str().unwrap(), "-o", sound.to_str().unwrap(), "--float"]);
    let found: ndarray::Array2<i64> = ndarray_npy::read_npy(&codes).unwrap();
    assert_eq!(found.nrows(), 8);
    let listed = text(&fs::read(&sound).unwrap());
    assert!(listed.starts_with("RIFF"));
    let wrong = folder.path().join("wrong.npy");
    ndarray_npy::write_npy(&wrong, &found.mapv(|code| code + 5000)).unwrap();
    fails(&["codec", "decode", wrong.to_str().unwrap(), "-o", sound.to_str().unwrap()], 2, "expected 0..1024");
    fails(&["codec", "decode", &recording("mono-16k.flac"), "-o", sound.to_str().unwrap()], 2, "NumPy file");
}

#[test]
fn unreadable_recordings_are_refused() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let ask = |path: &str, code, expected: &str| fails(&["ask", path, "what is it?"], code, expected);
    ask("no/such/file.wav", 1, "no/such/file.wav");
    ask(folder.path().to_str().unwrap(), 1, "folder");
    ask(&write(&folder, "empty.wav", b""), 1, "empty");
    ask(&write(&folder, "words.wav", b"These are words, not samples.\n"), 1, "words.wav");
    let mut nan = wav_header(1, 16000, true, 64_000);
    (0..16_000).for_each(|i| nan.extend(if i == 500 { f32::NAN } else { 0.1f32 }.to_le_bytes()));
    ask(&write(&folder, "nan.wav", &nan), 1, "finite");
    let mut infinite = wav_header(1, 16000, true, 64_000);
    (0..16_000).for_each(|_| infinite.extend(f32::INFINITY.to_le_bytes()));
    ask(&write(&folder, "infinite.wav", &infinite), 1, "finite");
    let mut silent = wav_header(0, 16000, false, 8);
    silent.extend([0; 8]);
    ask(&write(&folder, "channels.wav", &silent), 1, "channels.wav");
    let mut short = wav_header(1, 16000, false, 200);
    short.extend([1; 200]);
    let short = write(&folder, "short.wav", &short);
    ask(&short, 1, "at least 30 ms");
    fails(&["codec", "encode", &short, "-o", "/dev/null"], 1, "at least 320");
}

#[test]
fn damaged_recordings_are_used_up_to_the_damage() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    for name in ["mono-16k.flac", "mono-16k.mp3"] {
        let whole = fs::read(recording(name)).unwrap();
        let cut = write(&folder, name, &whole[..whole.len() * 2 / 3]);
        let output = run(&["ask", &cut, "what is it?", "--max-steps", "3"]);
        let printed = text(&output.stderr);
        assert!(output.status.success(), "{printed}");
        if name.ends_with("flac") {
            assert!(printed.contains("warning: "), "{printed}");
        }
    }
}

#[test]
fn two_hours_are_refused_at_once() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let bytes = 2 * 3600 * 16_000 * 2;
    let path = write(&folder, "long.wav", &wav_header(1, 16000, false, bytes));
    fs::File::options().write(true).open(&path).unwrap().set_len(u64::from(bytes) + 44).unwrap();
    let start = Instant::now();
    fails(&["ask", &path, "what is it?"], 1, "600");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
}

#[test]
fn invalid_requests_are_usage_errors() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("o.wav").display().to_string();
    let long = "a dog barks and ".repeat(5000);
    fails(&["generate", &long, "-o", &out], 1, "context holds 4096");
    fails(&["generate", "  ", "-o", &out], 2, "empty");
    fails(&["generate", "rain", "-o", &out, "--temperature=-1"], 2, "temperature");
    fails(&["generate", "rain", "-o", &out, "--max-steps", "0"], 2, "max_steps");
    fails(&["generate", "rain", "-o", "/no/such/folder/o.wav"], 1, "/no/such/folder/o.wav");
    fails(&["generate", "rain", "-o", folder.path().to_str().unwrap()], 1, "folder");
    assert_eq!(run(&["generate", "rain"]).status.code(), Some(2));
    assert!(!Path::new(&out).exists());
}

#[test]
fn inconsistent_packages_are_refused() {
    skip_without_fixtures!();
    let refuses = |damage: &dyn Fn(&Path), expected: &str| {
        let folder = TempDir::new().unwrap();
        let copy = copied_package("tiny-omni-fp32", &folder.path().join("package"));
        damage(&copy);
        for arguments in
            [vec!["inspect", copy.to_str().unwrap()], vec!["ask", "x.wav", "--model", copy.to_str().unwrap()]]
        {
            fails(&arguments, 1, expected);
        }
    };
    let edit = |copy: &Path, from: &str, to: &str| {
        let path = copy.join("manifest.json");
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(manifest.contains(from), "{from}");
        fs::write(path, manifest.replacen(from, to, 1)).unwrap();
    };
    refuses(
        &|copy| {
            let path = copy.join("llm.onnx.data");
            let mut bytes = fs::read(&path).unwrap();
            bytes[12_345] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        "llm.onnx.data: damaged",
    );
    refuses(&|copy| fs::remove_file(copy.join("audio_head.onnx")).unwrap(), "audio_head.onnx");
    refuses(&|copy| edit(copy, "\"schema\": ", "\"schema\": 10"), "schema 10");
    refuses(&|copy| edit(copy, "\"hidden_size\": 80", "\"hidden_size\": 0"), "expected 1..=");
    refuses(&|copy| edit(copy, "\"llm.onnx\": {", "\"../llm.onnx\": {"), "manifest.json");
    refuses(&|copy| fs::write(copy.join("manifest.json"), "{").unwrap(), "not a manifest");
    refuses(&|copy| fs::remove_file(copy.join("manifest.json")).unwrap(), "no model package");

    // the manifest's description of a graph is checked against the graph
    let folder = TempDir::new().unwrap();
    let copy = copied_package("tiny-omni-fp32", &folder.path().join("package"));
    edit(&copy, "\"head_size\": 16", "\"head_size\": 32");
    fails(&["generate", "x", "-o", "-", "--model", copy.to_str().unwrap()], 1, "violates its contract");
}

#[test]
fn unusable_libraries_are_refused() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let doctor = |library: &str| ualm(&["ask", "x.wav", "--library", library]).output().unwrap();
    complains(&doctor("/no/such/libonnxruntime.so"), 1, "fetch_onnxruntime.py");
    complains(&doctor(&write(&folder, "libonnxruntime.so", b"no library")), 1, "cannot be loaded");
    let none = ualm(&["ask", "x.wav"])
        .env_remove("ORT_DYLIB_PATH")
        .env_remove("UALM_LIBRARY")
        .env("XDG_CACHE_HOME", folder.path())
        .env("LOCALAPPDATA", folder.path())
        .output()
        .unwrap();
    complains(&none, 1, "fetch_onnxruntime.py");

    if cfg!(target_os = "linux") {
        let source = write(
            &folder,
            "old.c",
            b"struct base { const void *(*api)(unsigned); const char *(*version)(void); };\n\
              static const void *api(unsigned wanted) { (void)wanted; return 0; }\n\
              static const char *version(void) { return \"1.17.0\"; }\n\
              static const struct base BASE = { api, version };\n\
              const struct base *OrtGetApiBase(void) { return &BASE; }\n",
        );
        let old = folder.path().join("libold.so").display().to_string();
        assert!(Command::new("cc").args(["-shared", "-fPIC", "-o", &old, &source]).status().unwrap().success());
        let complaint = complains(&doctor(&old), 1, "1.17");
        assert!(complaint.contains("1.31"), "{complaint}");
    }
}

#[test]
fn a_failed_request_has_its_line_and_the_others_run() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    fs::copy(recording("mono-16k.flac"), folder.path().join("clip.flac")).unwrap();
    let text = |id: &str| {
        format!(
            r#"{{"id": "{id}", "messages": [{{"role": "user", "content": [{{"type": "text", "text": "rain"}}]}}],
                "force": ["audio"], "audio": {{"max_steps": 12, "temperature": 0}}, "max_segments": 1}}"#
        )
        .replace('\n', " ")
    };
    let listen =
        r#"{"id": "hear", "messages": [{"role": "user", "content": [{"type": "speech", "path": "clip.flac"}]}],
        "force": ["text"], "text": {"max_steps": 4}, "max_segments": 1, "seed": 5}"#
            .replace('\n', " ");
    let lines = [
        text("a/b"),
        "{broken".into(),
        text("a/b"),
        r#"{"id": "odd", "messages": [], "colour": 1}"#.into(),
        r#"{"id": "none", "messages": []}"#.into(),
        r#"{"id": "gone", "messages": [{"role": "user", "content": [{"type": "audio", "path": "gone.wav"}]}]}"#.into(),
        String::new(),
        listen,
    ];
    let requests = write(&folder, "requests.jsonl", lines.join("\n").as_bytes());
    let out = folder.path().join("out");
    let arguments = ["batch", &requests, "--out", out.to_str().unwrap(), "--frames"];
    complains(&run(&arguments), 1, "5 of 7 requests failed");
    let results = || -> Vec<Value> {
        let text = fs::read_to_string(out.join("results.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let first = results();
    let kinds: Vec<_> = first.iter().map(|r| r["error"]["kind"].as_str()).collect();
    let invalid = Some("invalid");
    assert_eq!(kinds, [None, invalid, invalid, invalid, invalid, Some("io"), None]);
    assert_eq!((&first[1]["id"], &first[1]["line"]), (&Value::Null, &Value::from(2)));
    assert_eq!(first[0]["segments"][0]["audio"], "a%2Fb.0.wav");
    assert!(out.join("a%2Fb.0.wav").is_file());
    assert_eq!(first[0]["prompt_frames"][0].as_array().unwrap().len(), 8);
    assert!(first[6]["segments"][0]["text"].is_string());

    run(&[&arguments[..], &["--restart"]].concat());
    let again = results();
    assert_eq!(again[0]["segments"], first[0]["segments"]);
    assert!(out.join("results.previous.jsonl").is_file(), "earlier results are kept");
}

#[test]
fn inspect_and_doctor_report_everything() {
    skip_without_fixtures!();
    let page = works(&["inspect", "--verify"]);
    for word in ["tiny-omni", "fp32", "qwen2_5_omni", "xcodec", "graph llm", "every byte"] {
        assert!(page.contains(word), "{word} is not in: {page}");
    }
    let manifest: Value = serde_json::from_str(&works(&["inspect", "--json"])).unwrap();
    assert_eq!(manifest["tokens"]["width"], 8);
    let checks: Value = serde_json::from_str(&works(&["doctor", "--json"])).unwrap();
    assert!(checks.as_array().unwrap().iter().all(|check| check["ok"] == true), "{checks}");
    assert_eq!(checks.as_array().unwrap().len(), 6);
    assert!(checks[3]["found"].as_str().unwrap().contains("MB of weights; this process may use"), "{checks}");
    assert!(checks[5]["found"].as_str().unwrap().contains("nothing to compare"), "{checks}");
    assert_eq!(checks[5]["comparison"]["compared"], serde_json::json!([]));
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_at_once_and_keeps_finished_results() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let line = |id: usize| {
        format!(
            r#"{{"id": "{id}", "messages": [{{"role": "user", "content": [{{"type": "text", "text": "rain"}}]}}], "force": ["audio"], "audio": {{"max_steps": 60, "temperature": 1.5}}}}"#
        )
    };
    let lines: Vec<_> = (0..20_000).map(line).collect();
    let requests = write(&folder, "requests.jsonl", lines.join("\n").as_bytes());
    let out = folder.path().join("out");
    let mut child =
        ualm(&["batch", &requests, "--out", out.to_str().unwrap(), "-q"]).stderr(Stdio::null()).spawn().unwrap();
    let results = out.join("results.jsonl");
    let begun = Instant::now();
    while fs::read_to_string(&results).map_or(0, |text| text.lines().count()) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing was finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let stopped = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stopped.elapsed() < Duration::from_secs(10), "it took {:?}", stopped.elapsed());
    for line in fs::read_to_string(&results).unwrap().lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        assert!(result["segments"].is_array(), "{line}");
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    skip_without_fixtures!();
    let mut child = ualm(&["inspect", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_sound_beyond_the_codec_s_limit_gives_a_warning() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let package = copied_package("tiny-audex-int8", &folder.path().join("package"));
    change_manifest(&package, |manifest| manifest["codecs"]["xcodec"]["most_frames"] = 2.into());
    let package = package.to_str().unwrap();
    let out = folder.path().join("out.wav");
    let out = out.to_str().unwrap();
    for (steps, is_told) in [("8", false), ("12", true)] {
        let steps = ["--min-steps", steps, "--max-steps", steps];
        let output = run(&[&["-m", package, "generate", "rain", "-o", out, "--seed", "1"], &steps[..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).contains("3 frames were made, but only the first 2"), is_told, "{steps:?}");
        assert_eq!(ualm::audio::decode_file(out, &Default::default()).unwrap().waveform.len(), 640);
    }
}
