//! Heads: parts of the output matrix, so that only the rows of ids that can be chosen are multiplied.

use ort::memory::Allocator;
use ort::value::Tensor;

use crate::error::Result;
use crate::runtime::{Binding, Buffer, Graph, GraphLoader, Port};

/// A head of a package, by its index among the manifest's `heads` in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadId(pub usize);

/// A head graph.
pub(super) struct OutputHead {
    graph: Graph,
    hidden: usize,
    columns: usize,
}

impl OutputHead {
    /// Loads the head `name`, whose logits have `columns` columns.
    pub(super) fn load(loader: &GraphLoader, name: &str, hidden: usize, columns: usize) -> Result<Self> {
        let inputs = [Port::float("hidden_states", &[None, Some(hidden)])];
        let outputs = [Port::float("logits", &[None, Some(columns)])];
        Ok(Self { graph: loader.load(name, &inputs, &outputs)?, hidden, columns })
    }

    /// Binds a run of `rows` hidden states.
    pub(super) fn bind(&self, rows: usize) -> Result<HeadRun> {
        let failed = |e| self.graph.failed(&e);
        let hidden = self.graph.buffer::<f32>("hidden_states", &[rows, self.hidden])?;
        let mut logits = Tensor::<f32>::new(&Allocator::default(), [rows, self.columns]).map_err(failed)?;
        let mut binding = self.graph.binding()?;
        hidden.bind_input(&mut binding, "hidden_states").map_err(failed)?;
        binding.output("logits", &mut logits).map_err(failed)?;
        Ok(HeadRun { binding, hidden, logits })
    }

    /// Computes the logits of `hidden`, shape [rows, columns], flattened.
    pub(super) fn run<'r>(&self, run: &'r mut HeadRun, hidden: &[f32]) -> Result<&'r mut [f32]> {
        run.hidden.numbers_mut().copy_from_slice(hidden);
        run.hidden.upload().map_err(|e| self.graph.failed(&e))?;
        self.graph.run_bound(&mut run.binding)?;
        Ok(run.logits.extract_tensor_mut().1)
    }
}

/// A bound run of the graph.
pub(super) struct HeadRun {
    binding: Binding,
    hidden: Buffer<f32>,
    logits: Tensor<f32>,
}
