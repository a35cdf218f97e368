//! Tokens to embeddings, summed over the ids of a position.

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use crate::error::Result;
use crate::runtime::{Graph, GraphLoader, Port};
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
    pub(super) fn bind(&self, rows: usize, positions: usize, output: &mut Tensor<f32>) -> Result<EmbeddingRun> {
        let failed = |e| self.graph.failed(&e);
        let ids = Tensor::<i64>::new(&Allocator::default(), [rows, positions, self.width]).map_err(failed)?;
        let mut binding = self.graph.binding()?;
        binding.bind_input("input_ids", &ids).map_err(failed)?;
        binding.bind_output("inputs_embeds", output).map_err(failed)?;
        Ok(EmbeddingRun { binding, ids })
    }

    /// Embeds `ids`, shape [rows, positions, width], flattened.
    pub(super) fn run<'i>(&self, run: &mut EmbeddingRun, ids: impl IntoIterator<Item = &'i TokenId>) -> Result<()> {
        let (_, slots) = run.ids.extract_tensor_mut();
        slots.iter_mut().zip(ids).for_each(|(slot, id)| *slot = i64::from(*id));
        self.graph.run_bound(&run.binding)
    }
}

/// A bound run of the graph.
pub(super) struct EmbeddingRun {
    binding: IoBinding,
    ids: Tensor<i64>,
}
