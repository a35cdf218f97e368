//! WAV files.

#![expect(clippy::indexing_slicing, reason = "the channels of a waveform have the same length")]

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use riff::{Chunk, ChunkContents, ChunkId};

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{unwritable, write_whole};

/// The sample format of a WAV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WavFormat {
    /// 16-bit integers: rounded to the nearest, clipped at full scale.
    #[default]
    Pcm16,
    /// 32-bit floats, unchanged.
    Float32,
}

/// A chunk after the samples, which other programs skip.
pub(crate) struct ExtraChunk {
    pub id: [u8; 4],
    pub data: Vec<u8>,
}

impl ExtraChunk {
    /// Appends the chunk to a finished WAV file, and updates the length in the header.
    fn append<W: Write + Seek>(&self, writer: &mut W) -> std::io::Result<()> {
        writer.seek(SeekFrom::End(0))?;
        ChunkContents::Data(ChunkId { value: self.id }, self.data.clone()).write(writer)?;
        let length = u32::try_from(writer.stream_position()?.saturating_sub(8));
        writer.seek(SeekFrom::Start(4))?;
        writer.write_all(&length.map_err(std::io::Error::other)?.to_le_bytes())?;
        writer.seek(SeekFrom::End(0)).map(drop)
    }
}

/// Reads the chunk `id`, of at most `max` bytes, of a WAV file, if the file has it.
///
/// # Errors
/// [`ErrorKind::Audio`] when the file is not a WAV file, or is damaged; [`ErrorKind::Limit`] when the chunk is larger.
pub(crate) fn read_chunk<R: Read + Seek>(reader: &mut R, id: [u8; 4], max: u64) -> Result<Option<Vec<u8>>> {
    let broken = |e| Error::new(ErrorKind::Audio, "not a WAV file, or a damaged WAV file").with_source(e);
    let whole = Chunk::read(reader, 0).map_err(broken)?;
    if whole.id() != riff::RIFF_ID || whole.read_type(reader).map_err(broken)?.value != *b"WAVE" {
        return Err(Error::new(ErrorKind::Audio, "not a WAV file: it does not begin with RIFF and WAVE"));
    }
    let Some(found) = whole.iter(reader).find(|c| c.as_ref().map_or(true, |chunk| chunk.id().value == id)) else {
        return Ok(None);
    };
    let found = found.map_err(broken)?;
    let end = reader.seek(SeekFrom::End(0)).map_err(broken)?;
    if u64::from(found.len()) > max.min(end.saturating_sub(found.offset())) {
        let what = format!("a chunk of {} bytes; expected at most {max}, all in the file", found.len());
        return Err(Error::new(ErrorKind::Limit, what));
    }
    found.read_contents(reader).map(Some).map_err(broken)
}

/// Returns the sample format of a WAV file that this library has written.
pub(crate) fn stored_format<R: Read>(reader: R) -> Result<WavFormat> {
    let spec = WavReader::new(reader).map_err(refused)?.spec();
    match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Int, 16) => Ok(WavFormat::Pcm16),
        (SampleFormat::Float, 32) => Ok(WavFormat::Float32),
        (_, bits) => {
            Err(Error::new(ErrorKind::Invalid, format!("samples of {bits} bits; expected 16-bit or 32-bit float")))
        }
    }
}

/// Writes `waveform` to `path` atomically as a WAV file, and returns the number of clipped samples (0 for
/// [`WavFormat::Float32`]).
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be written, [`ErrorKind::Numeric`] when a sample is not finite,
/// [`ErrorKind::Limit`] when the sound exceeds the 4 GiB of a WAV file. No file is left then.
pub fn write_wav(path: impl AsRef<Path>, waveform: &Waveform, format: WavFormat) -> Result<usize> {
    write_wav_with(path.as_ref(), waveform, format, None)
}

/// Writes a WAV file like [`write_wav`], with `extra` after the samples.
pub(crate) fn write_wav_with(
    path: &Path,
    waveform: &Waveform,
    format: WavFormat,
    extra: Option<&ExtraChunk>,
) -> Result<usize> {
    let mut bytes = Cursor::new(Vec::new());
    check(waveform, format)
        .and_then(|()| encode(&mut bytes, waveform, format, extra))
        .map_err(|error| error.context(path.display()))
        .and_then(|clipped| write_whole(path, bytes.get_ref()).map(|()| clipped))
}

/// Writes `waveform` to `writer`, which need not be seekable, as a WAV file, and returns the number of clipped samples
/// (0 for [`WavFormat::Float32`]).
///
/// # Errors
/// As for [`write_wav`].
pub fn write_wav_to(writer: &mut impl Write, waveform: &Waveform, format: WavFormat) -> Result<usize> {
    write_wav_to_with(writer, waveform, format, None)
}

/// Writes a WAV file like [`write_wav_to`], with `extra` after the samples.
pub(crate) fn write_wav_to_with(
    writer: &mut impl Write,
    waveform: &Waveform,
    format: WavFormat,
    extra: Option<&ExtraChunk>,
) -> Result<usize> {
    check(waveform, format)?;
    let mut bytes = Cursor::new(Vec::new());
    let clipped = encode(&mut bytes, waveform, format, extra)?;
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

/// Returns the header of a WAV file with the largest possible length.
pub(super) fn header_of_unknown_length(channels: u16, sample_rate: u32, format: WavFormat) -> Vec<u8> {
    spec_of(channels, sample_rate, format).into_header_for_infinite_file()
}

/// Converts a sample to a 16-bit integer, rounded to the nearest and clipped at full scale.
pub(super) fn pcm16(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

fn spec(waveform: &Waveform, format: WavFormat) -> WavSpec {
    let channels = u16::try_from(waveform.channels().len()).unwrap_or(u16::MAX);
    spec_of(channels, waveform.sample_rate(), format)
}

fn spec_of(channels: u16, sample_rate: u32, format: WavFormat) -> WavSpec {
    let (bits_per_sample, sample_format) = match format {
        WavFormat::Pcm16 => (16, SampleFormat::Int),
        WavFormat::Float32 => (32, SampleFormat::Float),
    };
    WavSpec { channels, sample_rate, bits_per_sample, sample_format }
}

fn encode<W: Write + Seek>(
    writer: &mut W,
    waveform: &Waveform,
    format: WavFormat,
    extra: Option<&ExtraChunk>,
) -> Result<usize> {
    let mut clipped = 0;
    let mut wav = WavWriter::new(&mut *writer, spec(waveform, format)).map_err(refused)?;
    for n in 0..waveform.len() {
        for channel in waveform.channels() {
            match format {
                WavFormat::Pcm16 => {
                    clipped += usize::from(channel[n].abs() > 1.0);
                    wav.write_sample(pcm16(channel[n]))
                }
                WavFormat::Float32 => wav.write_sample(channel[n]),
            }
            .map_err(refused)?;
        }
    }
    wav.finalize().map_err(refused)?;
    if let Some(extra) = extra {
        extra.append(writer).map_err(unwritable)?;
    }
    Ok(clipped)
}

fn refused(error: hound::Error) -> Error {
    match error {
        hound::Error::IoError(error) => unwritable(error),
        other => Error::new(ErrorKind::Invalid, "cannot be stored as a WAV file").with_source(other),
    }
}
