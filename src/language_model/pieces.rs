//! A run of several rows and positions on graphs with fixed shapes, which take one row at a time, with one position or a few.

use std::ops::Range;
use std::sync::Arc;

use super::bound::BoundRows;
use crate::cache::KeyValueCache;
use crate::error::Result;
use crate::runtime::{Buffer, Graph};

/// The runs of every row.
pub(super) struct Pieces {
    rows: Vec<Row>,
    /// Positions of a row.
    positions: usize,
    /// Positions that a row of the cache has room for.
    capacity: usize,
    hidden_size: usize,
}

/// The runs of a row.
struct Row {
    /// The run of one position.
    one: Piece,
    /// The run of several positions of a prompt.
    several: Option<Piece>,
}

impl Pieces {
    /// Binds runs that together append `positions` to each of the `rows` of `cache`: of `graph`, which takes one position, and
    /// of `prompt`, which takes several.
    ///
    /// # Safety
    /// The runs must not be used after `cache` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(
        graph: &Arc<Graph>,
        prompt: Option<&Arc<Graph>>,
        hidden_size: usize,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        positions: usize,
    ) -> Result<Self> {
        let mut bind = |row: usize| {
            // SAFETY: the caller does not use the runs after `cache` is dropped.
            unsafe {
                let several = prompt.map(|graph| Piece::bind(graph, hidden_size, cache, row)).transpose()?;
                Ok(Row { one: Piece::bind(graph, hidden_size, cache, row)?, several })
            }
        };
        let rows = rows.map(&mut bind).collect::<Result<_>>()?;
        Ok(Self { rows, positions, capacity: cache.capacity(), hidden_size })
    }

    /// Runs `embeds`, shape [rows, positions, hidden], and writes `hidden`, of the same shape; the rows have `lens` positions
    /// afterwards.
    ///
    /// A run of several positions is padded with zeros at its end. Causal attention of the positions before does not see the
    /// padding, and the next run overwrites it in the cache.
    pub(super) fn run(&mut self, embeds: &[f32], hidden: &mut [f32], lens: &[usize]) -> Result<()> {
        let size = self.hidden_size;
        let of_row = self.positions * size;
        let numbers = embeds.chunks_exact(of_row).zip(hidden.chunks_exact_mut(of_row));
        for ((row, len), (mut embeds, mut hidden)) in self.rows.iter_mut().zip(lens).zip(numbers) {
            while !embeds.is_empty() {
                let left = embeds.len() / size;
                let start = len.saturating_sub(left);
                let fits = |piece: &&mut Piece| left > 1 && start + piece.positions <= self.capacity;
                let piece = row.several.as_mut().filter(fits).unwrap_or(&mut row.one);
                let split = left.min(piece.positions) * size;
                let (these, embeds_left) = embeds.split_at(split);
                let (found, hidden_left) = hidden.split_at_mut(split);
                piece.run(start, these, found)?;
                embeds = embeds_left;
                hidden = hidden_left;
            }
        }
        Ok(())
    }
}

/// A bound run of some positions of one row.
struct Piece {
    positions: usize,
    embeds: Buffer<f32>,
    hidden: Buffer<f32>,
    bound: BoundRows,
}

impl Piece {
    /// Binds a run of `graph` in `row` of `cache`.
    ///
    /// # Safety
    /// The run must not be used after `cache` is dropped.
    #[allow(unsafe_code)]
    unsafe fn bind(graph: &Arc<Graph>, hidden_size: usize, cache: &mut KeyValueCache, row: usize) -> Result<Self> {
        let positions = graph.fixed("positions").unwrap_or(1);
        let shape = [1, positions, hidden_size];
        let embeds = graph.buffer("inputs_embeds", &shape)?;
        let mut hidden = graph.output("hidden_states", &shape)?;
        // SAFETY: the tensors are kept beside the binding, and the caller does not run it after `cache` is dropped.
        let bound = unsafe { BoundRows::new(graph, cache, row..row + 1, &embeds, &mut hidden)? };
        Ok(Self { positions, embeds, hidden, bound })
    }

    /// Runs `embeds`, at most as many positions as fit, after the first `start` positions of the row, and writes their hidden
    /// states to `found`.
    fn run(&mut self, start: usize, embeds: &[f32], found: &mut [f32]) -> Result<()> {
        let padded = embeds.iter().copied().chain(std::iter::repeat(0.0));
        for (number, embed) in self.embeds.numbers_mut().iter_mut().zip(padded) {
            *number = embed;
        }
        self.bound.upload(&self.embeds)?;
        self.bound.run(&mut self.hidden, &[start + self.positions])?;
        for (number, state) in found.iter_mut().zip(self.hidden.numbers()) {
            *number = *state;
        }
        Ok(())
    }
}
