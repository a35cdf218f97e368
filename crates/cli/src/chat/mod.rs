//! `chat`: a conversation in text and sound, in one session.

mod conversation;
mod input;

use std::path::Path;

use ualm::{Error, ErrorKind, Message, Result};

use crate::args::{Chat, Common};
use crate::interrupt::Turns;
use crate::output::{note, print, warn};
use crate::player::Player;
use crate::setup::{load_model, read_recording, seed};
use conversation::Conversation;
use input::Input;

const HELP: &str = "\
/audio FILE   send a recording with your next line
/play         play the last sound; Ctrl-C stops it
/save FILE    write the last sound (FILE.wav) or the whole conversation (FILE.json)
/undo         remove your last line and its reply
/seed [N]     show or set the seed
/help         show this help
/quit         end (so does Ctrl-D); Ctrl-C stops a reply
Anything else is sent to the model.
";

/// `ualm chat`.
pub fn run(common: &Common, args: &Chat) -> Result<()> {
    args.pictures.check()?;
    let turns = Turns::on_signal()?;
    let model = load_model(common)?;
    let seed = seed(&args.sampling, common)?;
    let mut chat = ChatLoop {
        common,
        args,
        conversation: Conversation::new(common, args, &model, seed),
        turns,
        pending: Vec::new(),
        player: Player::new(common, &args.playing),
    };
    let mut input = Input::new()?;
    if input.is_terminal() {
        note(common, &format!("{}; /help lists the commands", model.manifest().name));
    }
    while let Some(line) = input.line()? {
        match chat.run_input(line.trim()) {
            Ok(true) => {}
            Ok(false) => break,
            // at a terminal the chat continues; in a file, later lines may depend on this one
            Err(error) if input.is_terminal() => warn(&format!("error: {}", error.full_message())),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct ChatLoop<'a> {
    common: &'a Common,
    args: &'a Chat,
    conversation: Conversation<'a>,
    turns: Turns,
    /// Recordings to send with the next line.
    pending: Vec<Message>,
    player: Player<'a>,
}

impl ChatLoop<'_> {
    /// Runs typed or pasted input: commands line by line; other text is one message. Returns whether the chat continues.
    fn run_input(&mut self, text: &str) -> Result<bool> {
        if !text.starts_with('/') {
            return self.run_line(text);
        }
        for line in text.lines() {
            if !self.run_line(line.trim())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a command or sends a message; returns whether the chat continues.
    fn run_line(&mut self, line: &str) -> Result<bool> {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, rest.trim()) {
            ("", _) => {}
            ("/quit" | "/exit", _) => return Ok(false),
            ("/help", _) => print(HELP)?,
            ("/audio", path) => self.add_recording(path)?,
            ("/play", _) => self.play()?,
            ("/save", path) => self.save(path)?,
            ("/undo", _) => {
                let undone = self.conversation.undo(&self.turns.begin());
                self.turns.end();
                note(self.common, &format!("removed: {}", undone?));
            }
            ("/seed", "") => print(&format!("{}\n", self.conversation.seed))?,
            ("/seed", seed) => {
                self.conversation.seed = seed.parse().map_err(|_| invalid("/seed N: expected a whole number"))?;
            }
            (command, _) if command.starts_with('/') => {
                return Err(invalid(format!("{command} is not a command; /help lists the commands")));
            }
            _ => self.say(line)?,
        }
        Ok(true)
    }

    /// Sends `line` with the pending recordings, which stay pending after an error.
    fn say(&mut self, line: &str) -> Result<()> {
        let mut messages = self.pending.clone();
        messages.push(Message::text(line));
        let said = self.conversation.say(&messages, &self.turns.begin());
        self.turns.end();
        let sounds = said?;
        self.pending.clear();
        let cancel = self.turns.begin();
        let played = sounds.iter().try_for_each(|sound| self.player.offer(sound, &cancel));
        self.turns.end();
        played.or_else(unless_stopped)
    }

    fn add_recording(&mut self, path: &str) -> Result<()> {
        if path.is_empty() {
            return Err(invalid("/audio FILE: the file is missing"));
        }
        let recording = read_recording(Path::new(path), self.conversation.model)?;
        note(self.common, &format!("{path}: {:.1} s, will be sent with your next line", recording.seconds()));
        self.conversation.draw(&recording)?;
        self.pending.push(Message::audio(recording));
        Ok(())
    }

    fn save(&self, path: &str) -> Result<()> {
        let extension = Path::new(path).extension().map(|e| e.to_ascii_lowercase());
        match extension.as_ref().and_then(|e| e.to_str()) {
            Some("json") => self.conversation.record.write(path)?,
            Some("wav") => {
                let (sound, take) = self.conversation.last_sound()?;
                take.write_wav(path, sound, self.args.samples.format())?;
            }
            _ => return Err(invalid("/save FILE: expected FILE.wav for the last sound or FILE.json for everything")),
        }
        note(self.common, path);
        Ok(())
    }

    /// Plays the last sound.
    fn play(&mut self) -> Result<()> {
        let (sound, _) = self.conversation.last_sound()?;
        let played = self.player.play(sound, &self.turns.begin());
        self.turns.end();
        played.or_else(unless_stopped)
    }
}

/// Ignores the error of a playback that the user stopped.
fn unless_stopped(error: Error) -> Result<()> {
    if error.kind() == ErrorKind::Cancelled { Ok(()) } else { Err(error) }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
