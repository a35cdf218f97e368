//! The key/value cache of attention: one buffer a layer for keys and one for values, allocated once and written in place
//! by the graph that it is bound to. The language model has one, and a causal decoder of a codec.

#![expect(clippy::indexing_slicing, reason = "rows and positions are within the buffers, which are allocated here")]

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use ort::memory::Allocator;
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Binding, DeviceTensor, Graph, Mover, Moves, bind_rows, explain};

/// The parts of the cache of a layer, as ports name them.
const PARTS: [&str; 2] = ["key", "value"];

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

    /// Returns where the first `len` positions of each head of `row` lie in a buffer with room for `capacity` positions,
    /// counted in positions of a head.
    fn places(&self, capacity: usize, row: usize, len: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let heads = row * self.heads..(row + 1) * self.heads;
        heads.flat_map(move |head| head * capacity..head * capacity + len)
    }
}

/// The keys and values of `rows` sequences, each buffer of shape [rows, heads, capacity, head size].
pub(crate) struct KeyValueCache {
    shape: CacheShape,
    capacity: usize,
    buffers: Buffers,
    /// The number of first positions of each row that are sure: all, unless a move into the row has failed.
    sure: Vec<usize>,
    /// The cache in words, for errors: its graph and provider.
    name: String,
}

/// The number of sure positions of a row into which no move has failed.
const ALL: usize = usize::MAX;

/// The buffers, by their numbers.
enum Buffers {
    Float(Layers<f32>),
    Half(Layers<f16>),
}

/// Key and value of layer 0, key and value of layer 1, …, where the graph wants them.
enum Layers<T: Element> {
    Host(Vec<Tensor<T>>),
    Device(OnDevice<T>),
}

/// Buffers on a device.
struct OnDevice<T: Element> {
    buffers: Vec<DeviceTensor<T>>,
    /// Moves rows on the device; without it they are moved on the host.
    mover: Option<Arc<Mover>>,
}

