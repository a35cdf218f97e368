//! Playback by a program of the system, without an audio library and without a shell.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempPath;
use ualm::audio::{WavFormat, Waveform, write_wav};
use ualm::{Cancel, Error, ErrorKind, Result};

use crate::args::{Common, Playing};
use crate::interrupt::interrupted;
use crate::output::note;
use crate::system::{player_names, players, quiet};

/// The interval at which a player is polled.
const POLL: Duration = Duration::from_millis(20);
/// The minimum share of the sound's length for which a player must run: some players exit at once, without an error, if
/// they find no audio device.
const SHORTEST: f64 = 0.5;
/// The time limit for a player beyond the length of the sound.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Plays sounds with the first program that works.
pub struct Player<'a> {
    common: &'a Common,
    options: &'a Playing,
    /// `true` once no program could play.
    is_silent: bool,
}

impl<'a> Player<'a> {
    pub fn new(common: &'a Common, options: &'a Playing) -> Self {
        Self { common, options, is_silent: false }
    }

    /// Plays `sound` to its end if `--play` was given. If no program can play, prints one note.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if playback was stopped.
    pub fn offer(&mut self, sound: &Waveform, cancel: &Cancel) -> Result<()> {
        if !self.options.play || self.is_silent || sound.is_empty() {
            return Ok(());
        }
        match self.play(sound, cancel) {
            Err(error) if error.kind() != ErrorKind::Cancelled => {
                self.is_silent = true;
                note(self.common, &format!("not played: {}", error.full_message()));
                Ok(())
            }
            played => played,
        }
    }

    /// Plays `sound` to its end.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if playback was stopped, [`ErrorKind::Io`] if no program can play.
    pub fn play(&self, sound: &Waveform, cancel: &Cancel) -> Result<()> {
        let file = file_with(sound)?;
        let length = Duration::try_from_secs_f64(sound.seconds()).unwrap_or_default();
        for mut command in self.commands(&file) {
            let begun = Instant::now();
            match command.spawn().and_then(|mut child| wait(&mut child, length + TIMEOUT, cancel)) {
                Ok(Ended::Played) if self.has_played(begun.elapsed(), length) => return Ok(()),
                Ok(Ended::Stopped) => return Err(interrupted("playback was stopped")),
                Ok(Ended::Played | Ended::Failed) | Err(_) => {}
            }
        }
        Err(Error::new(ErrorKind::Io, self.nothing_plays()))
    }

    /// Returns the commands to try for `file`, in order.
    fn commands(&self, file: &Path) -> Vec<Command> {
        match &self.options.player {
            Some(player) => {
                let mut command = quiet(player);
                command.arg(file);
                vec![command]
            }
            None => players(file),
        }
    }

    /// Returns whether a player that ran for `time` played a sound of `length`. A player of the user's choice may exit
    /// early, since it may hand the sound to another program.
    fn has_played(&self, time: Duration, length: Duration) -> bool {
        self.options.player.is_some() || time >= length.mul_f64(SHORTEST)
    }

    fn nothing_plays(&self) -> String {
        match &self.options.player {
            Some(player) => format!("{} (--player or UALM_PLAYER) did not play the sound", player.display()),
            None => format!("no program that plays sound was found (tried {}); name one with --player", player_names()),
        }
    }
}

/// The outcome of a player.
enum Ended {
    Played,
    Stopped,
    Failed,
}

/// Waits until a player exits; kills it on `cancel` or after `limit`.
fn wait(child: &mut Child, limit: Duration, cancel: &Cancel) -> io::Result<Ended> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Ended::Played } else { Ended::Failed });
        }
        if cancel.is_cancelled() || begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(if cancel.is_cancelled() { Ended::Stopped } else { Ended::Failed });
        }
        sleep(POLL);
    }
}

/// Writes a WAV file that every player reads. Its path is generated, so that no user-supplied name becomes an argument
/// of another program.
fn file_with(sound: &Waveform) -> Result<TempPath> {
    let file = tempfile::Builder::new().prefix("ualm-").suffix(".wav").tempfile();
    let path = file
        .map_err(|e| Error::new(ErrorKind::Io, "a temporary file for the sound cannot be created").with_source(e))?
        .into_temp_path();
    write_wav(&path, sound, WavFormat::Pcm16)?;
    Ok(path)
}
