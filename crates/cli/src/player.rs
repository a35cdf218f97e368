//! Playback by a program of the system: nothing is linked for it, no shell runs, and where there is none it is quiet.

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

/// How often a player is looked at.
const PACE: Duration = Duration::from_millis(20);
/// A player that ends sooner than this part of its sound found no device: some tell only by their haste.
const SOONEST: f64 = 0.5;
/// The longest that a player may take beyond the length of its sound: one that never ends is no player.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays sounds by the first program that can.
pub struct Player<'a> {
    common: &'a Common,
    asked: &'a Playing,
    /// True once nothing could play.
    is_silent: bool,
}

impl<'a> Player<'a> {
    pub fn new(common: &'a Common, asked: &'a Playing) -> Self {
        Self { common, asked, is_silent: false }
    }

    /// Plays `sound` to its end if `--play` was given. Where nothing can play, a note says so, once.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if it was stopped.
    pub fn offer(&mut self, sound: &Waveform, cancel: &Cancel) -> Result<()> {
        if !self.asked.play || self.is_silent || sound.is_empty() {
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
    /// [`ErrorKind::Cancelled`] if it was stopped, [`ErrorKind::Io`] if nothing can play.
    pub fn play(&self, sound: &Waveform, cancel: &Cancel) -> Result<()> {
        let file = file_with(sound)?;
        let length = Duration::try_from_secs_f64(sound.seconds()).unwrap_or_default();
        for mut command in self.commands(&file) {
            let begun = Instant::now();
            match command.spawn().and_then(|mut child| wait(&mut child, length + PATIENCE, cancel)) {
                Ok(Ended::Played) if self.is_believed(begun.elapsed(), length) => return Ok(()),
                Ok(Ended::Stopped) => return Err(interrupted("playback was stopped")),
                Ok(Ended::Played | Ended::Failed) | Err(_) => {}
            }
        }
        Err(Error::new(ErrorKind::Io, self.nothing_plays()))
    }

    /// Returns what may play `file`, the likeliest first.
    fn commands(&self, file: &Path) -> Vec<Command> {
        match &self.asked.player {
            Some(player) => {
                let mut command = quiet(player);
                command.arg(file);
                vec![command]
            }
            None => players(file),
        }
    }

    /// Returns whether a player that took `time` played a sound of `length`. One that a person names may hand it on.
    fn is_believed(&self, time: Duration, length: Duration) -> bool {
        self.asked.player.is_some() || time >= length.mul_f64(SOONEST)
    }

    fn nothing_plays(&self) -> String {
        match &self.asked.player {
            Some(player) => format!("{} (--player or UALM_PLAYER) did not play the sound", player.display()),
            None => format!("found no program that plays sound here ({}); --player names one", player_names()),
        }
    }
}

/// The end of a player.
enum Ended {
    Played,
    Stopped,
    Failed,
}

/// Waits for the end of a player, which is stopped by `cancel` and after `limit`.
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
        sleep(PACE);
    }
}

/// Writes a WAV file that every player reads; its path is ours, so that no name of a user's is an argument of another program.
fn file_with(sound: &Waveform) -> Result<TempPath> {
    let file = tempfile::Builder::new().prefix("ualm-").suffix(".wav").tempfile();
    let path = file.map_err(|e| Error::new(ErrorKind::Io, "no file for the sound").with_source(e))?.into_temp_path();
    write_wav(&path, sound, WavFormat::Pcm16)?;
    Ok(path)
}
