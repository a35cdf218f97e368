//! The spectrograms of `--spectrogram` and `--show`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::internal::write_whole;
use ualm::{ErrorKind, Result};

use crate::args::Pictures;
use crate::output::{check_writable, warn};
use crate::spectrogram::{Spectrogram, png};
use crate::terminal_picture::show;

impl Pictures {
    /// Checks before the work that the picture can be written.
    pub fn check(&self) -> Result<()> {
        self.spectrogram.as_deref().map_or(Ok(()), check_writable)
    }

    /// Returns the options for one of several sounds, with the path of its picture.
    pub fn named(&self, path: impl FnOnce(&Path) -> PathBuf) -> Self {
        Self { spectrogram: self.spectrogram.as_deref().map(path), show: self.show }
    }

    /// Draws `sound` as the options say; warns if it is too short for a spectrogram.
    pub fn draw(&self, sound: &Waveform) -> Result<()> {
        if self.spectrogram.is_none() && !self.show {
            return Ok(());
        }
        let spectrogram = match Spectrogram::of(sound) {
            Err(error) if error.kind() == ErrorKind::Audio => {
                warn(&format!("warning: no spectrogram: {}", error.full_message()));
                return Ok(());
            }
            spectrogram => spectrogram?,
        };
        if let Some(path) = &self.spectrogram {
            write_whole(path, &png(&spectrogram.picture()?)?)?;
        }
        if !self.show {
            return Ok(());
        }
        if !std::io::stdout().is_terminal() {
            warn(
                "warning: --show needs a terminal; --spectrogram FILE.png writes a picture, `ualm show FILE` prints text",
            );
            return Ok(());
        }
        show(&spectrogram)
    }
}
