//! The graph of a causal decoder, whose state is a key/value cache.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use ort::memory::Allocator;
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::causal::{CausalSizes, DecodeChunk, PAST_THE_END};
use crate::cache::{CacheShape, KeyValueCache};
use crate::error::{Error, ErrorKind, Result};
use crate::package::{CausalState, CodecConfig};
use crate::runtime::{Buffer, Fixing, Graph, GraphLoader, Port, Size, check_finite, load_once};

/// The initial capacity of a clip's cache in frames; the capacity is doubled when it is exhausted.
const FIRST_ROOM: usize = 64;

/// Frames of a run where shapes are fixed.
const FIXED_FRAMES: usize = 32;

/// The capacity of a clip's cache in frames where shapes are fixed, allocated at once.
const FIXED_ROOM: usize = 1500;

/// The decoder graph of a codec.
pub(super) struct CausalDecoder {
    graph: Graph,
    /// The graph on the CPU for clips beyond the capacity, if shapes are fixed.
    for_long_clips: OnceLock<Graph>,
    loader: Arc<GraphLoader>,
    name: String,
    sizes: CausalSizes,
    hop: usize,
    codebook_size: usize,
    state: CausalState,
    cache: CacheShape,
}

/// The fixed shapes of the graph.
#[derive(Clone, Copy)]
struct Fixed {
    /// Frames of a run.
    frames: usize,
    /// Frames that the cache has room for.
    capacity: usize,
}

/// The keys and values of the frames of a clip.
pub(super) struct ClipState {
    cache: Option<KeyValueCache>,
    frames: usize,
    /// The maximum size of the cache in bytes.
    memory: u64,
}

impl CausalDecoder {
    /// Loads the decoder of the codec that `config` describes.
    pub(super) fn load(
        loader: &Arc<GraphLoader>,
        config: &CodecConfig,
        sizes: CausalSizes,
        state: CausalState,
    ) -> Result<Self> {
        let (inputs, outputs) = ports(state);
        let room = Size::Positions(sizes.max_frames.min(FIXED_ROOM));
        let codes = Size::Of(FIXED_FRAMES + sizes.lookahead);
        let fixing = Fixing::Sizes(vec![("batch", Size::Of(1)), ("codes", codes), ("capacity", room)]);
        let graph = loader.load(&config.decoder, &inputs, &outputs, &fixing)?;
        let at_once = graph.fixed("codes").map_or(sizes.at_once, |_| FIXED_FRAMES);
        let is_half = graph.is_half("past_key_values.0.key");
        Ok(Self {
            graph,
            for_long_clips: OnceLock::new(),
            loader: Arc::clone(loader),
            name: config.decoder.clone(),
            sizes: CausalSizes { at_once, ..sizes },
            hop: config.hop_length,
            codebook_size: config.codebook_size,
            state,
            cache: CacheShape { layers: state.layers, heads: state.heads, head_size: state.head_size, is_half },
        })
    }

    fn graph_for_long_clips(&self) -> Result<&Graph> {
        load_once(&self.for_long_clips, || {
            let (inputs, outputs) = ports(self.state);
            let what = format!("{}: a clip longer than the fixed shapes is continued on the CPU", self.name);
            log::info!(target: "ualm::provider", "{what}");
            self.loader.beside(&self.graph, &inputs, &outputs)
        })
    }

    /// Returns the fixed shapes, if shapes are fixed, a run after `frames` of a clip fits into the cache, and the cache fits into
    /// the memory of `clip`.
    fn fixed(&self, frames: usize, clip: &ClipState) -> Option<Fixed> {
        let codes = self.graph.fixed("codes")?;
        let fixed = Fixed { frames: codes - self.sizes.lookahead, capacity: self.graph.fixed("capacity")? };
        let fits = frames + fixed.frames <= fixed.capacity && self.cache.bytes(1, fixed.capacity) <= clip.memory;
        fits.then_some(fixed)
    }

    /// Returns the state of a clip without frames, which may take up to `memory` bytes.
    pub(super) fn begin(&self, memory: u64) -> ClipState {
        ClipState { cache: None, frames: 0, memory }
    }

