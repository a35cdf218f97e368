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

/// A row of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub shape: CacheShape,
    /// The positions that the row has room for.
    pub capacity: usize,
    pub index: usize,
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
}

impl Row {
    /// Returns the elements of one head.
    pub fn of_head(self) -> usize {
        self.capacity * self.shape.head_size
    }

    /// Returns the index of the row's first head among the heads of all rows.
    pub fn first_head(self) -> usize {
        self.index * self.shape.heads
    }

    /// Returns the indices of the first `len` positions of each head, in units of one position of one head.
    fn indices(self, len: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let heads = self.first_head()..self.first_head() + self.shape.heads;
        heads.flat_map(move |head| head * self.capacity..head * self.capacity + len)
    }

    /// Returns the moves that copy `len` positions to the row `to`.
    pub fn copy_moves(self, to: Self, len: usize) -> Moves {
        Moves::new(self.indices(len), to.indices(len))
    }

    /// Returns the moves that swap `len` positions with the row `other`.
    pub fn swap_moves(self, other: Self, len: usize) -> Moves {
        let one = self.indices(len);
        let other = other.indices(len);
        Moves::new(one.clone().chain(other.clone()), other.chain(one))
    }
}
