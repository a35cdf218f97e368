//! Nothing is needed that cannot be written: without a home, without a folder for temporary files, on a read-only file system.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;
use ualm_testing::{package, skip_without_fixtures};

/// The variables that name folders of a person, or of the system for temporary files.
const FOLDERS: [&str; 6] = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "TMPDIR"];

/// No folder, and none can be made.
const NOWHERE: &str = "/dev/null/nothing";

/// A way to run the program with less than it usually has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Without the variables.
    NoVariables,
    /// The variables name a folder that is not there.
    NoFolders,
    /// The variables name a folder of a read-only file system, and all else but the folder of outputs is read-only, too.
    ReadOnly,
}

impl Place {
    /// All that can be had on this machine; tells which cannot.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::NoVariables, Self::NoFolders];
        if sandbox(Path::new("/tmp")).arg("true").status().is_ok_and(|status| status.success()) {
            all.push(Self::ReadOnly);
        } else {
            let _ =
                writeln!(std::io::stderr(), "no read-only file system was tried: bubblewrap (bwrap) does not run here");
        }
        all
    }

    /// The program in `folder`, the only one that may be written to.
    fn program(self, folder: &Path) -> Command {
        let program = env!("CARGO_BIN_EXE_ualm");
        let library = ualm::internal::find_library(None).unwrap();
        let mut command = match self {
            Self::ReadOnly => sandbox(folder),
            _ => Command::new(program),
        };
        if self == Self::ReadOnly {
            command.arg(program);
        }
        for name in FOLDERS {
            match self {
                Self::NoVariables => command.env_remove(name),
                Self::NoFolders => command.env(name, NOWHERE),
                Self::ReadOnly => command.env(name, "/usr"),
            };
        }
        command.env("UALM_MODEL", package("tiny-omni-fp32")).env("ORT_DYLIB_PATH", library).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A command before another one, which then finds a read-only file system with one folder that may be written to.
fn sandbox(folder: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--die-with-parent", "--bind"]).arg(folder).arg(folder);
    command.args(["--chdir"]).arg(folder).arg("--");
    command
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn words(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!words.contains("panicked"), "{words}");
    words
}

#[test]
fn every_command_works() {
    skip_without_fixtures!();
    for place in Place::all() {
        let folder = TempDir::new().unwrap();
        let run = |arguments: &[&str]| succeeds(place.program(folder.path()).args(arguments));
        let prompt = "a dog barks twice and then a bell rings";
        run(&["generate", prompt, "-o", "made.wav", "--temperature", "0", "--seed", "1", "--max-steps", "60"]);
        run(&["ask", "made.wav", "what is it?", "--seed", "1", "--max-steps", "4"]);
        run(&["codec", "encode", "made.wav", "-o", "made.npy"]);
        run(&["codec", "decode", "made.npy", "-o", "back.wav"]);
        run(&["reason", "rain", "-o", "chain", "--seed", "1", "--max-steps", "10"]);
        let content = json!([{"type": "text", "text": "rain"}]);
        let request = json!({"id": "1", "messages": [{"role": "user", "content": content}], "force": ["audio"],
            "audio": {"max_steps": 10}, "max_segments": 1});
        std::fs::write(folder.path().join("requests.jsonl"), request.to_string() + "\n").unwrap();
        run(&["batch", "requests.jsonl", "--out", "results"]);
        let checks: serde_json::Value = serde_json::from_str(&run(&["doctor", "--json"])).unwrap();
        assert!(checks.as_array().unwrap().iter().all(|check| check["ok"] == true), "{checks}");
        for name in ["made.wav", "back.wav", "chain/reply.json", "results/results.jsonl"] {
            assert!(folder.path().join(name).is_file(), "{place:?}: {name} is missing");
        }
    }
}

/// Nor is a file left that nobody asked for: ONNX Runtime, left to itself, keeps telemetry in the cache or the working folder. It does not
/// where it takes the environment for that of continuous integration.
#[test]
fn nothing_is_written_but_the_output() {
    skip_without_fixtures!();
    for has_home in [true, false] {
        let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut command = Place::NoVariables.program(folder.path());
        let kept = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let kept: Vec<_> = kept.collect();
        command.env_clear().envs(kept);
        if has_home {
            command.env("HOME", home.path());
        }
        succeeds(command.args(["generate", "rain", "-o", "out.wav", "--seed", "1", "--max-steps", "20"]));
        let names = |folder: &TempDir| -> Vec<_> {
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        assert_eq!((names(&home), names(&folder)), (vec![], vec!["out.wav".into()]));
    }
}

#[test]
fn a_chat_works_without_a_history() {
    skip_without_fixtures!();
    for place in Place::all() {
        let folder = TempDir::new().unwrap();
        let mut command = place.program(folder.path());
        let mut chat =
            command.arg("chat").args(["--seed", "1", "--max-steps", "5"]).stdin(Stdio::piped()).spawn().unwrap();
        chat.stdin.take().unwrap().write_all(b"rain\n/quit\n").unwrap();
        let output = chat.wait_with_output().unwrap();
        assert!(output.status.success(), "{place:?}: {}", words(&output));
    }
}

/// A server, stopped when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server, and returns the address that it tells.
fn serve(command: &mut Command) -> (Server, String) {
    let mut server = Server(command.args(["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap());
    let mut told = BufReader::new(server.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = told.find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned));
    // what it says later must not fill the pipe
    std::thread::spawn(move || told.for_each(drop));
    (server, address.expect("the server did not begin"))
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_server_serves() {
    skip_without_fixtures!();
    for place in Place::all() {
        let folder = TempDir::new().unwrap();
        let (_server, address) = serve(&mut place.program(folder.path()));
        let body = r#"{"model": "x", "input": "rain", "ualm": {"modality": "audio", "seed": 1, "max_steps": 20}}"#;
        let answer = ask(&address, &format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
        let name = answer.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let body = body.replace("\"x\"", &format!("{name:?}"));
        let head = format!("POST /v1/audio/speech HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let length = body.len();
        let answer =
            ask(&address, &format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{place:?}: {answer}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the server wrote a file");
    }
}

/// Whether a folder is there that this user may not write to; the superuser may write to any.
fn closed_folder(folder: &TempDir) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    let is_closed = std::fs::write(closed.join("x"), "").is_err();
    if !is_closed {
        let _ = writeln!(std::io::stderr(), "no folder without permission was tried: the superuser may write to any");
    }
    is_closed.then_some(closed)
}

#[test]
fn the_folder_that_cannot_be_written_to_is_named() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let closed = closed_folder(&folder);
    let mut cases = vec![(Place::NoFolders, PathBuf::from(NOWHERE), "not a ")];
    if let Some(closed) = closed {
        cases.push((Place::NoFolders, closed, "permission"));
    }
    if Place::all().contains(&Place::ReadOnly) {
        cases.push((Place::ReadOnly, PathBuf::from("/usr"), "read-only"));
    }
    std::fs::write(folder.path().join("requests.jsonl"), "").unwrap();
    for (place, out, why) in cases {
        let outputs = [("generate", "x.wav"), ("reason", "chain"), ("batch", "results")];
        for (command, name) in outputs {
            let target = out.join(name);
            let target = target.to_str().unwrap();
            let mut run = place.program(folder.path());
            match command {
                "batch" => run.args([command, "requests.jsonl", "--out", target]),
                _ => run.args([command, "rain", "-o", target, "--seed", "1", "--max-steps", "5"]),
            };
            let output = run.output().unwrap();
            let told = words(&output).to_lowercase();
            assert_eq!(output.status.code(), Some(1), "{place:?} {command}: {told}");
            assert!(told.contains(out.to_str().unwrap()), "{place:?} {command}: the folder is not named: {told}");
            assert!(told.contains(why), "{place:?} {command}: expected {why:?} in: {told}");
        }
    }
}

/// As systemd asks it: `Type=notify`.
#[cfg(target_os = "linux")]
#[test]
fn a_manager_of_services_is_told_when_the_server_is_ready_and_when_it_stops() {
    use std::os::unix::net::UnixDatagram;
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let (mut server, address) = serve(Place::NoFolders.program(folder.path()).env("NOTIFY_SOCKET", &path));
    assert_eq!(told().trim(), "READY=1");
    assert!(ask(&address, "GET /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
    Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert_eq!(told().trim(), "STOPPING=1");
    assert!(server.0.wait().unwrap().success());
}
