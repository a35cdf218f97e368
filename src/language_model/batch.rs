//! A batch of sequences: one cache with a row for each sequence, and the runs bound to the cache.

#![expect(clippy::indexing_slicing, reason = "rows and positions are within the buffers, which are allocated here")]

use std::sync::{Arc, PoisonError};

use super::body::BodyRun;
use super::embedding::EmbeddingRun;
use super::head::HeadRun;
use super::{HeadId, LanguageModel};
use crate::cache::KeyValueCache;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::check_finite;
use crate::token::TokenId;

/// Capacities of the caches of [`prefill_apart`](Batch::prefill_apart) are multiples of this, so that a device can reuse
/// their memory.
const APART_STEP: usize = 256;

/// A batch of sequences, each a row of one cache.
///
/// A step runs the first rows, one position in each; the numbers of a row do not depend on the other rows.
pub(crate) struct Batch {
    graphs: Arc<LanguageModel>,
    /// Runs of a step in the first row, in the first two rows, and so on, bound on first use.
    steps: Vec<Option<StepRun>>,
    /// Runs of each head, likewise.
    heads: Vec<Vec<Option<HeadRun>>>,
    /// The cache; declared after the runs, which are bound to its memory, so that they are dropped first.
    cache: KeyValueCache,
}

/// A run of one position in each row: the embedding writes into the body's input.
struct StepRun {
    embedding: EmbeddingRun,
    body: BodyRun,
}

impl Batch {
    /// Creates a batch of `rows` empty sequences with room for `capacity` positions each.
    pub(crate) fn new(graphs: Arc<LanguageModel>, rows: usize, capacity: usize) -> Result<Self> {
        let cache = graphs.body.cache(graphs.cache, rows, capacity)?;
        let heads = (0..graphs.heads()).map(|_| (0..rows).map(|_| None).collect()).collect();
        Ok(Self { graphs, steps: (0..rows).map(|_| None).collect(), heads, cache })
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.cache.rows()
    }

    /// Returns the maximum number of positions of a row.
    pub(crate) fn capacity(&self) -> usize {
        self.cache.capacity()
    }

    /// Returns the number of ids of a position.
    pub(crate) fn width(&self) -> usize {
        self.graphs.width
    }

    /// Returns the number of heads.
    pub(crate) fn heads(&self) -> usize {
        self.graphs.heads()
    }

    /// Returns the hidden size.
    pub(crate) fn hidden_size(&self) -> usize {
        self.graphs.hidden
    }

    /// Appends `embeds`, shape [positions, hidden], to `row`, which has `len` positions afterwards; they are a part of a prompt
    /// of `prompt` positions, or all of it. Writes the hidden state of the last position to `hidden`.
    #[allow(unsafe_code)]
    pub(crate) fn prefill(
        &mut self,
        row: usize,
        len: usize,
        prompt: usize,
        embeds: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        if row > 0 && !self.cache.binds_any_rows() {
            return self.prefill_apart(row, len, prompt, embeds, hidden);
        }
        let positions = embeds.len() / self.graphs.hidden;
        self.cache.check(row, len - positions)?;
        let max = self.graphs.body.max_positions_per_run();
        if positions > max {
            let (first, rest) = embeds.split_at(max * self.graphs.hidden);
            self.prefill(row, len - (positions - max), prompt, first, hidden)?;
            return self.prefill(row, len, prompt, rest, hidden);
        }
        let body = &self.graphs.body;
        let graph = self.graphs.of_prompt(prompt)?;
        // SAFETY: the cache outlives the run, which is dropped at the end of this call.
        let mut run = unsafe { body.bind(graph, &mut self.cache, row..row + 1, positions)? };
        run.embeds.numbers_mut().copy_from_slice(embeds);
        run.embeds.upload().map_err(|e| graph.failed(&e))?;
        run.run(&[len])?;
        let states = run.hidden.numbers();
        self.cache.mark_written(row, len);
        check_finite(graph.name(), "hidden state", states, self.graphs.hidden)?;
        hidden.clear();
        hidden.extend_from_slice(&states[states.len() - self.graphs.hidden..]);
        Ok(())
    }

    /// Does the same as [`prefill`](Self::prefill) in a cache of one row, with the contents of `row` copied there and back.
    fn prefill_apart(
        &mut self,
        row: usize,
        len: usize,
        prompt: usize,
        embeds: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        let capacity = len.next_multiple_of(APART_STEP).min(self.capacity());
        let mut apart = Self::new(Arc::clone(&self.graphs), 1, capacity)?;
        let before = len - embeds.len() / self.graphs.hidden;
        apart.cache.copy_row_of(&self.cache, row, 0, before)?;
        apart.prefill(0, len, prompt, embeds, hidden)?;
        self.cache.copy_row_of(&apart.cache, 0, row, len)
    }

