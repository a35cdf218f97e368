//! Faults of a device, caused by a Vulkan driver that fails on demand (`faulty_driver.c`) in front of the software driver that
//! `VK_DRIVER_FILES` names. A device is lost for a whole process, so that each test runs in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::scope;
use std::time::{Duration, Instant};

use ualm::{
    Checkpoint, Engine, EngineOptions, Error, ErrorKind, Event, GenerationConfig, Limits, Message, Modality, Model,
    SegmentEnd, Session, Tokens,
};
use ualm_testing::{package, root, skip_without_fixtures};

use crate::{DEVICE, config, load, load_on, tokens};

const PACKAGE: &str = "tiny-omni-fp32";
/// The time limit on a test in its process.
const LIMIT: Duration = Duration::from_secs(600);
/// The variables that the driver reads.
const FAULT: &str = "FAULT";
const REAL_DRIVER: &str = "REAL_DRIVER";

/// The fault that a test can make the driver of this process have.
struct Fault(PathBuf);

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Fault {
    fn begin(&self, kind: &str) {
        std::fs::write(&self.0, kind).unwrap();
    }

    fn end(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// In the process of the test `name`, returns its driver's fault. Elsewhere runs the test in a process of its own.
fn in_own_process(name: &str) -> Option<Fault> {
    if let Some(file) = std::env::var_os(FAULT) {
        return Some(Fault(file.into()));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("faults::{name}"), "--nocapture"]);
    fail_on_demand(&mut command, folder.path())?;
    let status = ended(&mut Running(command.spawn().unwrap()).0);
    assert!(status.success(), "{name}: {status}");
    None
}

/// Sets a driver that fails on demand, built in `folder`, for `command`; returns `None` without a device.
fn fail_on_demand(command: &mut Command, folder: &Path) -> Option<Fault> {
    let driver = std::env::var_os("VK_DRIVER_FILES").map(PathBuf::from).filter(|_| DEVICE.is_some());
    let Some(driver) = driver else {
        eprintln!("note: no fault of a device was tried: VK_DRIVER_FILES names no driver (`make test-webgpu` does)");
        return None;
    };
    let description = faulty_driver(folder);
    let file = folder.join("fault");
    command.env("VK_DRIVER_FILES", &description).env("VK_ICD_FILENAMES", description);
    command.env(FAULT, &file).env(REAL_DRIVER, library_of(&driver));
    Some(Fault(file))
}

/// Waits for `child` and returns its exit status.
fn ended(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(20)),
            None => panic!("a process hangs"),
        }
    }
}

/// Compiles the driver in `folder`, and returns its description.
fn faulty_driver(folder: &Path) -> PathBuf {
    let library = folder.join("libfaulty.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(root().join("tests/devices/faulty_driver.c"));
    let output = command.arg("-ldl").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let description = folder.join("faulty.json");
    let icd = serde_json::json!({"library_path": library, "api_version": "1.3.0"});
    std::fs::write(&description, serde_json::json!({"file_format_version": "1.0.1", "ICD": icd}).to_string()).unwrap();
    description
}

/// Returns the library in a driver's description, in the form that the linker takes.
fn library_of(description: &Path) -> PathBuf {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(description).unwrap()).unwrap();
    let named = PathBuf::from(json["ICD"]["library_path"].as_str().unwrap());
    if named.components().count() == 1 { named } else { description.parent().unwrap().join(named) }
}

/// Loads the package on the device. Without a device a test would wait forever for its loss.
fn device() -> Model {
    load_on(DEVICE.as_ref().unwrap(), PACKAGE)
}

/// Checks that `error` names the subject, the device and the remedy of a loss.
fn assert_lost(error: &Error, subject: &str) {
    assert_eq!(error.kind(), ErrorKind::Provider, "{error}");
    for words in [subject, "webgpu", "the device is lost", "restart the program"] {
        assert!(error.message().contains(words), "expected {words:?} in: {error}");
    }
}