/// A number in the cache.
trait Element: PrimitiveTensorElementType + Copy + PartialEq + std::fmt::Debug + 'static {
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
    /// Allocates a cache on the host.
    #[cfg(test)]
    pub(crate) fn on_host(shape: CacheShape, rows: usize, capacity: usize) -> Result<Self> {
        let dimensions = [rows, shape.heads, capacity, shape.head_size];
        let layers = (0..2 * shape.layers).map(|_| Tensor::new(&Allocator::default(), dimensions));
        let layers = layers.collect::<ort::Result<_>>().map_err(|e| Error::new(ErrorKind::Limit, e.message()))?;
        let (buffers, name) = (Buffers::Float(Layers::Host(layers)), "the cache".to_owned());
        Ok(Self { shape, capacity, buffers, sure: vec![ALL; rows], name })
    }

    /// Allocates a cache where `graph` wants it.
    pub(crate) fn new(shape: CacheShape, rows: usize, capacity: usize, graph: &Graph) -> Result<Self> {
        let name = graph.name_on_provider();
        let buffers = if shape.is_half {
            Layers::new(shape, rows, capacity, graph).map(Buffers::Half)
        } else {
            Layers::new(shape, rows, capacity, graph).map(Buffers::Float)
        };
        let buffers = buffers.map_err(|e| {
            let megabytes = shape.bytes(rows, capacity) / 1_000_000;
            let what = format!("a cache of {rows} × {capacity} positions ({megabytes} MB) cannot be allocated");
            explain(&format!("{what} for {name}"), ErrorKind::Limit, &e)
        })?;
        Ok(Self { shape, capacity, buffers, sure: vec![ALL; rows], name })
    }

    pub(crate) fn rows(&self) -> usize {
        self.sure.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns whether any rows can be bound. On a device a binding begins at the first row.
    pub(crate) fn binds_any_rows(&self) -> bool {
        matches!(self.buffers, Buffers::Float(Layers::Host(_)) | Buffers::Half(Layers::Host(_)))
    }

    /// Binds `rows` of every buffer both as the past and as the present of its layer, in the same memory.
    ///
    /// # Safety
    /// `binding` must not be run after the cache is dropped.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn bind(&mut self, binding: &mut Binding, rows: &Range<usize>) -> ort::Result<()> {
        // SAFETY: the caller does not run `binding` after the cache is dropped; the buffers are private, and no method
        // borrows them during a run.
        unsafe {
            match &mut self.buffers {
                Buffers::Float(layers) => layers.bind(binding, rows),
                Buffers::Half(layers) => layers.bind(binding, rows),
            }
        }
    }

    /// Runs `graph` once on `binding`, to which the cache is bound.
    #[allow(unsafe_code)]
    pub(crate) fn run_once(&mut self, graph: &Graph, mut binding: Binding) -> Result<()> {
        let rows = 0..self.rows();
        // SAFETY: the binding is dropped at the end of this call, before the cache.
        unsafe { self.bind(&mut binding, &rows) }.map_err(|e| graph.failed(&e))?;
        graph.run_bound(&mut binding)
    }

    /// Checks that the first `len` positions of `row` are sure.
    ///
    /// # Errors
    /// A move into the row has failed, and the row was not written anew since.
    pub(crate) fn check(&self, row: usize, len: usize) -> Result<()> {
        let sure = self.sure[row];
        if len > sure {
            let what = format!("keys and values of {} are lost: a move of them failed before", self.name);
            let way = format!("begin anew ({sure} of {len} positions are left)");
            return Err(Error::new(ErrorKind::Graph, format!("{what}; {way}")));
        }
        Ok(())
    }

    /// Records that a run, or a move, has written the positions of `row` up to `len`; those before were sure.
    pub(crate) fn written(&mut self, row: usize, len: usize) {
        self.sure[row] = self.sure[row].max(len);
    }

    /// Records that nothing in `row` is sure.
    pub(crate) fn lose(&mut self, row: usize) {
        self.sure[row] = 0;
    }

    /// Copies the first `len` positions of row `from` of `other`, which may have another capacity, into row `to`.
    pub(crate) fn copy_row_of(&mut self, other: &Self, from: usize, to: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        other.check(from, len)?;
        let sizes = (self.shape, self.capacity, other.capacity);
        let copied = match (&mut self.buffers, &other.buffers) {
            (Buffers::Float(this), Buffers::Float(other)) => this.copy_row_of(other, sizes, from, to, len),
            (Buffers::Half(this), Buffers::Half(other)) => this.copy_row_of(other, sizes, from, to, len),
            #[expect(clippy::unreachable, reason = "the caches of one graph have one element type")]
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        };
        self.filled(to, len, copied)
    }

    /// Copies the first `len` positions of row `from` into row `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.check(from, len)?;
        let sizes = (self.shape, self.capacity);
        let copied = match &mut self.buffers {
            Buffers::Float(layers) => layers.copy_rows(sizes, from, to, len),
            Buffers::Half(layers) => layers.copy_rows(sizes, from, to, len),
        };
        self.filled(to, len, copied)
    }

    /// Swaps the first `len` positions of two rows.
    pub(crate) fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        let sizes = (self.shape, self.capacity);
        let low = one.min(other);
        let high = one.max(other);
        let swapped = match &mut self.buffers {
            _ if len == 0 || low == high => Ok(()),
            Buffers::Float(layers) => layers.swap_rows(sizes, low, high, len),
            Buffers::Half(layers) => layers.swap_rows(sizes, low, high, len),
        };
        self.sure.swap(low, high);
        swapped.map_err(|e| {
            [low, high].into_iter().for_each(|row| self.lose(row));
            self.not_moved(&e)
        })
    }

    /// Fills the first `len` positions of `row` with the one position of `one`, a cache of one row and one position.
    /// `place_key` moves a key, given as it is at position 0, to another position; values are the same everywhere.
    pub(crate) fn repeat(
        &mut self,
        row: usize,
        one: &Self,
        len: usize,
        place_key: impl Fn(usize, &mut [f32]),
    ) -> Result<()> {
        let sizes = (self.shape, self.capacity);
        let filled = match (&mut self.buffers, &one.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => to.repeat(from, sizes, row, len, &place_key),
            (Buffers::Half(to), Buffers::Half(from)) => to.repeat(from, sizes, row, len, &place_key),
            #[expect(clippy::unreachable, reason = "the caches of one graph have one element type")]
            _ => unreachable!("the caches of one graph hold numbers of one type"),
        };
        self.filled(row, len, filled)
    }

    /// Records that the first `len` positions of `row` were written, or, with an error, that the row is lost.
    fn filled(&mut self, row: usize, len: usize, filled: ort::Result<()>) -> Result<()> {
        match filled {
            Ok(()) => {
                self.written(row, len);
                Ok(())
            }
            Err(e) => {
                self.lose(row);
                Err(self.not_moved(&e))
            }
        }
    }

    /// Returns the error of a copy to, from or within a device.
    fn not_moved(&self, error: &ort::Error) -> Error {
        explain(&format!("keys and values of {} cannot be moved", self.name), ErrorKind::Graph, error)
    }
}