    /// Checks that all codes are within the codebook, or past the end.
    fn check_codes(&self, codes: &[i64], first: usize) -> Result<()> {
        let size = self.codebook_size;
        let is_code = |code: &i64| *code == PAST_THE_END || usize::try_from(*code).is_ok_and(|code| code < size);
        match codes.iter().enumerate().find(|(_, code)| !is_code(code)) {
            None => Ok(()),
            Some((frame, code)) => {
                let what = format!("{}: code {code} in frame {}; expected 0..{size}", self.name, first + frame);
                Err(Error::new(ErrorKind::Numeric, what))
            }
        }
    }

    /// Returns `numbers` in the memory where the graph reads its input `port`.
    fn input<T>(graph: &Graph, port: &str, shape: &[usize], numbers: &[T]) -> Result<Buffer<T>>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        let mut input = graph.buffer(port, shape)?;
        input.numbers_mut().copy_from_slice(numbers);
        input.upload().map_err(|e| graph.failed(&e))?;
        Ok(input)
    }

    /// Runs `graph` on `codes`, after which the cache holds `end` frames.
    fn run(&self, graph: &Graph, codes: &[i64], cache: &mut KeyValueCache, end: usize) -> Result<Vec<f32>> {
        let failed = |e| graph.failed(&e);
        let frames = codes.len() - self.sizes.lookahead;
        let total = i32::try_from(end)
            .map_err(|_| Error::new(ErrorKind::Limit, format!("{end} frames, more than a graph can count")))?;
        let codes = Self::input(graph, "audio_codes", &[1, 1, codes.len()], codes)?;
        let last = Self::input(graph, "seqlens_k", &[1], &[total - 1])?;
        let total = Self::input(graph, "total_sequence_length", &[], &[total])?;
        let mut samples = Tensor::<f32>::new(&Allocator::default(), [1, 1, frames * self.hop]).map_err(failed)?;
        let mut binding = graph.binding()?;
        codes.bind_input(&mut binding, "audio_codes").map_err(failed)?;
        last.bind_input(&mut binding, "seqlens_k").map_err(failed)?;
        total.bind_input(&mut binding, "total_sequence_length").map_err(failed)?;
        binding.output("audio_values", &mut samples).map_err(failed)?;
        cache.run_once(graph, binding)?;
        Ok(samples.extract_tensor().1.to_vec())
    }
}

impl CausalDecoder {
    /// Decodes the first `frames` of `codes`, after `done` frames, with fixed shapes. Frames past the end of the clip pad the run:
    /// the frames before do not attend to them, and the next run overwrites them in the cache.
    fn decode_fixed(
        &self,
        codes: &[i64],
        frames: usize,
        done: usize,
        fixed: Fixed,
        state: &mut ClipState,
    ) -> Result<Vec<f32>> {
        if state.cache.is_none() {
            state.cache = Some(KeyValueCache::new(self.cache, 1, fixed.capacity, &self.graph)?);
        }
        let cache = state.cache.as_mut().ok_or_else(no_cache)?;
        let mut padded: Vec<_> = codes.iter().take(frames + self.sizes.lookahead).copied().collect();
        padded.resize(fixed.frames + self.sizes.lookahead, PAST_THE_END);
        let mut samples = self.run(&self.graph, &padded, cache, done + fixed.frames)?;
        samples.truncate(frames * self.hop);
        Ok(samples)
    }
}

fn no_cache() -> Error {
    Error::new(ErrorKind::Graph, "no cache")
}

fn ports(state: CausalState) -> (Vec<Port>, Vec<Port>) {
    let past = [None, Some(state.heads), None, Some(state.head_size)];
    let mut inputs = vec![
        Port::int64("audio_codes", &[None, Some(1), None]),
        Port::int32("seqlens_k", &[None]),
        Port::int32("total_sequence_length", &[]),
    ];
    let mut outputs = vec![Port::float("audio_values", &[None, Some(1), None])];
    for layer in 0..state.layers {
        for part in ["key", "value"] {
            inputs.push(Port::float_or_half(format!("past_key_values.{layer}.{part}"), &past));
            outputs.push(Port::float_or_half(format!("present.{layer}.{part}"), &past));
        }
    }
    (inputs, outputs)
}

impl DecodeChunk for CausalDecoder {
    type State = ClipState;

    fn sizes(&self) -> CausalSizes {
        self.sizes
    }

