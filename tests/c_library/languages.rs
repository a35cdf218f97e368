//! The C library from C, C++ and Python: it obeys its contract, and gives the same results as Rust and the command
//! line.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use ualm::audio::{DecodeOptions, WavFormat, Waveform, decode_file, write_wav};
use ualm::{
    Chain, ChainOptions, ChainRunner, GenerationConfig, Message, Modality, Model, ReasoningMode, Reply, TakeRunner,
};
use ualm_testing::{package, package_by_prompt, root, skip_without_fixtures};

use crate::installed::{Link, PREFIX, WATCH, compile, is_installed, program, python_interface, scratch, text, works};

const PROMPT: &str = "a dog barks twice and then a bell rings";
const SEED: u64 = 3;

/// Compiles a test program with the checking tool.
fn test_program(source: &str) -> PathBuf {
    let mut arguments = vec!["-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-g"];
    arguments.extend(WATCH.flags());
    compile(&root().join("tests").join(source), &source.replace(['/', '.'], "-"), Link::Shared, &arguments)
}

fn tiny() -> PathBuf {
    package("tiny-omni-fp32")
}

fn run(program: &Path, arguments: &[&str]) -> String {
    text(&works(WATCH.command(program).args(arguments)).stdout)
}

fn ualm(arguments: &[&str]) -> String {
    text(&works(Command::new(program()).args(arguments).arg("--model").arg(tiny())).stdout)
}

/// Generates the reply in Rust.
fn reply(change: impl FnOnce(&mut GenerationConfig)) -> Reply {
    let model = Model::load(tiny()).unwrap();
    let mut config = model.config();
    config.force = vec![Modality::Audio];
    config.max_segments = 1;
    config.seed = SEED;
    change(&mut config);
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text(PROMPT)]).unwrap();
    session.generate(prompt, &config).unwrap().into_reply().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn wrong_arguments_are_refused() {
    skip_without_fixtures!();
    let empty = tempfile::tempdir().unwrap();
    run(&test_program("c/arguments.c"), &[path(&tiny()), path(empty.path())]);
}

#[test]
fn threads_and_callbacks_obey_the_contract() {
    skip_without_fixtures!();
    run(&test_program("c/threads.c"), &[path(&tiny())]);
}

#[test]
fn sessions_of_an_engine_are_batched() {
    skip_without_fixtures!();
    run(&test_program("c/engine.c"), &[path(&tiny())]);
}

#[test]
fn sound_is_enhanced_by_packages_with_an_enhancer() {
    skip_without_fixtures!();
    run(&test_program("c/enhancer.c"), &[path(&package("enhanced-fp32")), path(&tiny())]);
}

/// Returns the files of a package.
fn files(package: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(package).unwrap().map(|e| path(&e.unwrap().path()).to_owned()).collect();
    files.sort();
    files
}

#[test]
fn checkpoints_records_and_tensors_are_the_same_as_in_rust() {
    skip_without_fixtures!();
    let package = tiny();
    let out = scratch("from-checkpoints.wav");
    let mut arguments = vec![path(&package), path(&out)];
    let files = files(&package);
    arguments.extend(files.iter().map(String::as_str));
    let printed = run(&test_program("c/checkpoints.c"), &arguments);

    let model = Model::load(&package).unwrap();
    let mut state = 1u32;
    let noise = (0..16000).map(|_| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 16) as f32 / 65536.0 - 0.5
    });
    let noise = Waveform::mono(noise.collect(), 16000).unwrap();
    let question = Message::text("what is it?");
    let mut session = model.session();
    let prompt = session.prompt(std::slice::from_ref(&question)).unwrap();
    let (text, audio) = session.next_logits(&prompt).unwrap();
    let features = model.audio_features(&noise).unwrap();
    let prompt = model.prompt(&[question, Message::audio(noise)]).unwrap();
    let embeddings = model.prompt_embeddings(&prompt).unwrap();
    let rust = [
        ("features", features.nrows(), features.iter().copied().collect()),
        ("text", 1, text),
        ("audio", 1, audio.unwrap()),
        ("embeddings", embeddings.nrows(), embeddings.into_iter().collect()),
    ];
    assert_eq!(printed.lines().count(), rust.len());
    for (line, (name, rows, data)) in printed.lines().zip(rust) {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[..3], [name, &rows.to_string(), &(data.len() / rows).to_string()]);
        let found = words[3].parse::<f64>().unwrap();
        let wanted = data.iter().map(|x| f64::from(*x)).sum::<f64>();
        assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{line}: the sum in Rust is {wanted}");
    }
}

