//! The key/value cache: one buffer a layer for keys and one for values, allocated once and written in place.

use std::ops::Range;

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use crate::{Error, ErrorKind, Result};

/// The sizes of one row of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheShape {
    pub layers: usize,
    pub heads: usize,
    pub head_size: usize,
}

impl CacheShape {
    /// Bytes of the keys and values of `rows` sequences with room for `capacity` positions.
    pub(super) fn bytes(&self, rows: usize, capacity: usize) -> u64 {
        let sizes = [self.layers, rows, self.heads, capacity, self.head_size];
        sizes.iter().fold(2 * size_of::<f32>() as u64, |bytes, size| bytes.saturating_mul(*size as u64))
    }
}

/// Keys and values of `rows` sequences, each buffer of shape [rows, heads, capacity, head size].
pub(super) struct KeyValueCache {
    shape: CacheShape,
    rows: usize,
    capacity: usize,
    /// Key and value of layer 0, key and value of layer 1, …
    buffers: Vec<Tensor<f32>>,
}

impl KeyValueCache {
    pub(super) fn new(shape: CacheShape, rows: usize, capacity: usize) -> Result<Self> {
        let allocate = |_| Tensor::<f32>::new(&Allocator::default(), [rows, shape.heads, capacity, shape.head_size]);
        let buffers = (0..2 * shape.layers).map(allocate).collect::<ort::Result<_>>().map_err(|e| {
            let megabytes = shape.bytes(rows, capacity) / 1_000_000;
            let what = format!("no memory for a cache of {capacity} positions ({megabytes} MB)");
            Error::new(ErrorKind::Limit, format!("{what}: {}", e.message()))
        })?;
        Ok(Self { shape, rows, capacity, buffers })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Binds every buffer as the past and as the present of its layer: the same memory.
    pub(super) fn bind(&mut self, binding: &mut IoBinding) -> ort::Result<()> {
        for (index, buffer) in self.buffers.iter_mut().enumerate() {
            let (layer, part) = (index / 2, if index % 2 == 0 { "key" } else { "value" });
            binding.bind_input(format!("past_key_values.{layer}.{part}"), &*buffer)?;
            binding.bind_output(format!("present.{layer}.{part}"), buffer)?;
        }
        Ok(())
    }

    /// Copies `positions` of row 0 of `other` into row 0.
    pub(super) fn copy_first_row(&mut self, other: &Self, positions: Range<usize>) {
        let size = self.shape.head_size;
        for (to, from) in self.buffers.iter_mut().zip(&other.buffers) {
            let (to, from) = (to.extract_tensor_mut().1, from.extract_tensor().1);
            for head in 0..self.shape.heads {
                let (into, out_of) = (head * self.capacity * size, head * other.capacity * size);
                to[into + positions.start * size..into + positions.end * size]
                    .copy_from_slice(&from[out_of + positions.start * size..out_of + positions.end * size]);
            }
        }
    }

    /// Fills the first `len` positions of the last row as a prefix of pad frames.
    ///
    /// Every position of such a prefix has the same hidden state at every layer, so `first`, a cache of that one
    /// position, tells them all: values are equal, keys differ by the rotary angle of their position.
    pub(super) fn fill_with_pads(&mut self, first: &Self, len: usize, rotary: &Rotary) {
        let size = self.shape.head_size;
        let row = (self.rows - 1) * self.shape.heads * self.capacity * size;
        for (index, (to, from)) in self.buffers.iter_mut().zip(&first.buffers).enumerate() {
            let (to, from) = (to.extract_tensor_mut().1, from.extract_tensor().1);
            for (head, one) in from.chunks_exact(first.capacity * size).enumerate() {
                let start = row + head * self.capacity * size;
                for (position, slot) in to[start..start + len * size].chunks_exact_mut(size).enumerate() {
                    if index % 2 == 0 {
                        rotary.rotate(&one[..size], position, slot);
                    } else {
                        slot.copy_from_slice(&one[..size]);
                    }
                }
            }
        }
    }
}

/// Rotary position embedding on halves (Qwen2): the angle of component i at position p is `p · theta^(−2i / size)`.
pub(super) struct Rotary {
    /// Components of a half; those beyond the frequencies do not turn.
    half: usize,
    frequencies: Vec<f64>,
}

impl Rotary {
    /// Of heads that are `head_dim` wide in the cache and `size` in the model.
    pub(super) fn new(theta: f64, head_dim: usize, size: usize) -> Self {
        let frequencies = (0..size / 2).map(|i| theta.powf(-2.0 * i as f64 / size as f64)).collect();
        Self { half: head_dim / 2, frequencies }
    }

    fn rotate(&self, at_zero: &[f32], position: usize, out: &mut [f32]) {
        out.copy_from_slice(at_zero);
        for (i, frequency) in self.frequencies.iter().enumerate() {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            let (a, b) = (f64::from(at_zero[i]), f64::from(at_zero[self.half + i]));
            out[i] = (a * cos - b * sin) as f32;
            out[self.half + i] = (b * cos + a * sin) as f32;
        }
    }
}
