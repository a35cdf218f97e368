//! The program at a pseudo-terminal.
#![cfg(unix)]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use ualm::internal::find_library;
use ualm_testing::{package, root, skip_without_fixtures};

struct Terminal {
    keyboard: Arc<Mutex<Box<dyn Write + Send>>>,
    screen: Arc<Mutex<Vec<u8>>>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn new(arguments: &[&str], environment: &[(&str, &str)], columns: u16) -> Self {
        let size = PtySize { rows: 24, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ualm"));
        command.args(arguments);
        command.env("UALM_MODEL", package("tiny-omni-fp32"));
        command.env("ORT_DYLIB_PATH", find_library(None).unwrap()); // the cache of a test is empty
        ["TERM_PROGRAM", "LC_TERMINAL", "NO_COLOR", "UALM_PLAYER", "UALM_SEED"]
            .iter()
            .for_each(|name| command.env_remove(name));
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let keyboard = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let reader = pair.master.try_clone_reader().unwrap();
        let showing = Arc::clone(&screen);
        std::thread::spawn(move || show(reader, &showing));
        Self { keyboard, screen, child, _master: pair.master }
    }

    fn types(&self, keys: &str) {
        self.keyboard.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until `expected` is on the screen.
    fn waits_for(&self, expected: &str) {
        let begun = Instant::now();
        while !self.screen().contains(expected) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no {expected:?} in {:?}", self.screen());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the screen stops changing, when the program waits for input.
    fn waits_for_quiet(&self) {
        let begun = Instant::now();
        let mut before = String::new();
        while self.screen() != before {
            assert!(begun.elapsed() < Duration::from_secs(120), "it goes on: {:?}", self.screen());
            before = self.screen();
            sleep(Duration::from_millis(500));
        }
    }

    /// Waits for the end of the program; returns its status and output.
    fn ends(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(begun.elapsed() < Duration::from_secs(120), "it goes on: {:?}", self.screen()),
            }
            sleep(Duration::from_millis(20));
        };
        sleep(Duration::from_millis(200)); // until the last output has arrived
        (status, self.screen())
    }
}

/// Copies the program's output to the screen.
fn show(mut reader: Box<dyn Read + Send>, screen: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 1 << 16];
    while let Ok(count @ 1..) = reader.read(&mut chunk) {
        screen.lock().unwrap().extend_from_slice(&chunk[..count]);
    }
}

fn recording() -> String {
    root().join("tests/data/audio/mono-16k.flac").display().to_string()
}

/// Returns the program's output for a picture on a kind of terminal.
fn picture(environment: &[(&str, &str)]) -> String {
    let arguments = ["codec", "encode", &recording(), "-o", "/dev/null", "--show", "-q"];
    let (status, screen) = Terminal::new(&arguments, environment, 100).ends();
    assert!(status.success(), "{screen:?}");
    screen
}

const KITTY_PICTURE: &str = "\x1b_Gf=100,a=T,t=d,c=";
const SIXEL_PICTURE: &str = "\x1bP";
const ITERM_PICTURE: &str = "\x1b]1337;File=";
const BLOCK: &str = "▄";
const COLOURED_BLANK: &str = "m \x1b[48;";
const SHADE: &str = "░";
const ASCII: &str = "##";

