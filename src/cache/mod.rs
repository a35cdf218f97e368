//! The key/value cache of attention: one buffer a layer for keys and one for values, allocated once and written in place
//! by the graph that it is bound to. The language model has one, and a causal decoder of a codec.

#![expect(clippy::indexing_slicing, reason = "rows and positions are within the buffers, which are allocated here")]

use std::ops::Range;

use half::f16;
use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Graph;
use crate::runtime::binding::bind_rows;

/// The sizes of one row of the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheShape {
    pub layers: usize,
    pub heads: usize,
    pub head_size: usize,
    /// True if the graph stores keys and values as float16.
    pub is_half: bool,
}

impl CacheShape {
    /// Returns the bytes of the keys and values of `rows` sequences with room for `capacity` positions.
    pub(crate) fn bytes(&self, rows: usize, capacity: usize) -> u64 {
        let sizes = [self.layers, rows, self.heads, capacity, self.head_size];
        let width = if self.is_half { size_of::<f16>() } else { size_of::<f32>() };
        sizes.iter().fold(2 * width as u64, |bytes, size| bytes.saturating_mul(*size as u64))
    }
}

/// The keys and values of `rows` sequences, each buffer of shape [rows, heads, capacity, head size].
pub(crate) struct KeyValueCache {
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
    pub(crate) fn new(shape: CacheShape, rows: usize, capacity: usize) -> Result<Self> {
        let buffers = if shape.is_half {
            allocate(shape, rows, capacity).map(Buffers::Half)
        } else {
            allocate(shape, rows, capacity).map(Buffers::Float)
        };
        let buffers = buffers.map_err(|e| {
            let megabytes = shape.bytes(rows, capacity) / 1_000_000;
            let what = format!("no memory for a cache of {capacity} positions ({megabytes} MB)");
            Error::new(ErrorKind::Limit, format!("{what}: {}", e.message()))
        })?;
        Ok(Self { shape, rows, capacity, buffers })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Binds `rows` of every buffer both as the past and as the present of its layer, in the same memory.
    ///
    /// # Safety
    /// `binding` must not be run after the cache is dropped.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn bind(&mut self, binding: &mut IoBinding, rows: &Range<usize>) -> ort::Result<()> {
        // SAFETY: the caller does not run `binding` after the cache is dropped; the buffers are private, and no method
        // borrows them during a run.
        unsafe {
            match &mut self.buffers {
                Buffers::Float(buffers) => bind_all(buffers, binding, rows),
                Buffers::Half(buffers) => bind_all(buffers, binding, rows),
            }
        }
    }

    /// Runs `graph` once on `binding`, to which the cache is bound.
    #[allow(unsafe_code)]
    pub(crate) fn run_once(&mut self, graph: &Graph, mut binding: IoBinding) -> Result<()> {
        let rows = 0..self.rows;
        // SAFETY: the binding is dropped at the end of this call, before the cache.
        unsafe { self.bind(&mut binding, &rows) }.map_err(|e| graph.failed(&e))?;
        graph.run_bound(&binding)
    }

    /// Copies the first `len` positions of `row` of `other`, which may have another capacity, into the same row.
    pub(crate) fn copy_row_of(&mut self, other: &Self, row: usize, len: usize) {
        let sizes = (self.shape, self.capacity, other.capacity);
        match (&mut self.buffers, &other.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => copy_row_of(to, from, sizes, row, len),
            (Buffers::Half(to), Buffers::Half(from)) => copy_row_of(to, from, sizes, row, len),
            #[expect(clippy::unreachable, reason = "the caches of one graph have one element type")]
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        }
    }

    /// Copies the first `len` positions of row `from` into row `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize, len: usize) {
        let sizes = (self.shape, self.capacity);
        match &mut self.buffers {
            Buffers::Float(buffers) => copy_rows(buffers, sizes, from, to, len),
            Buffers::Half(buffers) => copy_rows(buffers, sizes, from, to, len),
        }
    }

    /// Swaps the first `len` positions of two rows.
    pub(crate) fn swap_rows(&mut self, one: usize, other: usize, len: usize) {
        let sizes = (self.shape, self.capacity);
        let low = one.min(other);
        let high = one.max(other);
        match &mut self.buffers {
            Buffers::Float(buffers) => swap_rows(buffers, sizes, low, high, len),
            Buffers::Half(buffers) => swap_rows(buffers, sizes, low, high, len),
        }
    }

    /// Fills the first `len` positions of `row` with the one position of `one`, a cache of one row and one position.
    /// `place_key` moves a key, given as it is at position 0, to another position; values are the same everywhere.
    pub(crate) fn repeat(&mut self, row: usize, one: &Self, len: usize, place_key: impl Fn(usize, &mut [f32])) {
        let sizes = (self.shape, self.capacity);
        match (&mut self.buffers, &one.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => repeat(to, from, sizes, row, len, place_key),
            (Buffers::Half(to), Buffers::Half(from)) => repeat(to, from, sizes, row, len, place_key),
            #[expect(clippy::unreachable, reason = "the caches of one graph have one element type")]
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        }
    }
}