impl Moves {
    /// Returns the moves that copy `len` positions from a row to a row, each given with its cache's capacity before it.
    fn copy(shape: CacheShape, from: (usize, usize), to: (usize, usize), len: usize) -> Self {
        let [from, to] = [from, to].map(|(capacity, row)| shape.places(capacity, row, len));
        Self::new(from, to)
    }

    /// Returns the moves that swap `len` positions of two rows.
    fn swap(shape: CacheShape, capacity: usize, rows: [usize; 2], len: usize) -> Self {
        let [one, other] = rows.map(|row| shape.places(capacity, row, len));
        Self::new(one.clone().chain(other.clone()), other.chain(one))
    }
}

impl<T: Element> Layers<T> {
    fn new(shape: CacheShape, rows: usize, capacity: usize, graph: &Graph) -> ort::Result<Self> {
        let dimensions = [rows, shape.heads, capacity, shape.head_size];
        let mut host = Vec::new();
        let mut device = Vec::new();
        for layer in 0..shape.layers {
            for part in PARTS {
                match graph.device_tensor(&format!("past_key_values.{layer}.{part}"), &dimensions)? {
                    None => host.push(Tensor::<T>::new(&Allocator::default(), dimensions)?),
                    Some(tensor) => device.push(tensor),
                }
            }
        }
        match (host.is_empty(), device.is_empty()) {
            (false, false) => {
                Err(ort::Error::new("a part of the cache is wanted on the host, and another on a device"))
            }
            (_, true) => Ok(Self::Host(host)),
            _ => {
                let mover = reaching(graph, &device, shape.head_size)?;
                Ok(Self::Device(OnDevice { buffers: device, mover }))
            }
        }
    }

    /// Binds `rows` of all buffers.
    ///
    /// # Safety
    /// As for [`KeyValueCache::bind`].
    #[allow(unsafe_code)]
    unsafe fn bind(&mut self, binding: &mut Binding, rows: &Range<usize>) -> ort::Result<()> {
        let names = |index: usize| {
            let (layer, part) = (index / 2, PARTS[index % 2]);
            [format!("past_key_values.{layer}.{part}"), format!("present.{layer}.{part}")]
        };
        match self {
            Self::Host(buffers) => buffers.iter_mut().enumerate().try_for_each(|(index, buffer)| {
                let [past, present] = names(index);
                // SAFETY: the caller does not run `binding` after the buffers are dropped.
                unsafe { bind_rows(binding, [&past, &present], buffer, rows) }
            }),
            Self::Device(_) if rows.start > 0 => Err(ort::Error::new("a binding on a device begins at the first row")),
            Self::Device(device) => device.buffers.iter().enumerate().try_for_each(|(index, buffer)| {
                let [past, present] = names(index);
                // SAFETY: the caller does not run `binding` after the buffers are dropped.
                unsafe { buffer.bind_first_rows(binding, [&past, &present], rows.end) }
            }),
        }
    }

    /// Returns the buffers on a device that can move rows, and what moves them.
    fn movable(&self) -> Option<(&[DeviceTensor<T>], &Mover)> {
        match self {
            Self::Device(OnDevice { buffers, mover: Some(mover) }) => Some((buffers, mover)),
            _ => None,
        }
    }

    /// See [`copy_row_of`].
    fn copy_row_of(
        &mut self,
        other: &Self,
        sizes: (CacheShape, usize, usize),
        of: usize,
        row: usize,
        len: usize,
    ) -> ort::Result<()> {
        if let (Some((buffers, mover)), Some((others, _))) = (self.movable(), other.movable()) {
            let (shape, capacity, of_other) = sizes;
            let moves = Moves::copy(shape, (of_other, of), (capacity, row), len);
            return mover.run(buffers, others, shape.head_size, &moves);
        }
        other.read(|other| self.edit(|this| copy_row_of(this, other, sizes, of, row, len)))
    }