    /// Appends one position to each of the first `lens.len()` rows, which have `lens` positions afterwards. `positions`
    /// are the ids for each row in order. [`hidden`](Self::hidden) returns the result.
    pub(crate) fn step<'f>(&mut self, positions: impl Iterator<Item = &'f [TokenId]>, lens: &[usize]) -> Result<()> {
        let graphs = Arc::clone(&self.graphs);
        for (row, len) in lens.iter().enumerate() {
            self.cache.check(row, len - 1)?;
        }
        let run = self.step_run(lens.len())?;
        graphs.embedding.run(&mut run.embedding, positions.flatten(), &mut run.body.embeds)?;
        if !run.embedding.is_in_place {
            run.body.embeds.upload().map_err(|e| graphs.body.failed(&e))?;
        }
        run.body.run(lens)?;
        for (row, len) in lens.iter().enumerate() {
            self.cache.mark_written(row, *len);
        }
        Ok(())
    }

    /// Returns the hidden state of `row` after a [`step`](Self::step) of `rows`.
    ///
    /// # Errors
    /// A number is not finite, or no such step has run.
    pub(crate) fn hidden(&self, rows: usize, row: usize) -> Result<&[f32]> {
        let run = self.steps.get(rows.wrapping_sub(1)).and_then(Option::as_ref).ok_or_else(|| no_run(rows))?;
        let size = self.graphs.hidden;
        let of_row = row * size..(row + 1) * size;
        if run.body.embeds.is_on_host() {
            check_finite("embed", "embedding of row", &run.body.embeds.numbers()[of_row.clone()], size)?;
        }
        let hidden = &run.body.hidden.numbers()[of_row];
        check_finite("llm", "hidden state", hidden, size)?;
        Ok(hidden)
    }

    #[allow(unsafe_code)]
    fn step_run(&mut self, rows: usize) -> Result<&mut StepRun> {
        let slot = self.steps.get_mut(rows.wrapping_sub(1)).ok_or_else(|| no_run(rows))?;
        if slot.is_none() {
            let graph = self.graphs.body.graph();
            // SAFETY: the run is dropped before the cache: its field is declared first, and the cache is never replaced.
            let mut body = unsafe { self.graphs.body.bind(graph, &mut self.cache, 0..rows, 1)? };
            body.record()?;
            let embedding = self.graphs.embedding.bind(rows, 1, &mut body.embeds)?;
            *slot = Some(StepRun { embedding, body });
        }
        slot.as_mut().ok_or_else(|| no_run(rows))
    }

    /// Computes the logits of `hidden`, one state a row: [rows, columns], flattened.
    pub(crate) fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        let graph = self.graphs.head(head)?;
        let rows = hidden.len() / self.graphs.hidden;
        let slot = self.heads[head.0].get_mut(rows.wrapping_sub(1)).ok_or_else(|| no_run(rows))?;
        let run = match slot {
            Some(run) => run,
            None => slot.insert(graph.bind(rows)?),
        };
        graph.run(run, hidden)
    }

    /// Copies the first `len` positions of `row` of `other` into the same row.
    pub(crate) fn copy_row_of(&mut self, other: &Self, row: usize, len: usize) -> Result<()> {
        self.cache.copy_row_of(&other.cache, row, row, len)
    }

    /// Copies the first `len` positions of row `from` into row `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.cache.copy_row(from, to, len)
    }

    /// Swaps the first `len` positions of two rows.
    pub(crate) fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        self.cache.swap_rows(one, other, len)
    }

    /// Records that no position of `row` is valid: steps after its positions fail until they are written again.
    pub(crate) fn invalidate(&mut self, row: usize) {
        self.cache.invalidate(row);
    }

    /// Fills `row` with `len` pads: the unconditional sequence of guidance.
    ///
    /// All positions of such a prefix have the same hidden state at each layer, so that the cache of one pad determines the
    /// cache of all: values are equal, and keys differ by the rotary angle of their position.
    pub(crate) fn fill_with_pads(&mut self, row: usize, len: usize) -> Result<()> {
        let pad = self.graphs.pad()?.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = self.graphs.rotary.turns(len);
        self.cache.repeat(row, &pad, len, |position, key| turns.rotate(position, key))
    }
}

fn no_run(rows: usize) -> Error {
    let what = match rows {
        0 => "nothing was run yet, so there are no logits".to_owned(),
        rows => format!("the run has {rows} rows; the cache has fewer"),
    };
    Error::new(ErrorKind::Invalid, what)
}
