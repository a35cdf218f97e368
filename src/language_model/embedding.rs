//! Tokens to embeddings, summed over the ids of a position.

use crate::error::Result;
use crate::runtime::{Binding, Buffer, Graph, GraphLoader, Port};
use crate::token::TokenId;

/// The `embed` graph.
pub(super) struct Embedding {
    graph: Graph,
    width: usize,
}

impl Embedding {
    pub(super) fn load(loader: &GraphLoader, width: usize, hidden: usize) -> Result<Self> {
        let inputs = [Port::int64("input_ids", &[None, None, Some(width)])];
        let outputs = [Port::float("inputs_embeds", &[None, None, Some(hidden)])];
        Ok(Self { graph: loader.load("embed", &inputs, &outputs)?, width })
    }

    /// Binds a run of `positions` positions in each of `rows`, which writes the embeddings to `output`, shape
    /// [rows, positions, hidden].
    pub(super) fn bind(&self, rows: usize, positions: usize, output: &mut Buffer<f32>) -> Result<EmbeddingRun> {
        let ids = self.graph.buffer::<i64>("input_ids", &[rows, positions, self.width])?;
        let mut binding = self.graph.binding()?;
        ids.bind_input(&mut binding, "input_ids").map_err(|e| self.graph.failed(&e))?;
        let is_in_place = self.graph.bind_output(&mut binding, "inputs_embeds", output)?;
        Ok(EmbeddingRun { binding, ids, is_in_place })
    }

    /// Embeds `ids`, shape [rows, positions, width], flattened.
    pub(super) fn run<'i>(&self, run: &mut EmbeddingRun, ids: impl IntoIterator<Item = &'i TokenId>) -> Result<()> {
        run.ids.numbers_mut().iter_mut().zip(ids).for_each(|(slot, id)| *slot = i64::from(*id));
        run.ids.upload().map_err(|e| self.graph.failed(&e))?;
        self.graph.run_bound(&mut run.binding)
    }
}

/// A bound run of the graph.
pub(super) struct EmbeddingRun {
    binding: Binding,
    ids: Buffer<i64>,
    /// True if the embeddings are written to where the body reads them, false if they come to the host first.
    pub is_in_place: bool,
}
