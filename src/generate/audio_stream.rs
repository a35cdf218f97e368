//! Sound out of a segment's frames while they are being made.

use std::ops::Range;

use crate::Result;
use crate::graph::{AudioDecoder, with_context};
use crate::token::{Frames, Vocabulary, undelay};

/// Frames of the first chunk when streaming; each chunk is twice as long as the one before it.
const FIRST_CHUNK: usize = 16;
/// The longest chunk: bounds the codec's working memory.
const LONGEST_CHUNK: usize = 1500;

/// Decodes the sound of a growing segment in chunks, each with the codec's context on both sides, so that the chunks
/// together are the sound of the whole.
pub(super) struct AudioStream {
    decoded: usize,
    chunk: usize,
}

impl AudioStream {
    pub(super) fn new(streaming: bool) -> Self {
        Self { decoded: 0, chunk: if streaming { FIRST_CHUNK } else { LONGEST_CHUNK } }
    }

    /// The next chunk, if the first `count` of `frames` (those of sound) settle it, or if they are `complete`.
    pub(super) fn next(
        &mut self,
        frames: &Frames,
        count: usize,
        complete: bool,
        vocabulary: &Vocabulary,
        decoder: &dyn AudioDecoder,
    ) -> Result<Option<Vec<f32>>> {
        let len = (count + 1).saturating_sub(frames.streams());
        let end = if complete { len.min(self.decoded + self.chunk) } else { self.decoded + self.chunk };
        let settled = complete || end + decoder.context_frames() <= len;
        if !settled || end == self.decoded {
            return Ok(None);
        }
        let samples = decode_part(frames, self.decoded..end, len, vocabulary, decoder)?;
        self.decoded = end;
        self.chunk = (self.chunk * 2).min(LONGEST_CHUNK);
        Ok(Some(samples))
    }
}

fn decode_part(
    frames: &Frames,
    part: Range<usize>,
    len: usize,
    vocabulary: &Vocabulary,
    decoder: &dyn AudioDecoder,
) -> Result<Vec<f32>> {
    let around = with_context(&part, decoder.context_frames(), len);
    let delayed = frames.slice(around.start..around.end + frames.streams() - 1);
    let mut samples = decoder.decode(&undelay(&delayed, vocabulary), around.start)?;
    let hop = decoder.hop_length();
    samples.truncate((part.end - around.start) * hop);
    samples.drain(..(part.start - around.start) * hop);
    Ok(samples)
}
