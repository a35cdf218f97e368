//! The program works without a home folder, without a folder for temporary files, and on a read-only file system.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;
use ualm_testing::{package, skip_without_fixtures};

/// The variables that name the user's folders and the folder for temporary files.
const FOLDERS: [&str; 6] = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "TMPDIR"];

/// A folder that does not exist and cannot be created.
const NOWHERE: &str = "/dev/null/nothing";

/// A restricted environment for the program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Environment {
    /// Without the variables.
    NoVariables,
    /// The variables name a missing folder.
    NoFolders,
    /// The variables name a folder of a read-only file system, on which only the output folder is writable.
    ReadOnly,
}

impl Environment {
    /// Returns the environments that this machine supports, and prints the others.
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

    /// Returns a command for the program, with `folder` as the only writable folder.
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

/// Returns a command that runs another one on a read-only file system with one writable folder.
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
    for environment in Environment::all() {
        let folder = TempDir::new().unwrap();
        let run = |arguments: &[&str]| succeeds(environment.program(folder.path()).args(arguments));
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
            assert!(folder.path().join(name).is_file(), "{environment:?}: {name} is missing");
        }
    }
}

/// Checks that no other files appear: by default ONNX Runtime stores telemetry in the cache or the working folder,
/// unless it detects continuous integration.
#[test]
fn only_the_output_is_written() {
    skip_without_fixtures!();
    for has_home in [true, false] {
        let home = TempDir::new().unwrap();
        let folder = TempDir::new().unwrap();
        let mut command = Environment::NoVariables.program(folder.path());
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
    for environment in Environment::all() {
        let folder = TempDir::new().unwrap();
        let mut command = environment.program(folder.path());
        let mut chat =
            command.arg("chat").args(["--seed", "1", "--max-steps", "5"]).stdin(Stdio::piped()).spawn().unwrap();
        chat.stdin.take().unwrap().write_all(b"rain\n/quit\n").unwrap();
        let output = chat.wait_with_output().unwrap();
        assert!(output.status.success(), "{environment:?}: {}", words(&output));
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

/// Starts a server, and returns its address.
fn serve(command: &mut Command) -> (Server, String) {
    let mut server = Server(command.args(["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned));
    // later output must not fill the pipe
    std::thread::spawn(move || lines.for_each(drop));
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
    for environment in Environment::all() {
        let folder = TempDir::new().unwrap();
        let (_server, address) = serve(&mut environment.program(folder.path()));
        let body = r#"{"model": "x", "input": "rain", "ualm": {"modality": "audio", "seed": 1, "max_steps": 20}}"#;
        let answer = ask(&address, &format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
        let name = answer.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let body = body.replace("\"x\"", &format!("{name:?}"));
        let head = format!("POST /v1/audio/speech HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let length = body.len();
        let answer =
            ask(&address, &format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{environment:?}: {answer}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the server wrote a file");
    }
}

/// Returns a folder that this user cannot write to; the superuser can write to any.
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
fn an_unwritable_folder_is_named() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let closed = closed_folder(&folder);
    let mut cases = vec![(Environment::NoFolders, PathBuf::from(NOWHERE), "not a ")];
    if let Some(closed) = closed {
        cases.push((Environment::NoFolders, closed, "permission"));
    }
    if Environment::all().contains(&Environment::ReadOnly) {
        cases.push((Environment::ReadOnly, PathBuf::from("/usr"), "read-only"));
    }
    std::fs::write(folder.path().join("requests.jsonl"), "").unwrap();
    for (environment, out, why) in cases {
        let outputs = [("generate", "x.wav"), ("reason", "chain"), ("batch", "results")];
        for (command, name) in outputs {
            let target = out.join(name);
            let target = target.to_str().unwrap();
            let mut run = environment.program(folder.path());
            match command {
                "batch" => run.args([command, "requests.jsonl", "--out", target]),
                _ => run.args([command, "rain", "-o", target, "--seed", "1", "--max-steps", "5"]),
            };
            let output = run.output().unwrap();
            let printed = words(&output).to_lowercase();
            assert_eq!(output.status.code(), Some(1), "{environment:?} {command}: {printed}");
            assert!(
                printed.contains(out.to_str().unwrap()),
                "{environment:?} {command}: the folder is not named: {printed}"
            );
            assert!(printed.contains(why), "{environment:?} {command}: expected {why:?} in: {printed}");
        }
    }
}

/// Checks the notifications of systemd's `Type=notify`.
#[cfg(target_os = "linux")]
#[test]
fn a_service_manager_is_notified_of_start_and_stop() {
    use std::os::unix::net::UnixDatagram;
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let printed = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let (mut server, address) = serve(Environment::NoFolders.program(folder.path()).env("NOTIFY_SOCKET", &path));
    assert_eq!(printed().trim(), "READY=1");
    assert!(ask(&address, "GET /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
    Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert_eq!(printed().trim(), "STOPPING=1");
    assert!(server.0.wait().unwrap().success());
}
