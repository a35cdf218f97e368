//! A run of several rows and positions on graphs with fixed shapes, which take one row, and one position or a few, at a
//! time.

use std::ops::Range;

use super::body::{Body, BoundRows};
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
}

/// The runs of a row.
struct Row {
    one: Piece,
    /// Several positions of a prompt.
    several: Option<Piece>,
}

impl Pieces {
    /// Binds runs that together append `positions` to each of the `rows` of `cache`.
    ///
    /// # Safety
    /// They must not be run after `cache` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(
        body: &Body,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        positions: usize,
    ) -> Result<Self> {
        let prompt = body.prompt.as_ref().filter(|_| positions > 1);
        let mut bind = |row: usize| {
            // SAFETY: the caller does not run this after `cache` is dropped.
            unsafe {
                let several = prompt.map(|graph| Piece::bind(graph, body.hidden, cache, row)).transpose()?;
                Ok(Row { one: Piece::bind(&body.graph, body.hidden, cache, row)?, several })
            }
        };
        let rows = rows.map(&mut bind).collect::<Result<_>>()?;
        Ok(Self { rows, positions, capacity: cache.capacity() })
    }

    /// Runs `embeds`, shape [rows, positions, hidden], and writes `hidden`, of the same shape; the rows have `lens`
    /// positions afterwards.
    ///
    /// Several positions at once are filled up with zeros behind the last. What comes behind it is not attended to, for attention is causal,
    /// and the next run overwrites what is written to the cache there.
    pub(super) fn run(&mut self, body: &Body, embeds: &[f32], hidden: &mut [f32], lens: &[usize]) -> Result<()> {
        let of_row = self.positions * body.hidden;
        let numbers = embeds.chunks_exact(of_row).zip(hidden.chunks_exact_mut(of_row));
        for ((row, len), (mut embeds, mut hidden)) in self.rows.iter_mut().zip(lens).zip(numbers) {
            while !embeds.is_empty() {
                let left = embeds.len() / body.hidden;
                let start = len.saturating_sub(left);
                let fits = |piece: &&mut Piece| left > 1 && start + piece.positions <= self.capacity;
                let (piece, graph) = match (row.several.as_mut().filter(fits), &body.prompt) {
                    (Some(several), Some(graph)) => (several, graph),
                    _ => (&mut row.one, &body.graph),
                };
                let size = left.min(piece.positions) * body.hidden;
                let (these, others) = embeds.split_at(size);
                let (found, rest) = hidden.split_at_mut(size);
                piece.run(graph, start, these, found)?;
                (embeds, hidden) = (others, rest);
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
    /// It must not be run after `cache` is dropped.
    #[allow(unsafe_code)]
    unsafe fn bind(graph: &Graph, hidden_size: usize, cache: &mut KeyValueCache, row: usize) -> Result<Self> {
        let positions = graph.fixed("positions").unwrap_or(1);
        let shape = [1, positions, hidden_size];
        let embeds = graph.buffer("inputs_embeds", &shape)?;
        let mut hidden = graph.output("hidden_states", &shape)?;
        // SAFETY: the tensors lie beside the binding, and the caller does not run it after `cache` is dropped.
        let bound = unsafe { BoundRows::new(graph, cache, row..row + 1, &embeds, &mut hidden)? };
        Ok(Self { positions, embeds, hidden, bound })
    }

    /// Runs `embeds`, at most as many positions as fit, after the first `start` positions of the row, and writes their
    /// hidden states to `found`.
    fn run(&mut self, graph: &Graph, start: usize, embeds: &[f32], found: &mut [f32]) -> Result<()> {
        let numbers = self.embeds.numbers_mut();
        let padded = embeds.iter().copied().chain(std::iter::repeat(0.0));
        numbers.iter_mut().zip(padded).for_each(|(number, embed)| *number = embed);
        self.embeds.upload().map_err(|e| graph.failed(&e))?;
        self.bound.run(graph, &mut self.hidden, &[start + self.positions])?;
        found.iter_mut().zip(self.hidden.numbers()).for_each(|(number, state)| *number = *state);
        Ok(())
    }
}