/// One long test, because a process loses its device once.
#[test]
fn a_lost_device_is_an_error_of_all_that_runs_there() {
    skip_without_fixtures!();
    let Some(fault) = in_own_process("a_lost_device_is_an_error_of_all_that_runs_there") else { return };
    let model = device();
    let cpu = load(PACKAGE, "cpu");
    model.load_all().unwrap();
    let text = config(&model, Modality::Text, 1);
    let mut session = model.session();
    let mut other = model.session();
    let said = tokens(&mut other, &[Message::text("a bell")], &text);
    let engine = Engine::new(&model, &EngineOptions::default().slots(6).context(300)).unwrap();
    let mut slots: Vec<_> = (0..3).map(|_| engine.session_for(&text).unwrap()).collect();
    for slot in &mut slots {
        assert_eq!(tokens(slot, &[Message::text("a bell")], &text), said);
    }

    let mut two = config(&model, Modality::Text, 1);
    two.force = vec![Modality::Text, Modality::Audio];
    two.insist = true;
    two.max_segments = 2;
    two.audio = config(&model, Modality::Audio, 1).audio;
    let try_reply = |session: &mut Session| {
        let prompt = session.prompt(&[Message::text("what now?")])?;
        session.generate(prompt, &text)?.into_reply()
    };
    let again = |session: &mut Session| try_reply(session).unwrap_err();
    scope(|scope| {
        for mut slot in slots {
            let again = &again;
            scope.spawn(move || {
                let failed = (0..).find_map(|_| {
                    slot.clear();
                    try_reply(&mut slot).err()
                });
                assert_lost(&failed.unwrap(), "the graph");
                assert_lost(&again(&mut slot), "webgpu");
            });
        }
        let prompt = session.prompt(&[Message::text("a bell")]).unwrap();
        let mut segments = Vec::new();
        let mut steps = 0;
        let mut failed = None;
        for event in session.generate(prompt, &two).unwrap() {
            match event {
                Ok(Event::AudioProgress { .. }) => {
                    steps += 1;
                    if steps == 5 {
                        fault.begin("lost");
                    }
                }
                Ok(Event::SegmentEnded { segment, .. }) => segments.push(segment),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        assert_lost(&failed.unwrap(), "the graph");
        assert_eq!((segments.len(), segments[1].end, segments[1].tokens.len()), (2, SegmentEnd::Failed, 5));
        assert!(!segments[0].text.is_empty() && segments[0].end != SegmentEnd::Failed);
    });
    assert_lost(&again(&mut session), "the graph");
    assert_lost(&again(&mut other), "the graph");
    assert_lost(&again(&mut model.session()), "the graph");
    // the graph is on the CPU if the device's attention is wrong
    let is_there = |graph: &ualm::provider::GraphPlacement| graph.graph == "audio_encoder" && graph.provider != "cpu";
    if model.provider_report().unwrap().graphs.iter().any(is_there) {
        assert_lost(&model.audio_features(&crate::hum(1.0)).unwrap_err(), "audio_encoder");
    }
    assert_lost(&Engine::new(&model, &EngineOptions::default()).err().unwrap(), "llm");
    let options = ualm::RuntimeOptions::default().providers("webgpu".parse::<ualm::Providers>().unwrap());
    let error = Model::load_with(package(PACKAGE), &options).err().unwrap();
    assert!(error.kind() == ErrorKind::Provider && error.message().contains("lost"), "{error}");
    let report = model.provider_report().unwrap();
    assert!(report.lost_devices["webgpu"].contains("lost") && report.to_string().contains("is lost"), "{report}");
    // the fault is over, but the device stays lost
    fault.end();
    assert_lost(&again(&mut session), "the graph");
    drop((session, other, engine, model));
    assert_eq!(tokens(&mut cpu.session(), &[Message::text("a bell")], &text), said, "the CPU goes on");
}

#[test]
fn work_without_memory_is_refused_and_other_work_continues() {
    skip_without_fixtures!();
    let Some(fault) = in_own_process("work_without_memory_is_refused_and_other_work_continues") else { return };
    let devices = [DEVICE.clone(), crate::replaying(DEVICE.as_ref().unwrap())];
    // other sizes each time, because the provider keeps released memory
    for (device, slots) in devices.iter().flatten().zip([64, 150]) {
        find_no_memory(&fault, &load(PACKAGE, device), &load(PACKAGE, "cpu"), slots);
    }
}

fn find_no_memory(fault: &Fault, model: &Model, cpu: &Model, slots: usize) {
    let text = config(model, Modality::Text, 1).seed(1);
    let mut session = model.session();
    let first = tokens(&mut session, &[Message::text("a bell")], &text);
    let prompt = session.prompt(&[Message::text("and now?")]).unwrap();
    let checkpoint = session.checkpoint(&prompt).unwrap();

    fault.begin("memory");
    let no_memory = |error: Error, subject: &str| {
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        for words in [subject, "webgpu", "no memory left", "fewer slots"] {
            assert!(error.message().contains(words), "expected {words:?} in: {error}");
        }
    };
    let engine = || Engine::new(model, &EngineOptions::default().slots(slots));
    no_memory(engine().err().unwrap(), "llm");
    no_memory(session.fork(&checkpoint).err().unwrap(), "llm");
    let mut long = text.clone();
    long.text.max_steps = 250; // beyond the first 256 positions
    long.text.min_steps = 250;
    let grown = session.generate_from(&checkpoint, &long).and_then(ualm::Generation::into_reply);
    no_memory(grown.unwrap_err(), "llm");
    let error = Model::load_with(package("synthetic-fp32"), &model_options()).err().unwrap();
    assert!(error.message().contains("OUT_OF_DEVICE_MEMORY"), "{error}");
    fault.end();
    assert!(engine().is_ok(), "the size that failed");

    let found = reply_from(&mut session, &checkpoint, &long);
    let mut alone = cpu.session();
    assert_eq!(tokens(&mut alone, &[Message::text("a bell")], &text), first);
    let prompt = alone.prompt(&[Message::text("and now?")]).unwrap();
    let checkpoint = alone.checkpoint(&prompt).unwrap();
    assert_eq!(found, reply_from(&mut alone, &checkpoint, &long), "the session goes on as if nothing had failed");

    fail_at_each_allocation(fault, model, cpu);
}

/// Returns the tokens of the segments of a reply from `checkpoint`.
fn reply_from(session: &mut Session, checkpoint: &Checkpoint, config: &GenerationConfig) -> Vec<Tokens> {
    let reply = session.generate_from(checkpoint, config).unwrap().into_reply().unwrap();
    reply.segments.into_iter().map(|segment| segment.tokens).collect()
}

/// Fails at each allocation of the first two steps on a new cache, which may be recorded; the next reply is right again.
fn fail_at_each_allocation(fault: &Fault, model: &Model, cpu: &Model) {
    let begun = |model: &Model| {
        let mut session = model.session();
        let prompt = session.prompt_for(Modality::Audio, &[Message::text("rain")]).unwrap();
        let checkpoint = session.checkpoint(&prompt).unwrap();
        (session, checkpoint)
    };
    let mut short = config(model, Modality::Audio, 1);
    short.audio.min_steps = 4;
    short.audio.max_steps = 4;
    let (mut alone, of_alone) = begun(cpu);
    let expected = reply_from(&mut alone, &of_alone, &short);
    let mut faults = 0;
    for allocations in 0..12 {
        let (mut session, checkpoint) = begun(model);
        let mut failed = None;
        for event in session.generate_from(&checkpoint, &short).unwrap() {
            match event {
                Ok(Event::SegmentStarted { .. }) => fault.begin(&format!("memory {allocations}")),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        fault.end();
        assert_eq!(
            reply_from(&mut session, &checkpoint, &short),
            expected,
            "after {allocations} allocations and then {failed:?}"
        );
        faults += usize::from(failed.is_some());
    }
    assert_eq!(faults, 12);
}

#[test]
fn a_cache_that_is_larger_than_a_device_allows_is_refused() {
    skip_without_fixtures!();
    for device in DEVICE.iter() {
        let model = load(PACKAGE, device).with_limits(Limits::default().memory(1 << 40));
        let options = EngineOptions::default().slots(70_000).context(4096);
        let error = Engine::new(&model, &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        for words in ["70000 × 4096 positions", "llm on webgpu", "fewer slots"] {
            assert!(error.message().contains(words), "expected {words:?} in: {error}");
        }
        let text = config(&model, Modality::Text, 1);
        assert!(!tokens(&mut model.session(), &[Message::text("a bell")], &text).is_empty());
    }
}

/// The server answers with the remedy, and ends as usual.
#[test]
fn a_server_reports_that_its_device_is_lost() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    let device = DEVICE.as_deref().unwrap_or_default();
    command.args(["serve", "--listen", "127.0.0.1:0", "--provider", device, "--model"]).arg(package(PACKAGE));
    let Some(fault) = fail_on_demand(&mut command, folder.path()) else { return };
    let mut server = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| Some(line.split_once("listening on http://")?.1.to_owned())).unwrap();
    let log = std::thread::spawn(move || lines.collect::<Vec<_>>());
    let ask = |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let length = body.len();
        let json = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all((head + &json).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let message = r#"{"model": "MODEL", "messages": [{"role": "user", "content": "a bell"}], "max_tokens": 20, "modalities": ["text"]}"#;
    let name = ualm::Package::open(package(PACKAGE)).unwrap().manifest().name.clone();
    let message = message.replace("MODEL", &name);
    let chat = || ask("POST", "/v1/chat/completions", &message);
    assert!(chat().starts_with("HTTP/1.1 200"), "{}", chat());
    fault.begin("lost");
    for _ in 0..3 {
        let answer = chat();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("device_lost") && answer.contains("must be restarted"), "{answer}");
    }
    let health = ask("GET", "/health", "");
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("device_lost"), "{health}");
    let id = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(ended(&mut server.0).success());
    let log = log.join().unwrap();
    assert!(log.iter().any(|line| line.contains("webgpu") && line.contains("is lost")), "{log:?}");
}

fn model_options() -> ualm::RuntimeOptions {
    ualm::RuntimeOptions::default().providers("webgpu".parse::<ualm::Providers>().unwrap())
}
