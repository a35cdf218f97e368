//! Sound that is written while more of it is being made.

#![expect(clippy::indexing_slicing, reason = "the channels of a waveform are of one length")]

use std::io::Write;

use super::wav::{header_of_unknown_length, pcm16};
use super::{WavFormat, Waveform};
use crate::error::{Error, ErrorKind, Result};
use crate::file::unwritable;

/// Writes samples as they come: bare, or as a WAV file whose length is not known when it begins.
pub struct SampleWriter<W> {
    writer: W,
    format: WavFormat,
    clipped: usize,
}

impl<W: Write> SampleWriter<W> {
    /// Bare samples: little-endian, those of the channels in turn.
    pub fn bare(writer: W, format: WavFormat) -> Self {
        Self { writer, format, clipped: 0 }
    }

    /// A WAV file. Its header gives the largest length there is, which players and converters take for an unknown one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the header cannot be written.
    pub fn wav(mut writer: W, format: WavFormat, channels: u16, sample_rate: u32) -> Result<Self> {
        let header = header_of_unknown_length(channels, sample_rate, format);
        writer.write_all(&header).and_then(|()| writer.flush()).map_err(unwritable)?;
        Ok(Self::bare(writer, format))
    }

    /// Writes the next samples, all of them at once.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when they cannot be written, [`ErrorKind::Numeric`] when one is not finite: nothing is written
    /// then.
    pub fn write(&mut self, sound: &Waveform) -> Result<()> {
        let mut bytes = Vec::with_capacity(sound.len() * sound.channels().len() * size_of::<f32>());
        for n in 0..sound.len() {
            for channel in sound.channels() {
                let sample = channel[n];
                if !sample.is_finite() {
                    let what = format!("sample {n} of what comes next is not a finite number: it is not written");
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

    /// Samples that had to be clipped so far; none of [`WavFormat::Float32`].
    pub fn clipped(&self) -> usize {
        self.clipped
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::audio::{DecodeOptions, decode_reader, write_wav_to};

    /// Behind the header, a stream in pieces is what a file of the whole holds; and it can be read.
    #[test]
    fn pieces_are_the_whole() {
        let sound = |range: std::ops::Range<usize>| {
            Waveform::mono(range.map(|n| (n as f32 * 0.3).sin() * 1.2).collect(), 16_000).unwrap()
        };
        for format in [WavFormat::Pcm16, WavFormat::Float32] {
            let (mut whole, mut streamed, mut bare) = (Cursor::new(Vec::new()), Vec::new(), Vec::new());
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
