//! Takes: WAV files with the record of their sound, in a chunk `ualm` after the samples.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use super::Record;
use super::json::MAX_BYTES;
use crate::audio::{ExtraChunk, WavFormat, Waveform, read_chunk, stored_format, write_wav_to_with, write_wav_with};
use crate::error::{Error, ErrorKind, Result};
use crate::file::unreadable;

/// RIFF id of the record's chunk.
const CHUNK: [u8; 4] = *b"ualm";
/// RIFF id of the sample data.
const SAMPLES: [u8; 4] = *b"data";

impl Record {
    /// Writes `sound`, that of the record's last segment, with the record to a WAV file, as
    /// [`write_wav`](crate::audio::write_wav).
    ///
    /// # Errors
    /// As for [`write_wav`](crate::audio::write_wav) and [`to_json`](Self::to_json).
    pub fn write_wav(&self, path: impl AsRef<Path>, sound: &Waveform, format: WavFormat) -> Result<usize> {
        write_wav_with(path.as_ref(), sound, format, Some(&self.chunk()?))
    }

    /// Writes `sound` with the record to `writer`, as [`write_wav_to`](crate::audio::write_wav_to).
    ///
    /// # Errors
    /// As for [`write_wav`](Self::write_wav).
    pub fn write_wav_to(&self, writer: &mut impl Write, sound: &Waveform, format: WavFormat) -> Result<usize> {
        write_wav_to_with(writer, sound, format, Some(&self.chunk()?))
    }

    fn chunk(&self) -> Result<ExtraChunk> {
        Ok(ExtraChunk { id: CHUNK, data: self.to_json()?.into_bytes() })
    }

    /// Reads the record in the WAV file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Audio`] when it is not a WAV file,
    /// [`ErrorKind::Invalid`] when it has no record or a damaged one, [`ErrorKind::Limit`] when the record is too
    /// large.
    pub fn read_wav(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        open(path).and_then(|mut file| Self::in_wav(&mut file)).map_err(|e| e.context(path.display()))
    }

    /// Reads the record in a WAV file in memory.
    ///
    /// # Errors
    /// As for [`read_wav`](Self::read_wav).
    pub fn from_wav(wav: &[u8]) -> Result<Self> {
        Self::in_wav(&mut Cursor::new(wav))
    }

    fn in_wav(wav: &mut (impl Read + Seek)) -> Result<Self> {
        let none = || Error::new(ErrorKind::Invalid, "carries no take: only a WAV file that ualm made does");
        Self::from_json(&read_chunk(wav, CHUNK, MAX_BYTES)?.ok_or_else(none)?)
    }
}

/// Returns the sample format of the WAV file at `path`.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Invalid`] when its samples have a format that this
/// library does not write.
pub fn wav_format(path: impl AsRef<Path>) -> Result<WavFormat> {
    let path = path.as_ref();
    open(path).and_then(stored_format).map_err(|e| e.context(path.display()))
}

/// Returns whether the WAV file at `path` has exactly the samples that `sound` would be written as.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Audio`] when it is not a WAV file.
pub fn holds_samples(path: impl AsRef<Path>, sound: &Waveform, format: WavFormat) -> Result<bool> {
    let path = path.as_ref();
    let compare = || {
        let mut again = Cursor::new(Vec::new());
        crate::audio::write_wav_to(again.get_mut(), sound, format)?;
        let samples = read_chunk(&mut again, SAMPLES, u64::from(u32::MAX))?;
        Ok(read_chunk(&mut open(path)?, SAMPLES, u64::from(u32::MAX))? == samples)
    };
    compare().map_err(|e: Error| e.context(path.display()))
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(unreadable)
}