    /// See [`copy_rows`].
    fn copy_rows(&mut self, sizes: (CacheShape, usize), from: usize, to: usize, len: usize) -> ort::Result<()> {
        if let Some((buffers, mover)) = self.movable() {
            let (shape, capacity) = sizes;
            let moves = Moves::copy(shape, (capacity, from), (capacity, to), len);
            return mover.run(buffers, buffers, shape.head_size, &moves);
        }
        self.edit(|layers| copy_rows(layers, sizes, from, to, len))
    }

    /// See [`swap_rows`].
    fn swap_rows(&mut self, sizes: (CacheShape, usize), low: usize, high: usize, len: usize) -> ort::Result<()> {
        if let Some((buffers, mover)) = self.movable() {
            let (shape, capacity) = sizes;
            let moves = Moves::swap(shape, capacity, [low, high], len);
            return mover.run(buffers, buffers, shape.head_size, &moves);
        }
        self.edit(|layers| swap_rows(layers, sizes, low, high, len))
    }

    /// See [`repeat`]. For a device the row is made on the host, and nothing but the row is copied there.
    fn repeat(
        &mut self,
        one: &Self,
        sizes: (CacheShape, usize),
        row: usize,
        len: usize,
        place_key: &impl Fn(usize, &mut [f32]),
    ) -> ort::Result<()> {
        let Some((buffers, mover)) = self.movable().filter(|_| len > 0) else {
            return one.read(|one| self.edit(|to| repeat(to, one, sizes, row, len, place_key)));
        };
        let (shape, capacity) = sizes;
        let dimensions = [1, shape.heads, len, shape.head_size];
        let new = |_| Tensor::new(&Allocator::default(), dimensions);
        let mut rows = (0..buffers.len()).map(new).collect::<ort::Result<Vec<_>>>()?;
        one.read(|one| {
            repeat(&mut rows, one, (shape, len), 0, len, place_key);
            Ok(())
        })?;
        let moves = Moves::copy(shape, (len, 0), (capacity, row), len);
        let staged = [mover.tensor(&dimensions)?];
        buffers.chunks(1).zip(&rows).try_for_each(|(buffer, row)| {
            staged[0].upload(row)?;
            mover.run(buffer, &staged, shape.head_size, &moves)
        })
    }

    /// Gives `read` the buffers on the host, where a device's are copied.
    fn read<R>(&self, read: impl FnOnce(&[Tensor<T>]) -> ort::Result<R>) -> ort::Result<R> {
        match self {
            Self::Host(buffers) => read(buffers),
            Self::Device(device) => {
                let copies = device.buffers.iter().map(DeviceTensor::download).collect::<ort::Result<Vec<_>>>()?;
                read(&copies)
            }
        }
    }

    /// Gives `change` the buffers on the host; a device's are copied there and back.
    fn edit(&mut self, change: impl FnOnce(&mut [Tensor<T>])) -> ort::Result<()> {
        match self {
            Self::Host(buffers) => {
                change(buffers);
                Ok(())
            }
            Self::Device(OnDevice { buffers, .. }) => {
                let mut copies = buffers.iter().map(DeviceTensor::download).collect::<ort::Result<Vec<_>>>()?;
                change(&mut copies);
                buffers.iter().zip(&copies).try_for_each(|(buffer, copy)| buffer.upload(copy))
            }
        }
    }
}

/// Returns what moves rows in `buffers`, of one size, on their device; `None` if nothing does.
///
/// # Errors
/// The device does not reach all rows.
fn reaching<T: Element>(graph: &Graph, buffers: &[DeviceTensor<T>], size: usize) -> ort::Result<Option<Arc<Mover>>> {
    let (Some(mover), Some(buffer)) = (graph.mover(), buffers.first()) else { return Ok(None) };
    if !mover.reaches(buffer, size, [T::from_float(1.0), T::from_float(2.0)])? {
        let what = "the device does not reach all of a buffer this large";
        return Err(ort::Error::new(format!("{what}: take fewer slots or a smaller context, or another provider")));
    }
    Ok(Some(mover))
}

