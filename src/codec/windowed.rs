//! Windowed decoding, for decoders whose samples depend on a few frames on each side: each window is decoded with that
//! context around it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use ort::value::Tensor;

use super::{ClipDecoder, Pace};
use crate::error::{Error, ErrorKind, Result};
use crate::package::CodecConfig;
use crate::runtime::{Graph, GraphLoader, Port, check_finite};
use crate::token::{Codes, TokenId};

/// Frames of the first chunk of a streamed clip; each chunk is twice as long as the previous one.
const FIRST_CHUNK: usize = 16;
/// Frames of the longest chunk, which bounds the decoder's working memory.
const LONGEST_CHUNK: usize = 1500;

/// A decoder of windows of a clip.
pub(super) trait DecodeWindow: Send + Sync {
    /// Decodes `codes`, shape [books, frames], the first of which is frame `first_frame` of the clip.
    fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>>;
}

/// The decoder graph of a codec.
pub(super) struct WindowDecoder {
    graph: Graph,
    name: String,
    config: CodecConfig,
    indexed: bool,
}

impl WindowDecoder {
    /// Loads the decoder of the codec that `config` describes; an `indexed` graph takes the index of its first frame.
    pub(super) fn load(loader: &GraphLoader, config: &CodecConfig, indexed: bool) -> Result<Self> {
        let mut inputs = vec![Port::int64("audio_codes", &[None, Some(config.books), None])];
        if indexed {
            inputs.push(Port::int64("first_frame", &[Some(1)]));
        }
        let outputs = [Port::float("audio_values", &[None, Some(1), None])];
        let graph = loader.load(&config.decoder, &inputs, &outputs)?;
        Ok(Self { graph, name: config.decoder.clone(), config: config.clone(), indexed })
    }

    fn run(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
        let failed = |e| self.graph.failed(&e);
        let (books, frames) = codes.dim();
        let ids: Vec<i64> = codes.iter().map(|code| i64::from(*code)).collect();
        let ids = Tensor::from_array(([1, books, frames], ids)).map_err(failed)?;
        let [samples] = if self.indexed {
            let first = Tensor::from_array(([1], vec![first_frame as i64])).map_err(failed)?;
            self.graph.run([("audio_codes", ids.into()), ("first_frame", first.into())], ["audio_values"])?
        } else {
            self.graph.run([("audio_codes", ids.into())], ["audio_values"])?
        };
        Ok(samples.try_extract_tensor::<f32>().map_err(failed)?.1.to_vec())
    }
}

impl DecodeWindow for WindowDecoder {
    fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
        let numeric = |e: Error| Error::new(ErrorKind::Numeric, format!("after frame {first_frame}: {e}"));
        super::check_codes(&self.config, codes).map_err(numeric)?;
        let frames = codes.ncols();
        let hop = self.config.hop_length;
        let samples = self.run(codes, first_frame)?;
        if samples.len() != frames * hop {
            let what = format!("{}: {} samples for {frames} frames; expected {hop} for each", self.name, samples.len());
            return Err(Error::new(ErrorKind::Graph, what));
        }
        check_finite(&self.name, &format!("after frame {first_frame}: sample of frame"), &samples, hop)?;
        Ok(samples)
    }
}

/// The state of decoding one clip in windows.
pub(super) struct WindowedClip<D> {
    decoder: Arc<D>,
    /// Number of frames on each side that the samples of a frame depend on.
    context: usize,
    hop: usize,
    books: usize,
    /// Codes from the frame `first` on, frame by frame.
    codes: VecDeque<TokenId>,
    first: usize,
    /// Frames pushed so far.
    pushed: usize,
    /// Frames decoded so far.
    decoded: usize,
    /// Frames of the next chunk.
    chunk: usize,
}

impl<D: DecodeWindow> WindowedClip<D> {
    pub(super) fn new(decoder: Arc<D>, context: usize, hop: usize, books: usize, pace: Pace) -> Self {
        let chunk = match pace {
            Pace::Streamed => FIRST_CHUNK,
            Pace::Whole => LONGEST_CHUNK,
        };
        Self { decoder, context, hop, books, codes: VecDeque::new(), first: 0, pushed: 0, decoded: 0, chunk }
    }

    /// Decodes the frames up to `end`, whose context has been pushed as far as the clip has it.
    fn decode_to(&mut self, end: usize, samples: &mut Vec<f32>) -> Result<()> {
        let part = self.decoded..end;
        let around = part.start.saturating_sub(self.context)..(part.end + self.context).min(self.pushed);
        let decoded = self.decoder.decode(&self.window(&around), around.start)?;
        let wanted = (part.start - around.start) * self.hop..(part.end - around.start) * self.hop;
        samples.extend_from_slice(decoded.get(wanted).unwrap_or_default());
        self.decoded = end;
        self.chunk = (self.chunk * 2).min(LONGEST_CHUNK);
        self.forget(end.saturating_sub(self.context));
        Ok(())
    }

    fn window(&self, frames: &Range<usize>) -> Codes {
        let at = |(book, frame)| self.codes.get((frames.start - self.first + frame) * self.books + book);
        Codes::from_shape_fn((self.books, frames.len()), |index| at(index).copied().unwrap_or_default())
    }

    /// Drops the codes before `frame`, which are no longer needed.
    fn forget(&mut self, frame: usize) {
        self.codes.drain(..(frame - self.first) * self.books);
        self.first = frame;
    }
}

impl<D: DecodeWindow> ClipDecoder for WindowedClip<D> {
    fn frames_wanted(&self) -> usize {
        self.decoded + self.chunk + self.context
    }

    fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()> {
        self.codes.extend(codes.t().iter().copied());
        self.pushed += codes.ncols();
        while self.frames_wanted() <= self.pushed {
            self.decode_to(self.decoded + self.chunk, samples)?;
        }
        Ok(())
    }

    fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        while self.decoded < self.pushed {
            self.decode_to((self.decoded + self.chunk).min(self.pushed), samples)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOP: usize = 4;

    /// A decoder whose samples depend on the codes of two frames on each side and on the frame's index, so that a
    /// window with missing context, or at another index, gives other samples.
    struct Sums;

    impl DecodeWindow for Sums {
        fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
            let sum = |frame: usize| {
                let around = frame.saturating_sub(2)..(frame + 3).min(codes.ncols());
                around.map(|other| codes.column(other).sum() * (3 + other.abs_diff(frame) as u32)).sum::<u32>()
            };
            let sample =
                |at: usize| (sum(at / HOP) * 7 + (first_frame + at / HOP) as u32 * 13 + (at % HOP) as u32) as f32;
            Ok((0..codes.ncols() * HOP).map(sample).collect())
        }
    }

    proptest! {
        /// Codes pushed in chunks of any length give the samples of the whole clip, none of them too early.
        #[test]
        fn chunks_of_any_length_are_the_whole(
            frames in 0usize..4000, sizes in prop::collection::vec(1usize..300, 1..8), streamed in any::<bool>(), seed in any::<u32>(),
        ) {
            let codes = Codes::from_shape_fn((3, frames), |(b, f)| (seed ^ (b * 31 + f * 17) as u32) % 50);
            let pace = if streamed { Pace::Streamed } else { Pace::Whole };
            let mut clip = WindowedClip::new(Arc::new(Sums), 2, HOP, 3, pace);
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
            let whole = samples.len();
            clip.finish(&mut samples).unwrap();
            prop_assert_eq!(samples.len(), whole);
            prop_assert_eq!(samples, Sums.decode(&codes, 0).unwrap());
        }
    }
}