#[test]
fn chains_and_takes_are_the_same_as_in_rust() {
    skip_without_fixtures!();
    let printed = run(&test_program("c/chains.c"), &[path(&tiny())]);

    let model = Model::load(tiny()).unwrap();
    let drawn = |config: &mut GenerationConfig| (config.audio.temperature, config.audio.max_steps) = (1.0, 14);
    let chain = Chain::new(ReasoningMode::Reflect).listen(true);
    let options = ChainOptions::default().seed(5).settings(drawn);
    let takes = TakeRunner::new(&model, 1).unwrap();
    let mut runner = ChainRunner::begin(takes, chain, "rain", options).unwrap();
    runner.run(|_| Ok(())).unwrap();
    let segments = runner.record().turns.iter().flat_map(|turn| &turn.segments);
    let mut expected: Vec<_> = segments.map(|segment| segment.tokens.ids().to_vec()).collect();
    for seed in 7..10 {
        let mut config = model.config().only(Modality::Audio).seed(seed);
        drawn(&mut config);
        let mut session = model.session();
        let prompt = session.prompt(&[Message::text("rain")]).unwrap();
        let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
        expected.push(reply.segments[0].tokens.ids().to_vec());
    }
    let found: Vec<Vec<u32>> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn chains_by_prompt_are_the_same_as_in_rust() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let package = package_by_prompt(&folder.path().join("package"));
    let printed = run(&test_program("c/chains_by_prompt.c"), &[path(&package)]);

    let model = Model::load(&package).unwrap();
    let chain = Chain::new(ReasoningMode::Reflect);
    let takes = TakeRunner::new(&model, 1).unwrap();
    let mut runner = ChainRunner::begin(takes, chain, "rain", ChainOptions::default().seed(5)).unwrap();
    runner.run(|_| Ok(())).unwrap();
    let segments = runner.record().turns.iter().flat_map(|turn| &turn.segments);
    let expected: Vec<_> = segments.map(|segment| segment.tokens.ids().to_vec()).collect();
    let found: Vec<Vec<u32>> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_cpp_wrapper_offers_the_same() {
    skip_without_fixtures!();
    run(&test_program("cpp/wrapper.cpp"), &[path(&tiny()), path(&scratch("from-wrapper.wav"))]);
}

#[cfg(target_os = "linux")]
#[test]
fn repeated_use_leaks_nothing() {
    skip_without_fixtures!();
    let rounds = std::env::var("UALM_ROUNDS").unwrap_or_else(|_| "300".into());
    print!("{}", run(&test_program("c/rounds.c"), &[path(&tiny()), &rounds]));
}

#[test]
fn the_same_seed_gives_the_same_tokens_in_all_languages() {
    skip_without_fixtures!();
    let rust = reply(|_| ());
    let frames = serde_json::to_value(&rust.segments[0].tokens).unwrap();
    assert!(frames.as_array().unwrap().len() > 8, "too short to mean anything: {frames}");

    let seed = SEED.to_string();
    for source in ["c/frames.c", "cpp/frames.cpp"] {
        let found = run(&test_program(source), &[path(&tiny()), PROMPT, &seed]);
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), frames, "{source}");
    }

    if let Some(mut python) = python_interface() {
        let script = root().join("tests/python/frames.py");
        let found = text(&works(python.args([script, tiny()]).args([PROMPT, &seed])).stdout);
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), frames, "Python");
    }

    let folder = tempfile::tempdir().unwrap();
    let requests = folder.path().join("requests.jsonl");
    let content = json!([{"type": "text", "text": PROMPT}]);
    let request = json!({"id": "1", "messages": [{"role": "user", "content": content}], "force": ["audio"],
        "max_segments": 1, "seed": SEED});
    fs::write(&requests, request.to_string()).unwrap();
    ualm(&["batch", path(&requests), "--out", path(folder.path()), "--frames"]);
    let results = fs::read_to_string(folder.path().join("results.jsonl")).unwrap();
    let result: Value = serde_json::from_str(results.lines().next().unwrap()).unwrap();
    assert_eq!(result["segments"][0]["frames"], frames, "command line");
}

