//! Sound out of a segment's frames while they are being made.

use std::ops::Range;

use crate::error::Result;
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
    let mut samples = decoder.decode(&undelay(&delayed, vocabulary)?, around.start)?;
    let hop = decoder.hop_length();
    samples.truncate((part.end - around.start) * hop);
    samples.drain(..(part.start - around.start) * hop);
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::token::{Codes, Interval, Special, delay};

    const STREAMS: usize = 3;
    const CODES: u32 = 50;

    fn vocabulary() -> Vocabulary {
        let special =
            Special { pad: 0, bos: 1, eos: 2, eot: 3, system: 4, user: 5, assistant: 6, text: 7, audio: 8, speech: 9 };
        let block = |i: u32| Interval { start: 12 + i * (CODES + 1), end: 12 + (i + 1) * (CODES + 1) };
        let audio: Vec<_> = (0..STREAMS as u32).map(block).collect();
        let size = audio[STREAMS - 1].end as usize;
        Vocabulary { size, streams: STREAMS, special, text: Interval { start: 10, end: 12 }, audio }
    }

    /// A frame's samples depend on all codes up to `context` frames around it, and on its absolute number.
    struct Blurring {
        context: usize,
    }

    impl AudioDecoder for Blurring {
        fn sample_rate(&self) -> u32 {
            100
        }

        fn hop_length(&self) -> usize {
            2
        }

        fn context_frames(&self) -> usize {
            self.context
        }

        fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
            let len = codes.ncols();
            let sum = |frame: usize| {
                let around = frame.saturating_sub(self.context)..(frame + self.context + 1).min(len);
                around
                    .flat_map(|f| (0..STREAMS).map(move |s| codes[(s, f)] as usize * (f.abs_diff(frame) + 1) * (s + 2)))
                    .sum::<usize>()
            };
            Ok((0..len).flat_map(|frame| [sum(frame) as f32, (first_frame + frame) as f32]).collect())
        }
    }

    proptest! {
        /// However the frames come in, and however long the chunks are, the sound is that of one run over all codes.
        #[test]
        fn chunks_of_any_length_are_the_whole(
            codes in prop::collection::vec(0..CODES, 0..120),
            arrivals in prop::collection::vec(1usize..20, 0..40),
            chunk in 1usize..60,
            context in 0usize..12,
        ) {
            let (vocabulary, decoder) = (vocabulary(), Blurring { context });
            let len = codes.len() / STREAMS;
            let codes = Codes::from_shape_vec((STREAMS, len), codes[..len * STREAMS].to_vec()).unwrap();
            let frames = delay(&codes, &vocabulary);
            let mut stream = AudioStream { decoded: 0, chunk };
            let (mut samples, mut count) = (Vec::new(), 0);
            let mut take = |count: usize, complete: bool| -> Result<()> {
                while let Some(more) = stream.next(&frames.slice(0..count), count, complete, &vocabulary, &decoder)? {
                    samples.extend(more);
                }
                Ok(())
            };
            for more in arrivals {
                count = (count + more).min(frames.len());
                take(count, false).unwrap();
            }
            take(frames.len(), true).unwrap();
            prop_assert_eq!(samples, decoder.decode(&codes, 0).unwrap());
        }
    }
}