#[test]
fn a_picture_is_drawn_by_the_terminal_s_protocol() {
    skip_without_fixtures!();
    let ways = [KITTY_PICTURE, SIXEL_PICTURE, ITERM_PICTURE, BLOCK, COLOURED_BLANK, SHADE, ASCII];
    for (environment, drawn) in [
        (&[("TERM", "xterm-kitty")][..], KITTY_PICTURE),
        (&[("TERM", "foot")], SIXEL_PICTURE),
        (&[("TERM", "xterm"), ("TERM_PROGRAM", "iTerm.app")], ITERM_PICTURE),
        (&[("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")], BLOCK),
        (&[("TERM", "xterm-256color"), ("LC_ALL", "C")], COLOURED_BLANK),
        (&[("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "1")], SHADE),
        (&[("TERM", "dumb"), ("TERM_PROGRAM", "WezTerm"), ("LC_ALL", "C.UTF-8")], SHADE),
        (&[("TERM", "dumb"), ("LC_ALL", "C")], ASCII),
    ] {
        let shown = picture(environment);
        assert_eq!(ways.map(|way| shown.contains(way)), ways.map(|way| way == drawn), "{environment:?}");
        assert!(!shown.contains("\x1b[c"), "a terminal may not answer: it is not asked");
    }
}

#[test]
fn a_chat_has_line_editing_and_a_history() {
    skip_without_fixtures!();
    let folder = tempfile::TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    let environment = [("TERM", "xterm"), ("XDG_CACHE_HOME", cache.as_str())];
    let chat = Terminal::new(&["chat", "--seed", "3"], &environment, 80);
    chat.waits_for("/help lists the commands");
    chat.types("/sed 5\x1b[D\x1b[D\x1b[De\r/seed\r");
    chat.waits_for("\r\n5\r\n");
    chat.types("\x1b[A\x1b[A\x7f7\r/seed\r");
    chat.waits_for("\r\n7\r\n");
    chat.types("/seed 1\r/seed 2\r/seed\r");
    chat.waits_for("\r\n2\r\n");
    chat.types("\x1b[200~/seed 3\r/seed 4\r/seed\x1b[201~\r");
    chat.waits_for("\r\n4\r\n");
    chat.types("/audio nothing.wav\r");
    chat.waits_for("nothing.wav: there is no such file");
    chat.types("/play\r");
    chat.waits_for("no sound in this chat yet");
    chat.types("grün 日本\r");
    chat.waits_for("thinking");
    chat.types("\x03");
    chat.waits_for_quiet(); // either the reply or the line was stopped
    chat.types("/seed 6\r/seed\r");
    chat.waits_for("\r\n6\r\n");
    chat.types("\x04");
    let (status, screen) = chat.ends();
    assert!(status.success() && !screen.contains("panicked"), "{screen:?}");
    let history = std::fs::read_to_string(folder.path().join("ualm/chat_history")).unwrap();
    assert!(history.contains("/seed 7") && history.contains("grün 日本"), "{history}");
}

#[test]
fn concurrent_chats_share_one_history() {
    skip_without_fixtures!();
    let folder = tempfile::TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    let environment = [("TERM", "xterm"), ("XDG_CACHE_HOME", cache.as_str())];
    let chats = [1, 2].map(|seed| (seed, Terminal::new(&["chat"], &environment, 80)));
    for (seed, chat) in &chats {
        chat.waits_for("/help lists the commands");
        chat.types(&format!("/seed {seed}\r/seed\r"));
        chat.waits_for(&format!("\r\n{seed}\r\n"));
    }
    for (_, chat) in chats {
        chat.types("\x04");
        assert!(chat.ends().0.success());
    }
    let history = std::fs::read_to_string(folder.path().join("ualm/chat_history")).unwrap();
    assert!(history.contains("/seed 1") && history.contains("/seed 2"), "{history}");
}

#[test]
fn a_chat_continues_after_a_failed_graph() {
    skip_without_fixtures!();
    let folder = tempfile::TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    let model = package("failing-fp32").display().to_string();
    let environment = [("TERM", "xterm"), ("XDG_CACHE_HOME", cache.as_str()), ("UALM_MODEL", model.as_str())];
    let chat = Terminal::new(&["chat", "--seed", "3"], &environment, 200);
    chat.waits_for("/help lists the commands");
    chat.types("a dog barks twice and then a bell rings\r");
    chat.waits_for("the graph llm on cpu failed");
    let saved = folder.path().join("saved.json");
    chat.types(&format!("/save {}\r", saved.display()));
    chat.waits_for("saved.json\r\n");
    chat.types("/undo\r");
    chat.waits_for("removed: a dog");
    chat.types("/undo\r");
    chat.waits_for("no turn to remove");
    chat.types("/quit\r");
    assert!(chat.ends().0.success());
    let record = ualm::Record::read(&saved).unwrap();
    assert_eq!(record.turns[0].segments.last().unwrap().end, ualm::SegmentEnd::Failed);
}
