//! The model that the scheduler runs, behind a trait, so that tests can script it.

use crate::error::Result;
use crate::language_model::{Batch, HeadId};
use crate::token::TokenId;

/// A model that runs rows of a cache together; a row is given by its index in the cache.
pub(super) trait Body: Send {
    /// Returns the number of ids of a position.
    fn width(&self) -> usize;
    /// Returns the number of heads.
    fn heads(&self) -> usize;
    /// Returns the hidden size.
    fn hidden_size(&self) -> usize;
    /// Appends `embeds`, a part of a prompt of `prompt` positions, to the row at `index`, which has `len` positions afterwards.
    /// Writes the last hidden state to `hidden`.
    fn prefill(&mut self, index: usize, len: usize, prompt: usize, embeds: &[f32], hidden: &mut Vec<f32>)
    -> Result<()>;
    /// Appends one position to each of the first `lens.len()` rows, which have `lens` positions afterwards.
    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()>;
    /// Returns the hidden state of the row at `index` after a step of `rows`.
    fn hidden(&self, rows: usize, index: usize) -> Result<&[f32]>;
    /// Returns the logits of some hidden states.
    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]>;
    /// Copies `len` positions from one row to another.
    fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()>;
    /// Swaps the first `len` positions of two rows.
    fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()>;
    /// Fills the row at `index` with `len` pads.
    fn fill_with_pads(&mut self, index: usize, len: usize) -> Result<()>;
    /// Records that no position of the row at `index` is valid: runs after its positions fail.
    fn invalidate(&mut self, index: usize);
}

impl Body for Batch {
    fn width(&self) -> usize {
        self.width()
    }

    fn heads(&self) -> usize {
        self.heads()
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size()
    }

    fn prefill(
        &mut self,
        index: usize,
        len: usize,
        prompt: usize,
        embeds: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        self.prefill(index, len, prompt, embeds, hidden)
    }

    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()> {
        self.step(ids.chunks_exact(self.width()), lens)
    }

    fn hidden(&self, rows: usize, index: usize) -> Result<&[f32]> {
        self.hidden(rows, index)
    }

    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        self.logits(head, hidden)
    }

    fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.copy_row(from, to, len)
    }

    fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        self.swap_rows(one, other, len)
    }

    fn fill_with_pads(&mut self, index: usize, len: usize) -> Result<()> {
        self.fill_with_pads(index, len)
    }

    fn invalidate(&mut self, index: usize) {
        self.invalidate(index);
    }
}
