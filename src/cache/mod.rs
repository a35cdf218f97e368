//! The key/value cache of attention: one buffer per layer for keys and one for values, allocated once and written in place by
//! the graph that it is bound to. The language model has one, and a causal decoder of a codec.

#![expect(clippy::indexing_slicing, reason = "rows and positions are within the buffers, which are allocated here")]

mod host;
mod layers;
mod shape;

use std::ops::Range;

use half::f16;

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Binding, Graph, explain};
use layers::Layers;
pub(crate) use shape::CacheShape;
use shape::Row;

/// The keys and values of `rows` sequences, each buffer of shape [rows, heads, capacity, head size].
pub(crate) struct KeyValueCache {
    shape: CacheShape,
    capacity: usize,
    buffers: Buffers,
    /// The number of valid first positions of each row: [`ALL`], unless a move into the row has failed.
    valid: Vec<usize>,
    /// The graph and provider of the cache in words, for errors.
    name: String,
}

/// The number of valid positions of a row into which no move has failed.
const ALL: usize = usize::MAX;

/// The buffers, by the type of their elements.
enum Buffers {
    Float(Layers<f32>),
    Half(Layers<f16>),
}

impl KeyValueCache {
    /// Allocates a cache on the host.
    #[cfg(test)]
    pub(crate) fn on_host(shape: CacheShape, rows: usize, capacity: usize) -> Result<Self> {
        let new = |_| ort::value::Tensor::new(&ort::memory::Allocator::default(), shape.dimensions(rows, capacity));
        let layers = (0..2 * shape.layers).map(new).collect::<ort::Result<_>>();
        let layers = layers.map_err(|e| Error::new(ErrorKind::Limit, e.message()))?;
        let buffers = Buffers::Float(Layers::Host(layers));
        Ok(Self { shape, capacity, buffers, valid: vec![ALL; rows], name: "the cache".to_owned() })
    }