/// Copies `len` positions of row `of` to row `row`; the tuple has the shape and the capacities of both caches.
fn copy_row_of<T: Element>(
    to: &mut [Tensor<T>],
    from: &[Tensor<T>],
    (shape, capacity, other): (CacheShape, usize, usize),
    of: usize,
    row: usize,
    len: usize,
) {
    let size = shape.head_size;
    for (to, from) in to.iter_mut().zip(from) {
        let to = to.extract_tensor_mut().1.chunks_exact_mut(capacity * size).skip(row * shape.heads);
        let from = from.extract_tensor().1.chunks_exact(other * size).skip(of * shape.heads);
        to.zip(from).take(shape.heads).for_each(|(to, from)| to[..len * size].copy_from_slice(&from[..len * size]));
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
    place_key: &impl Fn(usize, &mut [f32]),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 1, heads: 3, head_size: 2, is_half: false };
    const CAPACITY: usize = 5;

    /// Returns `rows` rows of numbers from `first` up.
    fn layer(rows: usize, capacity: usize, first: usize) -> Tensor<f32> {
        let dimensions = [rows, SHAPE.heads, capacity, SHAPE.head_size];
        let len: usize = dimensions.iter().product();
        Tensor::from_array((dimensions, (first..first + len).map(|n| n as f32).collect::<Vec<_>>())).unwrap()
    }

    /// Does what the graph of a device does.
    fn moved(to: &Tensor<f32>, from: &Tensor<f32>, moves: &Moves) -> Vec<f32> {
        let from = from.extract_tensor().1;
        let mut to = to.extract_tensor().1.to_vec();
        let size = SHAPE.head_size;
        moves.pairs().for_each(|(of, at)| {
            to[at * size..(at + 1) * size].copy_from_slice(&from[of * size..(of + 1) * size]);
        });
        to
    }

    /// A lost row is refused until its positions are written anew, wherever it is exchanged to.
    #[test]
    fn a_lost_row_is_of_no_use_until_it_is_written_anew() {
        let mut cache = KeyValueCache::on_host(SHAPE, 3, CAPACITY).unwrap();
        assert!((0..3).all(|row| cache.check(row, CAPACITY).is_ok()));
        cache.lose(1);
        assert!(cache.check(1, 0).is_ok() && cache.check(0, 4).is_ok());
        let error = cache.check(1, 4).unwrap_err();
        assert!(error.message().contains("are lost") && error.message().contains("begin anew"), "{error}");
        assert!(cache.copy_row(1, 2, 4).is_err() && cache.check(2, 4).is_ok(), "nothing is copied from it");
        cache.swap_rows(1, 2, 4).unwrap();
        assert!(cache.check(1, 4).is_ok() && cache.check(2, 1).is_err());
        cache.copy_row(0, 2, 3).unwrap();
        assert!(cache.check(2, 3).is_ok() && cache.check(2, 4).is_err(), "what was copied is sure");
        cache.written(2, 4);
        assert!(cache.check(2, 4).is_ok());
    }

    /// The moves on a device are those on the host.
    #[test]
    fn a_device_moves_what_the_host_moves() {
        for len in 0..=CAPACITY {
            let mut host = [layer(4, CAPACITY, 0)];
            let moves = Moves::copy(SHAPE, (CAPACITY, 2), (CAPACITY, 1), len);
            let expected = moved(&host[0], &host[0], &moves);
            copy_rows(&mut host, (SHAPE, CAPACITY), 2, 1, len);
            assert_eq!(host[0].extract_tensor().1, expected, "{len} positions copied");

            let mut host = [layer(4, CAPACITY, 0)];
            let expected = moved(&host[0], &host[0], &Moves::swap(SHAPE, CAPACITY, [1, 3], len));
            swap_rows(&mut host, (SHAPE, CAPACITY), 1, 3, len);
            assert_eq!(host[0].extract_tensor().1, expected, "{len} positions swapped");

            let mut larger = [layer(4, CAPACITY + 3, 0)];
            let other = [layer(2, CAPACITY, 1000)];
            let moves = Moves::copy(SHAPE, (CAPACITY, 1), (CAPACITY + 3, 3), len);
            let expected = moved(&larger[0], &other[0], &moves);
            copy_row_of(&mut larger, &other, (SHAPE, CAPACITY + 3, CAPACITY), 1, 3, len);
            assert_eq!(larger[0].extract_tensor().1, expected, "{len} positions copied from another cache");
        }
    }
}
