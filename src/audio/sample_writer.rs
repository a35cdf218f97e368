//! Writing of sound in pieces.

#![expect(clippy::indexing_slicing, reason = "the channels of a waveform have the same length")]

use std::io::Write;

use super::wav::{header_of_unknown_length, pcm16};
use super::{WavFormat, Waveform};
use crate::error::{Error, ErrorKind, Result};
use crate::file::unwritable;

/// A writer of samples in pieces: bare samples, or a WAV file of unknown length.
pub struct SampleWriter<W> {
    writer: W,
    format: WavFormat,
    clipped: usize,
}

impl<W: Write> SampleWriter<W> {
    /// Creates a writer of bare samples: little-endian, with interleaved channels.
    pub fn bare(writer: W, format: WavFormat) -> Self {
        Self { writer, format, clipped: 0 }
    }

    /// Creates a writer of a WAV file. Its header states the largest possible length, which players and converters take for an
    /// unknown length.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the header cannot be written.
    pub fn wav(mut writer: W, format: WavFormat, channels: u16, sample_rate: u32) -> Result<Self> {
        let header = header_of_unknown_length(channels, sample_rate, format);
        writer.write_all(&header).and_then(|()| writer.flush()).map_err(unwritable)?;
        Ok(Self::bare(writer, format))
    }

    /// Writes the next samples in one call of the underlying writer.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the samples cannot be written; [`ErrorKind::Numeric`] when a sample is not finite, in
    /// which case nothing is written.
    pub fn write(&mut self, sound: &Waveform) -> Result<()> {
        let mut bytes = Vec::with_capacity(sound.len() * sound.channels().len() * size_of::<f32>());
        for n in 0..sound.len() {
            for channel in sound.channels() {
                let sample = channel[n];
                if !sample.is_finite() {
                    let what = format!("sample {n} of the next piece is not a finite number: the piece is not written");
                    return Err(Error::new(ErrorKind::Numeric, what));
                }
                match self.format {
                    WavFormat::Pcm16 => {
                        self.clipped += usize::from(sample.abs() > 1.0);
                        bytes.extend_from_slice(&pcm16(sample).to_le_bytes());
                    }
                    WavFormat::Float32 => bytes.extend_from_slice(&sample.to_le_bytes()),
                }
            }
        }
        self.writer.write_all(&bytes).and_then(|()| self.writer.flush()).map_err(unwritable)
    }

    /// Returns the number of samples clipped so far; always 0 for [`WavFormat::Float32`].
    pub fn clipped(&self) -> usize {
        self.clipped
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::audio::{DecodeOptions, decode_reader, write_wav_to};

    /// After the header, a stream in pieces equals a file of the whole sound, and it can be decoded.
    #[test]
    fn pieces_are_the_whole() {
        let sound = |range: std::ops::Range<usize>| {
            Waveform::mono(range.map(|n| (n as f32 * 0.3).sin() * 1.2).collect(), 16_000).unwrap()
        };
        for format in [WavFormat::Pcm16, WavFormat::Float32] {
            let mut whole = Cursor::new(Vec::new());
            let mut streamed = Vec::new();
            let mut bare = Vec::new();
            let clipped = write_wav_to(&mut whole, &sound(0..900), format).unwrap();
            let mut wav = SampleWriter::wav(&mut streamed, format, 1, 16_000).unwrap();
            let mut samples = SampleWriter::bare(&mut bare, format);
            for range in [0..1, 1..700, 700..700, 700..900] {
                wav.write(&sound(range.clone())).unwrap();
                samples.write(&sound(range)).unwrap();
            }
            assert_eq!((wav.clipped(), samples.clipped()), (clipped, clipped));
            assert!(whole.get_ref().ends_with(&bare) && streamed.ends_with(&bare));
            assert!(bare.len() >= 1800 && streamed.len() > bare.len());
            let read = |bytes: &[u8]| {
                let options = DecodeOptions { sample_rate: None, max_seconds: None, max_bytes: None };
                decode_reader(Cursor::new(bytes.to_vec()), "stream", &options).unwrap().waveform
            };
            assert_eq!(read(&streamed).samples(), read(whole.get_ref()).samples());
        }
    }

    #[test]
    fn numbers_that_are_no_samples_are_refused() {
        let sound = Waveform::mono(vec![0.0, f32::NAN], 16_000).unwrap();
        let mut bytes = Vec::new();
        let error = SampleWriter::bare(&mut bytes, WavFormat::Pcm16).write(&sound).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Numeric);
        assert!(bytes.is_empty());
    }
}