#[test]
fn the_examples_give_the_same_results_as_the_command_line() {
    skip_without_fixtures!();
    let seed = SEED.to_string();
    let wanted = scratch("from-ualm.wav");
    ualm(&["generate", PROMPT, "-o", path(&wanted), "--seed", &seed, "--no-take"]);
    let wanted_bytes = fs::read(&wanted).unwrap();
    assert!(wanted_bytes.len() > 1000);

    let example = |name: &str| root().join("examples").join(name);
    for (link, kind) in [(Link::Shared, "shared"), (Link::Static, "static")] {
        let generate = compile(&example("c/generate.c"), &format!("generate-{kind}"), link, &[]);
        let out = scratch(&format!("from-c-{kind}.wav"));
        run(&generate, &[path(&tiny()), PROMPT, path(&out), &seed]);
        assert!(fs::read(&out).unwrap() == wanted_bytes, "generate.c, {kind}: another sound than the program's");
    }
    let ask = compile(&example("c/ask.c"), "ask", Link::Shared, &[]);
    let answer = run(&ask, &[path(&tiny()), path(&wanted), "What is it?"]);
    assert_eq!(answer, ualm(&["ask", path(&wanted), "What is it?"]), "ask.c");

    let reason = compile(&example("c/reason.c"), "reason", Link::Shared, &[]);
    let out = scratch("from-reason.wav");
    let folder = tempfile::tempdir().unwrap();
    run(&reason, &[path(&tiny()), PROMPT, path(&out), &seed]);
    let chain = folder.path().join("chain");
    ualm(&["reason", PROMPT, "-o", path(&chain), "--seed", &seed, "-q"]);
    let samples = |file: &Path| decode_file(file, &DecodeOptions::default()).unwrap().waveform;
    assert_eq!(samples(&out), samples(&chain.join("02-final.wav")), "reason.c");
    ualm(&["take", path(&out), "--again"]);

    let stream = compile(&example("cpp/stream.cpp"), "stream", Link::Shared, &[]);
    let out = scratch("from-cpp.wav");
    let rust = scratch("from-rust.wav");
    run(&stream, &[path(&tiny()), PROMPT, path(&out), &seed]);
    write_wav(&rust, reply(|config| config.stream_audio = true).audio().unwrap(), WavFormat::Float32).unwrap();
    assert_eq!(fs::read(&out).unwrap(), fs::read(&rust).unwrap(), "stream.cpp");

    let Some(mut python) = python_interface() else { return };
    let script = example("python/stream.py");
    let out = scratch("from-python.wav");
    python.args([&script, Path::new(PROMPT), &out]).args(["--seed", &seed, "--model"]).arg(tiny());
    works(&mut python);
    assert_eq!(fs::read(&out).unwrap(), fs::read(&rust).unwrap(), "stream.py");

    let mut python = python_interface().unwrap();
    python.arg(example("python/generate.py")).current_dir(folder.path()).env("UALM_MODEL", tiny());
    works(&mut python);
    let wanted = scratch("a-dog-barking.wav");
    ualm(&["generate", "a dog barking", "-o", path(&wanted), "--seed", "1"]);
    assert_eq!(fs::read(folder.path().join("dog.wav")).unwrap(), fs::read(&wanted).unwrap(), "generate.py");
}

