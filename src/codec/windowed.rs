//! Windowed decoding: the samples of a frame depend on a few frames on each side, so that each window is decoded with this
//! context around it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::s;
use ort::value::Tensor;

use super::{ClipDecoder, Pace};
use crate::error::{Error, ErrorKind, Result};
use crate::package::CodecConfig;
use crate::runtime::{Fixing, Graph, GraphLoader, Port, Size, check_finite, load_once};
use crate::token::{Codes, TokenId};

/// Frames of the first chunk of a streamed clip; each chunk is twice as long as the previous one.
const FIRST_CHUNK: usize = 16;
/// Frames of the longest chunk of a clip that is being generated: short enough that little remains at the end of the clip, and
/// long enough that little is decoded twice around each chunk.
const LONGEST_GENERATED_CHUNK: usize = 256;
/// Frames of the longest chunk, which bounds the decoder's working memory.
const LONGEST_CHUNK: usize = 1500;

/// Frames of a chunk where shapes are fixed, without its context: long enough that little is decoded twice, and short enough for
/// the first chunk of a streamed clip.
const FIXED_CHUNK: usize = 32;

/// A decoder of windows of a clip.
pub(super) trait DecodeWindow: Send + Sync {
    /// Returns the number of frames of every window, if it is fixed.
    fn frames(&self) -> Option<usize>;

    /// Decodes `codes`, shape [books, frames], from frame `first_frame` of the clip on. `ends` says that the clip ends with these
    /// codes; if not, the samples of the last frames, whose context is missing, are wrong, and the caller drops them.
    fn decode(&self, codes: &Codes, first_frame: usize, ends: bool) -> Result<Vec<f32>>;
}

/// The decoder graph of a codec.
pub(super) struct WindowDecoder {
    graph: Graph,
    /// The graph for clips shorter than a window, on the CPU, if shapes are fixed.
    for_short_clips: OnceLock<Graph>,
    loader: Arc<GraphLoader>,
    name: String,
    config: CodecConfig,
    indexed: bool,
}

impl WindowDecoder {
    /// Loads the decoder of the codec that `config` describes; an `indexed` graph takes the index of its first frame.
    pub(super) fn load(loader: &Arc<GraphLoader>, config: &CodecConfig, context: usize, indexed: bool) -> Result<Self> {
        let (inputs, outputs) = ports(config, indexed);
        let frames = FIXED_CHUNK + 2 * context;
        let fixing = Fixing::Sizes(vec![("batch", Size::Of(1)), ("frames", Size::Of(frames))]);
        let graph = loader.load(&config.decoder, &inputs, &outputs, &fixing)?;
        Ok(Self {
            graph,
            for_short_clips: OnceLock::new(),
            loader: Arc::clone(loader),
            name: config.decoder.clone(),
            config: config.clone(),
            indexed,
        })
    }

    fn graph_for_short_clips(&self) -> Result<&Graph> {
        load_once(&self.for_short_clips, || {
            let (inputs, outputs) = ports(&self.config, self.indexed);
            let frames = self.frames().unwrap_or_default();
            let what =
                format!("{}: a clip of less than {frames} frames, the fixed shape, is decoded on the CPU", self.name);
            log::info!(target: "ualm::provider", "{what}");
            self.loader.beside(&self.graph, &inputs, &outputs)
        })
    }

    fn run(&self, graph: &Graph, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
        let failed = |e| graph.failed(&e);
        let (books, frames) = codes.dim();
        let ids: Vec<i64> = codes.iter().map(|code| i64::from(*code)).collect();
        let ids = Tensor::from_array(([1, books, frames], ids)).map_err(failed)?;
        let [samples] = if self.indexed {
            let first = Tensor::from_array(([1], vec![first_frame as i64])).map_err(failed)?;
            graph.run([("audio_codes", ids.into()), ("first_frame", first.into())], ["audio_values"])?
        } else {
            graph.run([("audio_codes", ids.into())], ["audio_values"])?
        };
        let samples = samples.try_extract_tensor::<f32>().map_err(failed)?.1.to_vec();
        let hop = self.config.hop_length;
        if samples.len() != frames * hop {
            let what = format!("{}: {} samples for {frames} frames; expected {hop} for each", self.name, samples.len());
            return Err(Error::new(ErrorKind::Graph, what));
        }
        Ok(samples)
    }
}

fn ports(config: &CodecConfig, indexed: bool) -> (Vec<Port>, [Port; 1]) {
    let mut inputs = vec![Port::int64("audio_codes", &[None, Some(config.books), None])];
    if indexed {
        inputs.push(Port::int64("first_frame", &[Some(1)]));
    }
    (inputs, [Port::float("audio_values", &[None, Some(1), None])])
}

impl DecodeWindow for WindowDecoder {
    fn frames(&self) -> Option<usize> {
        self.graph.fixed("frames")
    }