fn allocate<T: Element>(shape: CacheShape, rows: usize, capacity: usize) -> ort::Result<Vec<Tensor<T>>> {
    let shape_of_one = [rows, shape.heads, capacity, shape.head_size];
    (0..2 * shape.layers).map(|_| Tensor::<T>::new(&Allocator::default(), shape_of_one)).collect()
}

/// Binds `rows` of all `buffers`.
///
/// # Safety
/// As for [`KeyValueCache::bind`].
#[allow(unsafe_code)]
unsafe fn bind_all<T: Element>(
    buffers: &mut [Tensor<T>],
    binding: &mut IoBinding,
    rows: &Range<usize>,
) -> ort::Result<()> {
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let layer = index / 2;
        let part = if index % 2 == 0 { "key" } else { "value" };
        let names = [format!("past_key_values.{layer}.{part}"), format!("present.{layer}.{part}")];
        // SAFETY: the caller does not run `binding` after the buffers are dropped.
        unsafe { bind_rows(binding, [&names[0], &names[1]], buffer, rows)? };
    }
    Ok(())
}

/// Copies `len` positions of `row`; the tuple has the shape and the capacities of both caches.
fn copy_row_of<T: Element>(
    to: &mut [Tensor<T>],
    from: &[Tensor<T>],
    (shape, capacity, other): (CacheShape, usize, usize),
    row: usize,
    len: usize,
) {
    let size = shape.head_size;
    for (to, from) in to.iter_mut().zip(from) {
        let to = to.extract_tensor_mut().1;
        let from = from.extract_tensor().1;
        let heads = to.chunks_exact_mut(capacity * size).zip(from.chunks_exact(other * size));
        heads
            .skip(row * shape.heads)
            .take(shape.heads)
            .for_each(|(to, from)| to[..len * size].copy_from_slice(&from[..len * size]));
    }
}

/// Copies `len` positions of row `from` to row `to`; the tuple has the shape and the capacity.
fn copy_rows<T: Element>(
    buffers: &mut [Tensor<T>],
    (shape, capacity): (CacheShape, usize),
    from: usize,
    to: usize,
    len: usize,
) {
    let of_head = capacity * shape.head_size;
    for buffer in buffers {
        let buffer = buffer.extract_tensor_mut().1;
        for head in 0..shape.heads {
            let [from, to] = [from, to].map(|row| (row * shape.heads + head) * of_head);
            buffer.copy_within(from..from + len * shape.head_size, to);
        }
    }
}

/// Swaps `len` positions of the rows `low` and `high`; the tuple has the shape and the capacity.
fn swap_rows<T: Element>(
    buffers: &mut [Tensor<T>],
    (shape, capacity): (CacheShape, usize),
    low: usize,
    high: usize,
    len: usize,
) {
    let of_head = capacity * shape.head_size;
    let of_row = shape.heads * capacity * shape.head_size;
    for buffer in buffers.iter_mut().filter(|_| low != high) {
        let (before, from_high) = buffer.extract_tensor_mut().1.split_at_mut(high * of_row);
        let low = before[low * of_row..].chunks_exact_mut(of_head);
        let heads = low.zip(from_high.chunks_exact_mut(of_head)).take(shape.heads);
        heads.for_each(|(a, b)| a[..len * shape.head_size].swap_with_slice(&mut b[..len * shape.head_size]));
    }
}

/// Fills `len` positions of `row` with the one position of `from`; the tuple has the shape and the capacity of `to`.
fn repeat<T: Element>(
    to: &mut [Tensor<T>],
    from: &[Tensor<T>],
    (shape, capacity): (CacheShape, usize),
    row: usize,
    len: usize,
    place_key: impl Fn(usize, &mut [f32]),
) {
    let size = shape.head_size;
    let mut key = vec![0.0; size];
    for (index, (to, from)) in to.iter_mut().zip(from).enumerate() {
        let heads = to.extract_tensor_mut().1.chunks_exact_mut(capacity * size).skip(row * shape.heads);
        for (head, one) in heads.zip(from.extract_tensor().1.chunks_exact(size)) {
            for (position, slot) in head[..len * size].chunks_exact_mut(size).enumerate() {
                let is_key = index % 2 == 0;
                if is_key {
                    key.iter_mut().zip(one).for_each(|(number, at_zero)| *number = at_zero.to_float());
                    place_key(position, &mut key);
                    slot.iter_mut().zip(&key).for_each(|(number, placed)| *number = T::from_float(*placed));
                } else {
                    slot.copy_from_slice(one);
                }
            }
        }
    }
}