/// Runs without the user's folders and without a folder for temporary files; the working folder must stay unchanged.
#[test]
fn the_library_works_without_writable_folders() {
    skip_without_fixtures!();
    let generate = compile(&root().join("examples/c/generate.c"), "generate-closed", Link::Shared, &[]);
    let out = scratch("from-closed.wav");
    let folder = tempfile::tempdir().unwrap();
    let mut command = WATCH.command(&generate);
    command.env("ORT_DYLIB_PATH", ualm::internal::find_library(None).unwrap());
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
        command.env(name, "/dev/null/nothing");
    }
    works(command.args([path(&tiny()), PROMPT, path(&out), "3"]).current_dir(folder.path()));
    assert!(out.is_file());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file was left");
    let failed =
        WATCH.command(&generate).args([path(&tiny()), PROMPT, "/dev/null/nothing/x.wav", "3"]).output().unwrap();
    assert!(!failed.status.success());
    assert!(text(&failed.stderr).contains("/dev/null/nothing/x.wav"), "{}", text(&failed.stderr));
}

/// Compiles the example `source` as a program that calls its `main` on six threads.
fn example_in_threads(source: &str) -> PathBuf {
    let example = root().join("examples").join(source);
    let harness = if source.ends_with(".cpp") { "cpp/example_in_threads.cpp" } else { "c/example_in_threads.c" };
    let name = format!("threads-{}", source.replace(['/', '.'], "-"));
    let named = format!("-DEXAMPLE=\"{}\"", path(&example));
    let mut arguments = vec!["-D_POSIX_C_SOURCE=200809L", "-g", &*named];
    arguments.extend(WATCH.flags());
    compile(&root().join("tests").join(harness), &name, Link::Shared, &arguments)
}

#[test]
fn the_examples_work_in_six_threads_of_one_process() {
    skip_without_fixtures!();
    let seed = SEED.to_string();
    let folder = TempDir::new().unwrap();
    let alone = |program: PathBuf, name: &str| {
        let out = folder.path().join(name);
        run(&program, &[path(&tiny()), PROMPT, path(&out), &seed]);
        fs::read(out).unwrap()
    };
    for source in ["c/generate.c", "c/reason.c", "cpp/stream.cpp"] {
        let name = source.replace(['/', '.'], "-");
        let wanted = alone(compile(&root().join("examples").join(source), &name, Link::Shared, &[]), "alone.wav");
        let out = folder.path().join(format!("{name}-{{}}.wav"));
        run(&example_in_threads(source), &[path(&tiny()), PROMPT, path(&out), &seed]);
        for thread in 0..6 {
            let made = fs::read(folder.path().join(format!("{name}-{thread}.wav"))).unwrap();
            assert!(made == wanted, "{source}: thread {thread} made another sound");
        }
    }

    let sound = folder.path().join("alone.wav");
    let ask = compile(&root().join("examples/c/ask.c"), "ask-alone", Link::Shared, &[]);
    let answer = run(&ask, &[path(&tiny()), path(&sound), "What is it?"]);
    let answers = run(&example_in_threads("c/ask.c"), &[path(&tiny()), path(&sound), "What is it?"]);
    assert_eq!(answers.len(), 6 * answer.len(), "six answers, perhaps in pieces between each other");
}