    fn decode(&self, codes: &Codes, first_frame: usize, ends: bool) -> Result<Vec<f32>> {
        let numeric = |e: Error| Error::new(ErrorKind::Numeric, format!("after frame {first_frame}: {e}"));
        super::check_codes(&self.config, codes).map_err(numeric)?;
        let (books, frames) = codes.dim();
        let hop = self.config.hop_length;
        let samples = match self.frames() {
            Some(fixed) if frames < fixed && ends => self.run(self.graph_for_short_clips()?, codes, first_frame)?,
            Some(fixed) if frames < fixed => {
                let mut padded = Codes::zeros((books, fixed));
                padded.slice_mut(s![.., ..frames]).assign(codes);
                let mut samples = self.run(&self.graph, &padded, first_frame)?;
                samples.truncate(frames * hop);
                samples
            }
            _ => self.run(&self.graph, codes, first_frame)?,
        };
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
    /// Codes from the frame `first` on, frame after frame.
    codes: VecDeque<TokenId>,
    first: usize,
    /// Frames pushed so far.
    pushed: usize,
    /// Frames decoded so far.
    decoded: usize,
    /// Frames of the next chunk.
    chunk: usize,
    /// Frames of the longest chunk.
    longest: usize,
}

impl<D: DecodeWindow> WindowedClip<D> {
    pub(super) fn new(decoder: Arc<D>, context: usize, hop: usize, books: usize, pace: Pace) -> Self {
        let longest = match pace {
            Pace::Streamed | Pace::Generated => LONGEST_GENERATED_CHUNK,
            Pace::Whole => LONGEST_CHUNK,
        };
        let fixed = decoder.frames().map(|frames| frames.saturating_sub(2 * context).max(1));
        let longest = fixed.map_or(longest, |fixed| fixed.min(longest));
        let chunk = match pace {
            Pace::Streamed => FIRST_CHUNK.min(longest),
            Pace::Generated | Pace::Whole => longest,
        };
        Self { decoder, context, hop, books, codes: VecDeque::new(), first: 0, pushed: 0, decoded: 0, chunk, longest }
    }

    /// Decodes the frames up to `end`, whose context has been pushed, as far as the clip has one.
    fn decode_to(&mut self, end: usize, samples: &mut Vec<f32>) -> Result<()> {
        let part = self.decoded..end;
        let ends = part.end + self.context > self.pushed;
        let mut around = part.start.saturating_sub(self.context)..(part.end + self.context).min(self.pushed);
        if let Some(frames) = self.decoder.frames().filter(|_| ends) {
            // no code stands for a frame past the end of a clip, so that a window at the end is filled with earlier frames
            around.start = around.start.min(around.end.saturating_sub(frames));
        }
        let decoded = self.decoder.decode(&self.window(&around), around.start, ends)?;
        let wanted = (part.start - around.start) * self.hop..(part.end - around.start) * self.hop;
        samples.extend_from_slice(decoded.get(wanted).unwrap_or_default());
        self.decoded = end;
        self.chunk = (self.chunk * 2).min(self.longest);
        self.forget(end.saturating_sub(self.decoder.frames().unwrap_or(self.context)));
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
    /// window with missing context, or at another index, gives other samples. Frames beyond a clip are unlike any code.
    struct Sums(Option<usize>);

    impl DecodeWindow for Sums {
        fn frames(&self) -> Option<usize> {
            self.0
        }

        fn decode(&self, codes: &Codes, first_frame: usize, ends: bool) -> Result<Vec<f32>> {
            let mut codes = codes.clone();
            let given = codes.ncols();
            if let Some(frames) = self.0 {
                assert!(given <= frames);
                if given < frames && ends {
                    assert_eq!(first_frame, 0, "the clip is shorter than a window");
                } else {
                    codes = ndarray::concatenate![ndarray::Axis(1), codes, Codes::zeros((3, frames - given))];
                }
            }
            let sum = |frame: usize| {
                let around = frame.saturating_sub(2)..(frame + 3).min(codes.ncols());
                around.map(|other| (codes.column(other).sum() + 1) * (3 + other.abs_diff(frame) as u32)).sum::<u32>()
            };
            let sample =
                |at: usize| (sum(at / HOP) * 7 + (first_frame + at / HOP) as u32 * 13 + (at % HOP) as u32) as f32;
            Ok((0..given * HOP).map(sample).collect())
        }
    }

    proptest! {
        /// Codes pushed in chunks of any length give the samples of the whole clip, none of them too early.
        #[test]
        fn chunks_of_any_length_are_the_whole(
            frames in 0usize..4000, sizes in prop::collection::vec(1usize..300, 1..8), pace in crate::codec::tests::any_pace(),
            window in prop::option::of(5usize..80), seed in any::<u32>(),
        ) {
            let codes = Codes::from_shape_fn((3, frames), |(b, f)| (seed ^ (b * 31 + f * 17) as u32) % 50);
            let mut clip = WindowedClip::new(Arc::new(Sums(window)), 2, HOP, 3, pace);
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
            prop_assert_eq!(samples, Sums(None).decode(&codes, 0, true).unwrap());
        }
    }
}
