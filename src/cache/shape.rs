//! The sizes of a cache, and the positions of its rows within a buffer.

use half::f16;

use crate::runtime::Moves;

/// The sizes of one row of the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheShape {
    pub layers: usize,
    pub heads: usize,
    pub head_size: usize,
    /// True if the graph stores keys and values as float16.
    pub is_half: bool,
}

/// A row of a cache with room for `capacity` positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowOf {
    pub capacity: usize,
    pub row: usize,
}

impl CacheShape {
    /// Returns the bytes of the keys and values of `rows` sequences with room for `capacity` positions.
    pub(crate) fn bytes(&self, rows: usize, capacity: usize) -> u64 {
        let sizes = [self.layers, rows, self.heads, capacity, self.head_size];
        let width = if self.is_half { size_of::<f16>() } else { size_of::<f32>() };
        sizes.iter().fold(2 * width as u64, |bytes, size| bytes.saturating_mul(*size as u64))
    }

    /// Returns the dimensions of a buffer: the keys or the values of one layer.
    pub(super) fn dimensions(&self, rows: usize, capacity: usize) -> [usize; 4] {
        [rows, self.heads, capacity, self.head_size]
    }

    /// Returns the indices of the first `len` positions of each head of a row, in units of one position of one head.
    fn indices(&self, RowOf { capacity, row }: RowOf, len: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let heads = row * self.heads..(row + 1) * self.heads;
        heads.flat_map(move |head| head * capacity..head * capacity + len)
    }

    /// Returns the moves that copy `len` positions from a row to a row.
    pub(super) fn copy_moves(&self, from: RowOf, to: RowOf, len: usize) -> Moves {
        Moves::new(self.indices(from, len), self.indices(to, len))
    }

    /// Returns the moves that swap `len` positions of two rows.
    pub(super) fn swap_moves(&self, one: RowOf, other: RowOf, len: usize) -> Moves {
        let one = self.indices(one, len);
        let other = self.indices(other, len);
        Moves::new(one.clone().chain(other.clone()), other.chain(one))
    }
}
