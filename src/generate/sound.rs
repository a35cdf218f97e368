//! The sound of a segment, decoded during its generation: between the steps, or beside them on a thread of its own.
//!
//! A piece that is decoded beside the steps is joined after a fixed number of frames, so that the order of the events does
//! not depend on speed.

use super::sound_worker::{DecodedPiece, Piece, SoundWorker};
use crate::audio::Waveform;
use crate::codec::{ClipDecoder, Codec, Format, Pace};
use crate::error::Result;
use crate::token::{Layout, Tokens};

/// A piece that is decoded beside the steps is joined when 1/`SHARE` of its length has been generated after it: sound is
/// hardly delayed, and decoding that takes less than this share of the time of the steps never blocks.
const SHARE: usize = 4;

/// A decoder of the sound of a growing segment.
pub(super) struct SoundStream {
    /// The decoder; `None` while the worker has it.
    clip: Option<Box<dyn ClipDecoder>>,
    format: Format,
    is_streamed: bool,
    beside: Beside,
    /// The number of frames at which the worker's piece is joined.
    due: usize,
    /// Number of frames pushed to the decoder.
    pushed: usize,
    /// Number of samples returned by [`take_new`](Self::take_new) so far.
    taken: usize,
    samples: Vec<f32>,
}

/// The thread on which pieces are decoded during generation.
enum Beside {
    /// On the thread of the steps.
    No,
    /// On a worker, which the next piece starts.
    Wanted,
    Worker(SoundWorker),
}

impl SoundStream {
    /// Begins the sound of a segment; the state of a causal decoder takes at most `memory` bytes.
    pub(super) fn new(codec: &dyn Codec, is_streamed: bool, memory: u64) -> Result<Self> {
        let is_beside = codec.decodes_beside_steps();
        let pace = match (is_streamed, is_beside) {
            (true, _) => Pace::Streamed,
            (false, true) => Pace::Generated,
            (false, false) => Pace::Whole,
        };
        Ok(Self {
            clip: Some(codec.clip(pace, memory)?),
            format: codec.format(),
            is_streamed,
            beside: if is_beside { Beside::Wanted } else { Beside::No },
            due: 0,
            pushed: 0,
            taken: 0,
            samples: Vec::new(),
        })
    }

    /// Returns the length of `frames` frames in seconds.
    pub(super) fn seconds(&self, frames: usize) -> f64 {
        self.format.seconds(frames)
    }

    /// Decodes the complete frames of `segment`, once they make a piece, and all remaining ones if the segment is
    /// `complete`. On an error the samples before it are kept.
    pub(super) fn decode(&mut self, segment: &Tokens, layout: &Layout, complete: bool) -> Result<()> {
        let frames = layout.frames(segment);
        if complete || frames >= self.due {
            self.take_back()?;
        }
        if !self.clip.as_ref().is_some_and(|clip| complete || frames >= clip.frames_wanted()) {
            return Ok(());
        }
        let codes = layout.codes(segment, self.pushed..frames)?;
        let Some(clip) = self.clip.take() else { return Ok(()) };
        let piece = Piece { clip, codes, is_last: complete };
        self.due = frames + (frames - self.pushed).div_ceil(SHARE);
        self.pushed = frames;
        // the first sound is to come at once, and after the last piece there are no steps
        let is_first = self.is_streamed && self.samples.is_empty();
        match self.worker().filter(|_| !complete && !is_first) {
            Some(worker) => worker.begin(piece),
            None => self.keep(piece.decode()),
        }
    }

    /// Returns the worker, started on first use; `None` if pieces are decoded on this thread.
    fn worker(&mut self) -> Option<&mut SoundWorker> {
        if matches!(self.beside, Beside::Wanted) {
            self.beside = SoundWorker::start().map_or(Beside::No, Beside::Worker);
        }
        match &mut self.beside {
            Beside::Worker(worker) => Some(worker),
            Beside::No | Beside::Wanted => None,
        }
    }

    /// Waits for the worker's piece, if it has one.
    fn take_back(&mut self) -> Result<()> {
        match &mut self.beside {
            Beside::Worker(worker) if self.clip.is_none() => {
                let piece = worker.finish()?;
                self.keep(piece)
            }
            _ => Ok(()),
        }
    }

    fn keep(&mut self, piece: DecodedPiece) -> Result<()> {
        self.clip = Some(piece.clip);
        self.samples.extend(piece.samples);
        piece.result
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
