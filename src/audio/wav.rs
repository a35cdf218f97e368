//! WAV files.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Cursor, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::audio::Waveform;
use crate::{Error, ErrorKind, Result};

/// How samples are stored in a WAV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WavFormat {
    /// 16-bit integers: rounded to the nearest, clipped at full scale.
    #[default]
    Pcm16,
    /// 32-bit floats, as they are.
    Float32,
}

/// Writes `waveform` to `path` as a WAV file and returns the number of samples that had to be clipped (none for
/// [`WavFormat::Float32`]).
///
/// The file is written aside in the same folder and then renamed: whoever looks at `path` finds the old file or the whole
/// new one. Something at `path` that is not a regular file (a device, a named pipe) is written to directly.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be written, [`ErrorKind::Numeric`] when a sample is not finite,
/// [`ErrorKind::Limit`] when the sound is longer than a WAV file can hold (4 GiB). Nothing is left behind then.
pub fn write_wav(path: impl AsRef<Path>, waveform: &Waveform, format: WavFormat) -> Result<usize> {
    let path = path.as_ref();
    let named = |error: Error| error.context(path.display());
    check(waveform, format).map_err(named)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(named(Error::new(ErrorKind::Io, "is a folder: a file name is needed to write to")))
        }
        Ok(metadata) if !metadata.is_file() => {
            let mut file = OpenOptions::new().write(true).open(path).map_err(|e| named(unwritable(e)))?;
            write_wav_to(&mut file, waveform, format).map_err(named)
        }
        _ => replace(path, |file| encode(file, waveform, format)).map_err(named),
    }
}

/// Writes `waveform` to `writer`, which need not be seekable, as a WAV file and returns the number of samples that had to
/// be clipped (none for [`WavFormat::Float32`]).
///
/// # Errors
/// As [`write_wav`].
pub fn write_wav_to(writer: &mut impl Write, waveform: &Waveform, format: WavFormat) -> Result<usize> {
    check(waveform, format)?;
    let mut bytes = Cursor::new(Vec::new());
    let clipped = encode(&mut bytes, waveform, format)?;
    writer.write_all(bytes.get_ref()).and_then(|()| writer.flush()).map_err(unwritable)?;
    Ok(clipped)
}

fn check(waveform: &Waveform, format: WavFormat) -> Result<()> {
    for (channel, samples) in waveform.channels().iter().enumerate() {
        if let Some(position) = samples.iter().position(|x| !x.is_finite()) {
            let message = format!("sample {position} of channel {channel} is not a finite number: nothing is written");
            return Err(Error::new(ErrorKind::Numeric, message));
        }
    }
    let bytes = waveform.len() as u64
        * waveform.channels().len() as u64
        * u64::from(spec(waveform, format).bits_per_sample / 8);
    if bytes > u64::from(u32::MAX) - 128 {
        let message = format!("a WAV file holds at most 4 GiB, and this sound needs {bytes} bytes");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(())
}

fn spec(waveform: &Waveform, format: WavFormat) -> WavSpec {
    let (bits_per_sample, sample_format) = match format {
        WavFormat::Pcm16 => (16, SampleFormat::Int),
        WavFormat::Float32 => (32, SampleFormat::Float),
    };
    let channels = u16::try_from(waveform.channels().len()).unwrap_or(u16::MAX);
    WavSpec { channels, sample_rate: waveform.sample_rate(), bits_per_sample, sample_format }
}

fn encode<W: Write + Seek>(writer: W, waveform: &Waveform, format: WavFormat) -> Result<usize> {
    let mut clipped = 0;
    let mut wav = WavWriter::new(writer, spec(waveform, format)).map_err(refused)?;
    for n in 0..waveform.len() {
        for channel in waveform.channels() {
            match format {
                WavFormat::Pcm16 => {
                    let value = (channel[n] * 32768.0).round();
                    clipped += usize::from(channel[n].abs() > 1.0);
                    wav.write_sample(value as i16)
                }
                WavFormat::Float32 => wav.write_sample(channel[n]),
            }
            .map_err(refused)?;
        }
    }
    wav.finalize().map_err(refused)?;
    Ok(clipped)
}

/// Lets `write` fill a new file beside `path` and puts it in `path`'s place; the new file is removed when that fails.
fn replace<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<T>) -> Result<T> {
    let aside = name_aside(path)?;
    let file = OpenOptions::new().write(true).create_new(true).open(&aside).map_err(unwritable)?;
    let mut file = BufWriter::new(file);
    let written = write(&mut file).and_then(|value| {
        file.flush().map_err(unwritable)?;
        drop(file);
        fs::rename(&aside, path).map_err(unwritable)?;
        Ok(value)
    });
    if written.is_err() {
        // The first error is the one to report; a file that cannot be removed either adds nothing to it.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// A name in `path`'s folder that no other writer, in this process or another, uses.
fn name_aside(path: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::Io, "a file name is needed to write to"));
    };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(aside))
}

fn unwritable(error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "cannot be written: its folder does not exist",
        std::io::ErrorKind::PermissionDenied => "cannot be written: permission denied",
        _ => "cannot be written",
    };
    Error::new(ErrorKind::Io, hint).with_source(error)
}

fn refused(error: hound::Error) -> Error {
    match error {
        hound::Error::IoError(error) => unwritable(error),
        other => Error::new(ErrorKind::Invalid, "cannot be stored as a WAV file").with_source(other),
    }
}
