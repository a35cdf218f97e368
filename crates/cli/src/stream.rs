//! Streams sound to standard output while it is generated.

use std::io::{Stdout, stdout};

use ualm::Result;
use ualm::audio::{SampleWriter, WavFormat, Waveform};
use ualm::internal::counted;

use crate::output::warn;

/// Standard output as a WAV file of unknown length, or as raw samples.
pub struct SoundStream {
    format: WavFormat,
    raw: bool,
    writer: Option<SampleWriter<Stdout>>,
}

impl SoundStream {
    /// Creates an empty stream.
    pub fn new(format: WavFormat, raw: bool) -> Self {
        Self { format, raw, writer: None }
    }

    /// Writes a chunk, after the header if it is the first one.
    pub fn push(&mut self, sound: &Waveform) -> Result<()> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None if self.raw => SampleWriter::bare(stdout(), self.format),
            None => {
                let channels = u16::try_from(sound.channels().len()).unwrap_or(u16::MAX);
                SampleWriter::wav(stdout(), self.format, channels, sound.sample_rate())?
            }
        };
        self.writer.insert(writer).write(sound)
    }

    /// Ends the stream of `sound`; warns if samples beyond full scale were clipped.
    pub fn finish(mut self, sound: &Waveform) -> Result<()> {
        if self.writer.is_none() {
            self.push(sound)?;
        }
        let clipped = self.writer.map_or(0, |writer| writer.clipped());
        if clipped > 0 {
            let samples = counted(clipped, "sample");
            warn(&format!("warning: clipped {samples} beyond full scale; --float keeps them"));
        }
        Ok(())
    }
}
