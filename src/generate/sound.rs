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
    /// Number of samples returned by [`take_new`](Self::take_new) so far.
    taken: usize,
    samples: Vec<f32>,
}

impl SoundStream {
    /// Begins the sound of a segment; the state of a causal decoder takes at most `memory` bytes.
    pub(super) fn new(codec: &dyn Codec, pace: Pace, memory: u64) -> Result<Self> {
        let clip = codec.clip(pace, memory)?;
        Ok(Self { clip, format: codec.format(), pushed: 0, taken: 0, samples: Vec::new() })
    }

    /// Returns the length of `frames` frames in seconds.
    pub(super) fn seconds(&self, frames: usize) -> f64 {
        self.format.seconds(frames)
    }

    /// Decodes the complete frames of `segment`, and all remaining ones if the segment is `complete`. On an error the
    /// samples before it are kept.
    pub(super) fn decode(&mut self, segment: &Tokens, layout: &Layout, complete: bool) -> Result<()> {
        let frames = layout.frames(segment);
        if !complete && frames < self.clip.frames_wanted() {
            return Ok(());
        }
        let codes = layout.codes(segment, self.pushed..frames)?;
        self.pushed = frames;
        self.clip.push(&codes, &mut self.samples)?;
        if complete {
            self.clip.finish(&mut self.samples)?;
        }
        Ok(())
    }

    /// Returns the samples decoded since the last call, if any.
    pub(super) fn take_new(&mut self) -> Result<Option<Waveform>> {
        let taken = std::mem::replace(&mut self.taken, self.samples.len());
        match self.samples.get(taken..) {
            Some(new) if !new.is_empty() => Waveform::mono(new.to_vec(), self.format.sample_rate).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the decoded sound.
    pub(super) fn into_sound(self) -> Result<Waveform> {
        Waveform::mono(self.samples, self.format.sample_rate)
    }
}
