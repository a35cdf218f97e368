//! The key/value cache: one buffer a layer for keys and one for values, allocated once and written in place.

use std::ops::Range;

use half::f16;
use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::{Error, ErrorKind, Result};

/// The sizes of one row of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheShape {
    pub layers: usize,
    pub heads: usize,
    pub head_size: usize,
    /// Whether the graph keeps keys and values as float16.
    pub is_half: bool,
}

/// Keys and values of `rows` sequences, each buffer of shape [rows, heads, capacity, head size].
pub(super) struct KeyValueCache {
    shape: CacheShape,
    rows: usize,
    capacity: usize,
    buffers: Buffers,
}

/// Key and value of layer 0, key and value of layer 1, …
enum Buffers {
    Float(Vec<Tensor<f32>>),
    Half(Vec<Tensor<f16>>),
}

/// A number in the cache.
trait Element: PrimitiveTensorElementType + Copy + std::fmt::Debug + 'static {
    fn to_float(self) -> f32;
    fn from_float(value: f32) -> Self;
}

impl Element for f32 {
    fn to_float(self) -> f32 {
        self
    }
    fn from_float(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    fn to_float(self) -> f32 {
        self.to_f32()
    }
    fn from_float(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl KeyValueCache {
    pub(super) fn new(shape: CacheShape, rows: usize, capacity: usize) -> Result<Self> {
        let buffers = match shape.is_half {
            true => allocate(shape, rows, capacity).map(Buffers::Half),
            false => allocate(shape, rows, capacity).map(Buffers::Float),
        };
        let buffers = buffers.map_err(|e| {
            let width = if shape.is_half { 2 } else { 4 };
            let bytes = 2 * width * shape.layers * rows * shape.heads * capacity * shape.head_size;
            let what = format!("no memory for a cache of {capacity} positions ({} MB)", bytes / 1_000_000);
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
        match &mut self.buffers {
            Buffers::Float(buffers) => bind_all(buffers, binding),
            Buffers::Half(buffers) => bind_all(buffers, binding),
        }
    }

    /// Copies `positions` of row 0 of `other` into row 0.
    pub(super) fn copy_first_row(&mut self, other: &Self, positions: Range<usize>) {
        let sizes = (self.shape, self.capacity, other.capacity);
        match (&mut self.buffers, &other.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => copy_rows(to, from, sizes, &positions),
            (Buffers::Half(to), Buffers::Half(from)) => copy_rows(to, from, sizes, &positions),
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        }
    }

    /// Fills the first `len` positions of the last row as a prefix of pad frames.
    ///
    /// Every position of such a prefix has the same hidden state at every layer, so `first`, a cache of that one
    /// position, tells them all: values are equal, keys differ by the rotary angle of their position.
    pub(super) fn fill_with_pads(&mut self, first: &Self, len: usize, rotary: &Rotary) {
        let row = (self.rows - 1) * self.shape.heads * self.capacity * self.shape.head_size;
        let sizes = (self.shape, self.capacity, first.capacity);
        match (&mut self.buffers, &first.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => fill_rows(to, from, sizes, row, len, rotary),
            (Buffers::Half(to), Buffers::Half(from)) => fill_rows(to, from, sizes, row, len, rotary),
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        }
    }
}

fn allocate<T: Element>(shape: CacheShape, rows: usize, capacity: usize) -> ort::Result<Vec<Tensor<T>>> {
    let shape_of_one = [rows, shape.heads, capacity, shape.head_size];
    (0..2 * shape.layers).map(|_| Tensor::<T>::new(&Allocator::default(), shape_of_one)).collect()
}

fn bind_all<T: Element>(buffers: &mut [Tensor<T>], binding: &mut IoBinding) -> ort::Result<()> {
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let (layer, part) = (index / 2, if index % 2 == 0 { "key" } else { "value" });
        binding.bind_input(format!("past_key_values.{layer}.{part}"), &*buffer)?;
        binding.bind_output(format!("present.{layer}.{part}"), buffer)?;
    }
    Ok(())
}

/// Copies `positions` of row 0; `sizes` are the shape and the capacities of both.
fn copy_rows<T: Element>(
    to: &mut [Tensor<T>],
    from: &[Tensor<T>],
    (shape, capacity, other): (CacheShape, usize, usize),
    positions: &Range<usize>,
) {
    let size = shape.head_size;
    for (to, from) in to.iter_mut().zip(from) {
        let (to, from) = (to.extract_tensor_mut().1, from.extract_tensor().1);
        for head in 0..shape.heads {
            let (into, out_of) = (head * capacity * size, head * other * size);
            to[into + positions.start * size..into + positions.end * size]
                .copy_from_slice(&from[out_of + positions.start * size..out_of + positions.end * size]);
        }
    }
}

/// Fills `len` positions from the element `row` on with the one position of `from`, its keys turned.
fn fill_rows<T: Element>(
    to: &mut [Tensor<T>],
    from: &[Tensor<T>],
    (shape, capacity, first): (CacheShape, usize, usize),
    row: usize,
    len: usize,
    rotary: &Rotary,
) {
    let size = shape.head_size;
    for (index, (to, from)) in to.iter_mut().zip(from).enumerate() {
        let (to, from) = (to.extract_tensor_mut().1, from.extract_tensor().1);
        for (head, one) in from.chunks_exact(first * size).enumerate() {
            let start = row + head * capacity * size;
            for (position, slot) in to[start..start + len * size].chunks_exact_mut(size).enumerate() {
                match index % 2 {
                    0 => rotary.rotate(&one[..size], position, slot),
                    _ => slot.copy_from_slice(&one[..size]),
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

    fn rotate<T: Element>(&self, at_zero: &[T], position: usize, out: &mut [T]) {
        out.copy_from_slice(at_zero);
        for (i, frequency) in self.frequencies.iter().enumerate() {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            let (a, b) = (f64::from(at_zero[i].to_float()), f64::from(at_zero[self.half + i].to_float()));
            out[i] = T::from_float((a * cos - b * sin) as f32);
            out[self.half + i] = T::from_float((b * cos + a * sin) as f32);
        }
    }
}