#[test]
fn the_examples_report_failures() {
    skip_without_fixtures!();
    let generate = compile(&root().join("examples/c/generate.c"), "generate-failing", Link::Shared, &[]);
    let output = Command::new(&generate).args(["no/such/package", "rain", "x.wav"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error (package): no/such/package: no model package is here"));
    let stream = compile(&root().join("examples/cpp/stream.cpp"), "stream-failing", Link::Shared, &[]);
    let output = Command::new(&stream).args([path(&tiny()), "rain", "no/such/folder/x.wav"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("error (io): no/such/folder/x.wav"), "{}", text(&output.stderr));
    let output = Command::new(&stream).args([path(&tiny()), "rain", "x.wav", "seven"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a seed that is no number: {}", text(&output.stderr));
}

/// Returns the example in the header's comment.
fn example_of_the_header() -> String {
    let header = fs::read_to_string(root().join("crates/capi/include/ualm.h")).unwrap();
    let example = header.split("AN EXAMPLE").nth(1).unwrap().split("*/").next().unwrap();
    let lines = example.lines().filter_map(|line| line.strip_prefix(" *     "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_header_s_example_works_as_c_and_cpp_with_both_libraries() {
    skip_without_fixtures!();
    let c = scratch("header-example.c");
    let cpp = scratch("header-example.cpp");
    let example = example_of_the_header();
    assert!(example.lines().count() <= 40, "the example is to be short");
    fs::write(&c, &example).unwrap();
    fs::write(&cpp, &example).unwrap();
    let package = root().join("onnx/default");
    let watched = WATCH.flags();
    let mut results = Vec::new();
    for (name, source, link, arguments) in [
        ("header-c-shared", &c, Link::Shared, watched),
        ("header-c-static", &c, Link::Static, &[]),
        ("header-cpp-shared", &cpp, Link::Shared, &[]),
        ("header-cpp-static", &cpp, Link::Static, &[]),
    ] {
        let out = scratch(&format!("{name}.wav"));
        let program = compile(source, name, link, arguments);
        results.push((run(&program, &[path(&package), path(&out)]), fs::read(&out).unwrap()));
    }
    assert!(results.iter().all(|result| *result == results[0]));
    assert!(results[0].0.trim().len() > 2 && results[0].1.len() > 10_000);
    let usage = Command::new(scratch("header-c-shared")).output().unwrap();
    assert_eq!((usage.status.code(), text(&usage.stderr).trim()), (Some(1), "error: usage: PACKAGE OUT.wav"));
}

#[test]
fn pkg_config_finds_the_library() {
    skip_without_fixtures!();
    if !is_installed("pkg-config") {
        eprintln!("note: no pkg-config here; its file was not tried");
        return;
    }
    let asked = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        text(&works(command.args(arguments).arg("ualm").env("PKG_CONFIG_PATH", PREFIX.join("lib/pkgconfig"))).stdout)
    };
    assert_eq!(asked(&["--modversion"]).trim(), env!("CARGO_PKG_VERSION"));
    assert!(asked(&["--cflags"]).contains("include") && asked(&["--libs"]).contains("-lualm"));
    assert!(asked(&["--libs", "--static"]).contains("-lm"));
}

#[test]
fn cmake_finds_the_library_both_ways() {
    skip_without_fixtures!();
    if !is_installed("cmake") {
        eprintln!("note: no CMake here; examples/CMakeLists.txt was not tried");
        return;
    }
    let mut ways: Vec<&[&str]> = vec![&[], &["-DUALM_STATIC=ON"]];
    if is_installed("pkg-config") {
        ways.push(&["-DUALM_PKG_CONFIG=ON"]);
    }
    for (number, way) in ways.iter().enumerate() {
        let build = scratch(&format!("cmake-{number}"));
        let _ = fs::remove_dir_all(&build);
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(root().join("examples")).arg("-B").arg(&build).args(*way);
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", PREFIX.display()));
        works(configure.env("PKG_CONFIG_PATH", PREFIX.join("lib/pkgconfig")));
        works(Command::new("cmake").arg("--build").arg(&build));
        let out = build.join("sound.wav");
        run(&build.join("generate"), &[path(&tiny()), PROMPT, path(&out), "3"]);
        assert!(fs::metadata(&out).unwrap().len() > 1000);
    }
}
