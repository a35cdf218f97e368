//! Causal decoding: the samples of a frame depend on all earlier frames, through a state, and on a few later frames.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{ClipDecoder, Pace};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Codes;

/// Frames of the longest chunk of a streamed clip; each chunk is twice as long as the previous one.
const LONGEST_STREAMED_CHUNK: usize = 40;
/// Frames of a chunk of a clip that is being generated and not streamed.
const GENERATED_CHUNK: usize = 64;
/// Frames of a chunk of a whole clip, which bounds the decoder's working memory.
const LONGEST_CHUNK: usize = 256;
/// The code of a frame past the end of the clip.
pub(super) const PAST_THE_END: i64 = -1;

/// The sizes of a causal decoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct CausalSizes {
    /// Frames of the first chunk of a streamed clip.
    pub chunk: usize,
    /// Number of later frames that the samples of a frame depend on.
    pub lookahead: usize,
    /// The maximum number of frames of a clip.
    pub max_frames: usize,
    /// The maximum number of frames that the decoder runs at once.
    pub at_once: usize,
}

/// A decoder of chunks of a clip.
pub(super) trait DecodeChunk: Send + Sync {
    /// The state after the frames decoded so far.
    type State: Send;

    /// Returns the decoder's sizes.
    fn sizes(&self) -> CausalSizes;

    /// Decodes the frames after those of `state`. `codes` are the codes of these frames and of their lookahead, with
    /// [`PAST_THE_END`] for frames past the end of the clip. On an error the state is unchanged.
    fn decode(&self, codes: &[i64], state: &mut Self::State) -> Result<Vec<f32>>;
}

/// The state of decoding one clip.
pub(super) struct CausalClip<D: DecodeChunk> {
    decoder: Arc<D>,
    state: D::State,
    sizes: CausalSizes,
    /// Codes from the frame `decoded` on.
    codes: VecDeque<i64>,
    /// Frames decoded so far.
    decoded: usize,
    /// Frames of the next chunk.
    chunk: usize,
    /// Frames of the longest chunk.
    longest: usize,
}

impl<D: DecodeChunk> CausalClip<D> {
    /// Begins a clip with `state`, that of a clip without frames.
    pub(super) fn new(decoder: Arc<D>, state: D::State, pace: Pace) -> Self {
        let sizes = decoder.sizes();
        let (chunk, longest) = match pace {
            Pace::Streamed => (sizes.chunk, LONGEST_STREAMED_CHUNK.min(sizes.at_once).max(sizes.chunk)),
            Pace::Generated => (GENERATED_CHUNK, GENERATED_CHUNK),
            Pace::Whole => (LONGEST_CHUNK, LONGEST_CHUNK),
        };
        Self { decoder, state, sizes, codes: VecDeque::new(), decoded: 0, chunk, longest }
    }

    /// Decodes a chunk, or the remaining frames; missing lookahead is past the end of the clip.
    fn decode_chunk(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        let CausalSizes { lookahead, max_frames, .. } = self.sizes;
        if self.decoded == max_frames {
            let what = format!("the sound is longer than {max_frames} frames, the limit of its decoder");
            return Err(Error::new(ErrorKind::Limit, format!("{what}: ask for fewer steps")));
        }
        let frames = self.chunk.min(self.codes.len()).min(max_frames - self.decoded);
        let mut codes: Vec<_> = self.codes.iter().take(frames + lookahead).copied().collect();
        codes.resize(frames + lookahead, PAST_THE_END);
        samples.extend(self.decoder.decode(&codes, &mut self.state)?);
        self.codes.drain(..frames);
        self.decoded += frames;
        self.chunk = (self.chunk * 2).min(self.longest);
        Ok(())
    }
}

impl<D: DecodeChunk> ClipDecoder for CausalClip<D> {
    fn frames_wanted(&self) -> usize {
        self.decoded + self.chunk + self.sizes.lookahead
    }

    fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()> {
        self.codes.extend(codes.iter().map(|code| i64::from(*code)));
        while self.codes.len() >= self.chunk + self.sizes.lookahead {
            self.decode_chunk(samples)?;
        }
        Ok(())
    }

    fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        while !self.codes.is_empty() {
            self.decode_chunk(samples)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOP: usize = 3;

    /// A decoder whose samples depend on the codes of all earlier frames and on those of `lookahead` later ones.
    struct Sums(CausalSizes);

    impl Sums {
        fn new(lookahead: usize, max_frames: usize) -> Self {
            Self(CausalSizes { chunk: 5, lookahead, max_frames, at_once: usize::MAX })
        }
    }

    impl DecodeChunk for Sums {
        type State = Vec<i64>;

        fn sizes(&self) -> CausalSizes {
            self.0
        }

        fn decode(&self, codes: &[i64], past: &mut Vec<i64>) -> Result<Vec<f32>> {
            let frames = codes.len() - self.0.lookahead;
            let mut samples = Vec::new();
            for frame in 0..frames {
                let ahead = codes[frame..].iter().take(self.0.lookahead + 1).enumerate();
                past.push(ahead.map(|(distance, code)| (code + 1) * (distance as i64 + 3)).sum());
                let sum: i64 = past.iter().enumerate().map(|(index, x)| x * (index as i64 % 7 + 1)).sum();
                samples.extend((0..HOP).map(|sample| ((sum + sample as i64) % 10_007) as f32));
            }
            Ok(samples)
        }
    }

    /// Returns the samples of `codes`, decoded at once.
    fn whole(decoder: &Sums, codes: &Codes) -> Vec<f32> {
        let mut ids: Vec<_> = codes.iter().map(|code| i64::from(*code)).collect();
        ids.extend(vec![PAST_THE_END; decoder.0.lookahead]);
        decoder.decode(&ids, &mut Vec::new()).unwrap()
    }

    fn codes(frames: usize, seed: u32) -> Codes {
        Codes::from_shape_fn((1, frames), |(_, frame)| (seed ^ (frame * 17) as u32) % 50)
    }

    proptest! {
        /// Codes pushed in chunks of any length give the samples of the whole clip, none of them too early or too late.
        #[test]
        fn chunks_of_any_length_are_the_whole(
            frames in 0usize..900, lookahead in 0usize..6, sizes in prop::collection::vec(1usize..300, 1..8),
            pace in crate::codec::tests::any_pace(), seed in any::<u32>(),
        ) {
            let codes = codes(frames, seed);
            let decoder = Arc::new(Sums::new(lookahead, 1000));
            let mut clip = CausalClip::new(Arc::clone(&decoder), Vec::new(), pace);
            let mut samples = Vec::new();
            let mut sizes = sizes.iter().cycle();
            let mut start = 0;
            while start < frames {
                let end = (start + sizes.next().unwrap()).min(frames);
                let wanted = clip.frames_wanted();
                let before = samples.len();
                clip.push(&codes.slice(ndarray::s![.., start..end]).to_owned(), &mut samples).unwrap();
                prop_assert_eq!(samples.len() == before, end < wanted);
                start = end;
            }
            clip.finish(&mut samples).unwrap();
            clip.finish(&mut samples).unwrap();
            prop_assert_eq!(samples, whole(&decoder, &codes));
        }
    }

    #[test]
    fn a_streamed_clip_begins_with_short_chunks() {
        let decoder = Arc::new(Sums::new(4, 1000));
        let mut clip = CausalClip::new(decoder, Vec::new(), Pace::Streamed);
        let mut samples = Vec::new();
        let mut lengths = Vec::new();
        for _ in 0..200 {
            let before = samples.len();
            clip.push(&codes(1, 3), &mut samples).unwrap();
            lengths.extend(Some((samples.len() - before) / HOP).filter(|length| *length > 0));
        }
        assert_eq!(lengths, [5, 10, 20, 40, 40, 40, 40]);
    }

    /// A clip that is too long is decoded up to the decoder's limit.
    #[test]
    fn a_clip_beyond_the_most_frames_is_a_limit() {
        let all = codes(700, 5);
        for pace in [Pace::Streamed, Pace::Generated, Pace::Whole] {
            let decoder = Arc::new(Sums::new(4, 600));
            let mut clip = CausalClip::new(Arc::clone(&decoder), Vec::new(), pace);
            let mut samples = Vec::new();
            let error = clip.push(&all, &mut samples).and_then(|()| clip.finish(&mut samples)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit);
            assert!(error.message().contains("longer than 600 frames"), "{error}");
            assert_eq!(samples, whole(&decoder, &all)[..600 * HOP]);
        }
    }
}
