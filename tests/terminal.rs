//! The program at a terminal: a pseudo-terminal that types, looks, and answers as terminals do.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::package;
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// What a program asks a terminal, and what one kind of terminal answers.
type Answers = &'static [(&'static str, &'static str)];

const NO_PICTURES: Answers = &[("\x1b[c", "\x1b[?62;22c")];
const SIXELS: Answers = &[("\x1b[c", "\x1b[?62;4;22c")];
/// Kitty at the other end of a network: pictures, but no files.
const KITTY: Answers = &[
    ("\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", "\x1b_Gi=31;OK\x1b\\"),
    ("\x1b_Gi=31,s=1,v=1,a=q,t=t;", "\x1b_Gi=31;EBADF\x1b\\"),
    ("\x1b[c", "\x1b[?62;22c"),
];

struct Terminal {
    keyboard: Arc<Mutex<Box<dyn Write + Send>>>,
    screen: Arc<Mutex<Vec<u8>>>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn new(arguments: &[&str], environment: &[(&str, &str)], columns: u16, answers: Answers) -> Self {
        let size = PtySize { rows: 24, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ualm"));
        command.args(arguments);
        command.env("UALM_MODEL", package("tiny-omni-fp32"));
        ["TERM_PROGRAM", "LC_TERMINAL", "UALM_PLAYER", "UALM_SEED"].iter().for_each(|name| command.env_remove(name));
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let keyboard = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let reader = pair.master.try_clone_reader().unwrap();
        let (answering, showing) = (Arc::clone(&keyboard), Arc::clone(&screen));
        std::thread::spawn(move || show(reader, &showing, &answering, answers));
        Self { keyboard, screen, child, _master: pair.master }
    }

    fn types(&self, keys: &str) {
        self.keyboard.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits for `expected` to come to the screen.
    fn waits_for(&self, expected: &str) {
        let begun = Instant::now();
        while !self.screen().contains(expected) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no {expected:?} in {:?}", self.screen());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end; gives all that was shown.
    fn ends(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(begun.elapsed() < Duration::from_secs(120), "it goes on: {:?}", self.screen()),
            }
            sleep(Duration::from_millis(20));
        };
        sleep(Duration::from_millis(200)); // what was written last comes through
        (status, self.screen())
    }
}

/// Puts what the program writes on the screen, and answers its questions.
fn show(
    mut reader: Box<dyn Read + Send>,
    screen: &Mutex<Vec<u8>>,
    keyboard: &Mutex<Box<dyn Write + Send>>,
    answers: Answers,
) {
    let (mut chunk, mut looked_at) = ([0; 1 << 16], 0);
    let longest = answers.iter().map(|(question, _)| question.len()).max().unwrap_or(0);
    while let Ok(count @ 1..) = reader.read(&mut chunk) {
        let mut screen = screen.lock().unwrap();
        screen.extend_from_slice(&chunk[..count]);
        while let Some((answer, end)) = next_question(&screen[looked_at..], answers) {
            keyboard.lock().unwrap().write_all(answer.as_bytes()).unwrap();
            looked_at += end;
        }
        looked_at = looked_at.max(screen.len().saturating_sub(longest));
    }
}

/// The answer to the first question in `shown`, and where that ends.
fn next_question(shown: &[u8], answers: Answers) -> Option<(&'static str, usize)> {
    let find = |question: &str| shown.windows(question.len()).position(|window| window == question.as_bytes());
    let found = answers.iter().filter_map(|(question, answer)| Some((find(question)?, question.len(), *answer)));
    found.min().map(|(place, len, answer)| (answer, place + len))
}

fn recording() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/audio/mono-16k.flac").display().to_string()
}

/// What a terminal of that kind is sent for a picture.
fn picture(environment: &[(&str, &str)], answers: Answers) -> String {
    let arguments = ["codec", "encode", &recording(), "-o", "/dev/null", "--show", "-q"];
    let (status, screen) = Terminal::new(&arguments, environment, 100, answers).ends();
    assert!(status.success(), "{screen:?}");
    screen
}

const KITTY_PICTURE: &str = "\x1b_Gf=32,a=T,t=d,s=960,v=400,";
const SIXEL_PICTURE: &str = "\x1bP";
const ITERM_PICTURE: &str = "\x1b]1337;File=";
const BLOCK: &str = "▄";

#[test]
fn a_picture_is_drawn_in_the_way_that_the_terminal_knows() {
    let ways = [KITTY_PICTURE, SIXEL_PICTURE, ITERM_PICTURE, BLOCK];
    let drawn = |environment, answers| {
        let shown = picture(environment, answers);
        ways.map(|way| shown.contains(way))
    };
    assert_eq!(drawn(&[("TERM", "xterm-kitty")], KITTY), [true, false, false, false]);
    assert_eq!(drawn(&[("TERM", "foot")], SIXELS), [false, true, false, false]);
    assert_eq!(drawn(&[("TERM", "xterm"), ("TERM_PROGRAM", "iTerm.app")], NO_PICTURES), [false, false, true, false]);
    assert_eq!(drawn(&[("TERM", "xterm-kitty")], NO_PICTURES), [false, false, false, true], "a terminal that says no");
    for term in ["xterm-256color", "dumb"] {
        let shown = picture(&[("TERM", term)], &[]);
        assert!(shown.contains(BLOCK) && !shown.contains("\x1b[c"), "{term} may not answer: it is not asked");
    }
}

#[test]
fn a_chat_is_typed_edited_and_remembered() {
    let folder = tempfile::TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    let environment = [("TERM", "xterm"), ("XDG_CACHE_HOME", cache.as_str())];
    let chat = Terminal::new(&["chat", "--seed", "3"], &environment, 80, &[]);
    chat.waits_for("/help tells what there is");
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
    chat.waits_for("no sound was made yet");
    chat.types("grün 日本\r");
    chat.waits_for("thinking");
    chat.types("\x03");
    chat.types("/seed 6\r/seed\r");
    chat.waits_for("\r\n6\r\n");
    chat.types("\x04");
    let (status, screen) = chat.ends();
    assert!(status.success() && !screen.contains("panicked"), "{screen:?}");
    let history = std::fs::read_to_string(folder.path().join("ualm/chat_history")).unwrap();
    assert!(history.contains("/seed 7") && history.contains("grün 日本"), "{history}");
}

#[test]
fn a_chat_goes_on_after_a_graph_has_failed() {
    let folder = tempfile::TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    let model = package("failing-fp32").display().to_string();
    let environment = [("TERM", "xterm"), ("XDG_CACHE_HOME", cache.as_str()), ("UALM_MODEL", model.as_str())];
    let chat = Terminal::new(&["chat", "--seed", "3"], &environment, 200, &[]);
    chat.waits_for("/help tells what there is");
    chat.types("a dog barks twice and then a bell rings\r");
    chat.waits_for("the graph llm failed");
    let saved = folder.path().join("saved.json");
    chat.types(&format!("/save {}\r", saved.display()));
    chat.waits_for("saved.json\r\n");
    chat.types("/undo\r");
    chat.waits_for("taken back: a dog");
    chat.types("/undo\r");
    chat.waits_for("nothing was said");
    chat.types("/quit\r");
    assert!(chat.ends().0.success());
    let record = ualm::Record::read(&saved).unwrap();
    assert_eq!(record.turns[0].segments.last().unwrap().end, ualm::SegmentEnd::Failed);
}
