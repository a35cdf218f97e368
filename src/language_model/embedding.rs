//! Tokens to embeddings, summed over the ids of a position.

use crate::error::Result;
use crate::runtime::{Binding, Buffer, Fixing, Graph, GraphLoader, Port, Size};
use crate::token::TokenId;

/// The `embed` graph.
pub(super) struct Embedding {
    graph: Graph,
    width: usize,
    hidden: usize,
}

impl Embedding {
    pub(super) fn load(loader: &GraphLoader, width: usize, hidden: usize) -> Result<Self> {
        let inputs = [Port::int64("input_ids", &[None, None, Some(width)])];
        let outputs = [Port::float("inputs_embeds", &[None, None, Some(hidden)])];
        let fixing = Fixing::Sizes(vec![("batch", Size::Of(1)), ("frames", Size::Of(1))]);
        Ok(Self { graph: loader.load("embed", &inputs, &outputs, &fixing)?, width, hidden })
    }

    /// Binds a run of `positions` in each of `rows`, which writes the embeddings to `output`, shape
    /// [rows, positions, hidden]. Where the graph takes one position at a time, the run consists of one run per position.
    pub(super) fn bind(&self, rows: usize, positions: usize, output: &mut Buffer<f32>) -> Result<EmbeddingRun> {
        if self.graph.fixed("frames").is_some() && rows * positions != 1 {
            let mut one = Buffer::on_host(&[1, 1, self.hidden]).map_err(|e| self.graph.failed(&e))?;
            let run = self.bind(1, 1, &mut one)?;
            return Ok(EmbeddingRun { one: Some(one), is_in_place: output.is_on_host(), ..run });
        }
        let ids = self.graph.buffer::<i64>("input_ids", &[rows, positions, self.width])?;
        let mut binding = self.graph.binding()?;
        ids.bind_input(&mut binding, "input_ids").map_err(|e| self.graph.failed(&e))?;
        let is_in_place = self.graph.bind_output(&mut binding, "inputs_embeds", output)?;
        Ok(EmbeddingRun { binding, ids, one: None, is_in_place })
    }

    /// Embeds `ids`, shape [rows, positions, width], flattened, into `output`, to which the run is bound.
    pub(super) fn run<'i>(
        &self,
        run: &mut EmbeddingRun,
        ids: impl IntoIterator<Item = &'i TokenId>,
        output: &mut Buffer<f32>,
    ) -> Result<()> {
        let mut ids = ids.into_iter();
        if run.one.is_none() {
            return self.run_bound(run, &mut ids);
        }
        for position in output.numbers_mut().chunks_exact_mut(self.hidden) {
            self.run_bound(run, &mut ids)?;
            let one = run.one.as_ref().map(Buffer::numbers).unwrap_or_default();
            for (number, embedded) in position.iter_mut().zip(one) {
                *number = *embedded;
            }
        }
        Ok(())
    }

    /// Embeds the next `ids`, as many as the binding takes.
    fn run_bound<'i>(&self, run: &mut EmbeddingRun, ids: &mut impl Iterator<Item = &'i TokenId>) -> Result<()> {
        for (input, id) in run.ids.numbers_mut().iter_mut().zip(ids) {
            *input = i64::from(*id);
        }
        run.ids.upload().map_err(|e| self.graph.failed(&e))?;
        self.graph.run_bound(&mut run.binding)
    }
}

/// A bound run of the graph.
pub(super) struct EmbeddingRun {
    binding: Binding,
    ids: Buffer<i64>,
    /// The embedding of one position, where positions run one by one.
    one: Option<Buffer<f32>>,
    /// True if the graph writes the embeddings in the memory where the body reads them; false if they arrive on the host and
    /// must be uploaded.
    pub is_in_place: bool,
}