    /// Allocates a cache in the memory where `graph` wants it.
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
        Ok(Self { shape, capacity, buffers, valid: vec![ALL; rows], name })
    }

    /// Returns the row at `index`.
    fn row(&self, index: usize) -> Row {
        Row { shape: self.shape, capacity: self.capacity, index }
    }

    pub(crate) fn rows(&self) -> usize {
        self.valid.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns whether any range of rows can be bound. On a device a binding begins at the first row.
    pub(crate) fn binds_any_rows(&self) -> bool {
        matches!(self.buffers, Buffers::Float(Layers::Host(_)) | Buffers::Half(Layers::Host(_)))
    }

    /// Binds `rows` of every buffer both as the past and as the present of its layer, in place.
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

    /// Binds the cache to `binding`, and runs `graph` on it once.
    #[allow(unsafe_code)]
    pub(crate) fn run_once(&mut self, graph: &Graph, mut binding: Binding) -> Result<()> {
        let rows = 0..self.rows();
        // SAFETY: the binding is dropped at the end of this call, before the cache.
        unsafe { self.bind(&mut binding, &rows) }.map_err(|e| graph.failed(&e))?;
        graph.run_bound(&mut binding)
    }

    /// Checks that the first `len` positions of `row` are valid.
    ///
    /// # Errors
    /// A move into the row has failed, and the row was not written again since.
    pub(crate) fn check(&self, row: usize, len: usize) -> Result<()> {
        let valid = self.valid[row];
        if len > valid {
            let what = format!("keys and values of {} are lost: a move of them failed before", self.name);
            let way = format!("begin anew ({valid} of {len} positions are left)");
            return Err(Error::new(ErrorKind::Graph, format!("{what}; {way}")));
        }
        Ok(())
    }

    /// Records that a run, or a move, has written the positions of `row` up to `len`; the positions before were valid.
    pub(crate) fn mark_written(&mut self, row: usize, len: usize) {
        self.valid[row] = self.valid[row].max(len);
    }

    /// Records that no position of `row` is valid.
    pub(crate) fn invalidate(&mut self, row: usize) {
        self.valid[row] = 0;
    }

    /// Copies the first `len` positions of row `from` of `other`, which may have another capacity, into row `to`.
    pub(crate) fn copy_row_of(&mut self, other: &Self, from: usize, to: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        other.check(from, len)?;
        let source = other.row(from);
        let target = self.row(to);
        let copied = match (&mut self.buffers, &other.buffers) {
            (Buffers::Float(this), Buffers::Float(other)) => this.copy_from(other, source, target, len),
            (Buffers::Half(this), Buffers::Half(other)) => this.copy_from(other, source, target, len),
            _ => Err(other_elements()),
        };
        self.filled(to, len, copied)
    }

    /// Copies the first `len` positions of row `from` into row `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.check(from, len)?;
        let source = self.row(from);
        let target = self.row(to);
        let copied = match &mut self.buffers {
            Buffers::Float(layers) => layers.copy_row(source, target, len),
            Buffers::Half(layers) => layers.copy_row(source, target, len),
        };
        self.filled(to, len, copied)
    }

    /// Swaps the first `len` positions of two rows.
    pub(crate) fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        let low = one.min(other);
        let high = one.max(other);
        let low_row = self.row(low);
        let high_row = self.row(high);
        let swapped = match &mut self.buffers {
            _ if len == 0 || low == high => Ok(()),
            Buffers::Float(layers) => layers.swap_rows(low_row, high_row, len),
            Buffers::Half(layers) => layers.swap_rows(low_row, high_row, len),
        };
        self.valid.swap(low, high);
        swapped.map_err(|e| {
            self.invalidate(low);
            self.invalidate(high);
            self.not_moved(&e)
        })
    }

    /// Fills the first `len` positions of `row` with the one position of `one`, a cache of one row and one position.
    /// `place_key` moves a key from position 0 to another position; values are the same at all positions.
    pub(crate) fn repeat(
        &mut self,
        row: usize,
        one: &Self,
        len: usize,
        place_key: impl Fn(usize, &mut [f32]),
    ) -> Result<()> {
        let target = self.row(row);
        let filled = match (&mut self.buffers, &one.buffers) {
            (Buffers::Float(to), Buffers::Float(from)) => to.repeat(from, target, len, &place_key),
            (Buffers::Half(to), Buffers::Half(from)) => to.repeat(from, target, len, &place_key),
            _ => Err(other_elements()),
        };
        self.filled(row, len, filled)
    }

    /// Records the outcome of filling the first `len` positions of `row`: on an error no position of the row is valid.
    fn filled(&mut self, row: usize, len: usize, filled: ort::Result<()>) -> Result<()> {
        match filled {
            Ok(()) => {
                self.mark_written(row, len);
                Ok(())
            }
            Err(e) => {
                self.invalidate(row);
                Err(self.not_moved(&e))
            }
        }
    }

    /// Returns the error of a failed copy or swap of rows.
    fn not_moved(&self, error: &ort::Error) -> Error {
        explain(&format!("keys and values of {} cannot be moved", self.name), ErrorKind::Graph, error)
    }
}

/// Returns the error that one cache is float16 and the other float32, which two caches of one graph never are.
fn other_elements() -> ort::Error {
    ort::Error::new("one cache is float16, and the other float32")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 1, heads: 3, head_size: 2, is_half: false };
    const CAPACITY: usize = 5;

    /// An invalid row is refused until its positions are written again, at whichever index it lies after swaps.
    #[test]
    fn an_invalid_row_is_refused_until_it_is_written_again() {
        let mut cache = KeyValueCache::on_host(SHAPE, 3, CAPACITY).unwrap();
        assert!((0..3).all(|row| cache.check(row, CAPACITY).is_ok()));
        cache.invalidate(1);
        assert!(cache.check(1, 0).is_ok() && cache.check(0, 4).is_ok());
        let error = cache.check(1, 4).unwrap_err();
        assert!(error.message().contains("are lost") && error.message().contains("begin anew"), "{error}");
        assert!(cache.copy_row(1, 2, 4).is_err() && cache.check(2, 4).is_ok(), "an invalid row is not copied");
        cache.swap_rows(1, 2, 4).unwrap();
        assert!(cache.check(1, 4).is_ok() && cache.check(2, 1).is_err());
        cache.copy_row(0, 2, 3).unwrap();
        assert!(cache.check(2, 3).is_ok() && cache.check(2, 4).is_err(), "copied positions are valid");
        cache.mark_written(2, 4);
        assert!(cache.check(2, 4).is_ok());
    }
}
