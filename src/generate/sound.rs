//! Decoding of a segment's sound during its generation.

use crate::audio::Waveform;
use crate::codec::{ClipDecoder, Codec, Format, Pace};
use crate::error::Result;
use crate::token::{Layout, Tokens};

/// A decoder of the sound of a growing segment.
pub(super) struct SoundStream {
    clip: Box<dyn ClipDecoder>,
    format: Format,
    /// Number of frames pushed to the decoder.
    pushed: usize,
    samples: Vec<f32>,
}

impl SoundStream {
    pub(super) fn new(codec: &dyn Codec, pace: Pace) -> Result<Self> {
        Ok(Self { clip: codec.clip(pace)?, format: codec.format(), pushed: 0, samples: Vec::new() })
    }

    /// Returns the length of `frames` frames in seconds.
    pub(super) fn seconds(&self, frames: usize) -> f64 {
        (frames * self.format.hop_length) as f64 / f64::from(self.format.sample_rate)
    }

    /// Decodes the complete frames of `segment`, and all remaining ones if the segment is `complete`; returns the new
    /// samples, if any.
    pub(super) fn decode(&mut self, segment: &Tokens, layout: &Layout, complete: bool) -> Result<Option<Waveform>> {
        let frames = layout.frames(segment);
        if !complete && frames < self.clip.frames_wanted() {
            return Ok(None);
        }
        let before = self.samples.len();
        let codes = layout.codes(segment, self.pushed..frames)?;
        self.pushed = frames;
        self.clip.push(&codes, &mut self.samples)?;
        if complete {
            self.clip.finish(&mut self.samples)?;
        }
        match self.samples.get(before..) {
            Some(new) if !new.is_empty() => Waveform::mono(new.to_vec(), self.format.sample_rate).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the decoded sound.
    pub(super) fn into_sound(self) -> Result<Waveform> {
        Waveform::mono(self.samples, self.format.sample_rate)
    }
}