    fn decode(&self, codes: &[i64], state: &mut ClipState) -> Result<Vec<f32>> {
        let first = state.frames;
        self.check_codes(codes, first)?;
        let end = first + codes.len().saturating_sub(self.sizes.lookahead);
        let mut samples = Vec::with_capacity((end - first) * self.hop);
        let mut rest = codes;
        let mut done = first;
        while done < end {
            let frames = match self.fixed(done, state) {
                Some(fixed) => {
                    let frames = fixed.frames.min(end - done);
                    samples.extend(self.decode_fixed(rest, frames, done, fixed, state)?);
                    frames
                }
                None => {
                    let is_fixed = self.graph.fixed("codes").is_some();
                    let graph = if is_fixed { self.graph_for_long_clips()? } else { &self.graph };
                    let frames = graph.max_positions_per_run().min(end - done);
                    let allocate = |capacity| KeyValueCache::new(self.cache, 1, capacity, graph);
                    let cache = state.room(end, done, self.cache, self.sizes.max_frames, allocate)?;
                    let (of_run, _) = rest.split_at(frames + self.sizes.lookahead);
                    samples.extend(self.run(graph, of_run, cache, done + frames)?);
                    frames
                }
            };
            done += frames;
            rest = rest.split_at(frames).1;
        }
        check_finite(&self.name, &format!("after frame {first}: sample of frame"), &samples, self.hop)?;
        state.frames = end;
        Ok(samples)
    }
}

impl ClipState {
    /// Returns the cache, grown to at least `frames` with its first `kept` frames; `allocate` makes a cache of a capacity.
    fn room(
        &mut self,
        frames: usize,
        kept: usize,
        shape: CacheShape,
        max_frames: usize,
        allocate: impl FnOnce(usize) -> Result<KeyValueCache>,
    ) -> Result<&mut KeyValueCache> {
        let held = self.cache.as_ref().map_or(0, KeyValueCache::capacity);
        if held < frames {
            let capacity = self.capacity(frames, shape, max_frames)?;
            let mut larger = allocate(capacity)?;
            if let Some(cache) = &self.cache {
                larger.copy_row_of(cache, 0, 0, kept)?;
            }
            self.cache = Some(larger);
        }
        self.cache.as_mut().ok_or_else(no_cache)
    }

    /// Returns the capacity of a new cache for at least `frames`: twice the current capacity, or less if both caches together
    /// would exceed the limit on memory.
    fn capacity(&self, frames: usize, shape: CacheShape, max_frames: usize) -> Result<usize> {
        let held = self.cache.as_ref().map_or(0, KeyValueCache::capacity);
        let in_use = shape.bytes(1, held);
        let fits = self.memory.saturating_sub(in_use) / shape.bytes(1, 1).max(1);
        if (frames as u64) > fits {
            let megabytes = [shape.bytes(1, frames), in_use, self.memory].map(|bytes| bytes.div_ceil(1_000_000));
            let what = format!(
                "the decoder's state after {frames} frames takes {} MB beside {} MB in use; the limit on memory is {} MB: \
                 ask for fewer steps",
                megabytes[0], megabytes[1], megabytes[2]
            );
            return Err(Error::new(ErrorKind::Limit, what));
        }
        let wanted = frames.max(2 * held).max(FIRST_ROOM).min(max_frames);
        Ok(usize::try_from(fits).map_or(wanted, |fits| wanted.min(fits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 2, heads: 4, head_size: 16, is_half: false };

    /// The capacity doubles up to the maximum number of frames, within the limit on memory.
    #[test]
    fn capacity_is_bounded() {
        let of_frame = SHAPE.bytes(1, 1);
        let mut state = ClipState { cache: None, frames: 0, memory: 1000 * of_frame };
        let mut grow = |frames| {
            let allocate = |capacity| KeyValueCache::on_host(SHAPE, 1, capacity);
            state.room(frames, 0, SHAPE, 500, allocate).map(|cache| cache.capacity())
        };
        assert_eq!([5, 64, 65, 200, 257, 500].map(|frames| grow(frames).unwrap()), [64, 64, 128, 256, 500, 500]);

        let mut state = ClipState { cache: None, frames: 0, memory: 150 * of_frame };
        let mut grow = |frames| {
            let allocate = |capacity| KeyValueCache::on_host(SHAPE, 1, capacity);
            state.room(frames, 0, SHAPE, 500, allocate).map(|cache| cache.capacity())
        };
        assert_eq!([5, 65, 86].map(|frames| grow(frames).unwrap()), [64, 86, 86], "both caches are within the limit");
        let error = grow(87).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("after 87 frames takes 1 MB beside 1 MB"), "{error}");
        assert!(error.message().contains("the limit on memory is 1 MB"), "{error}");
    }
}
