//! Heads: parts of the output matrix, so that only the rows of ids that can be drawn are multiplied.

use ort::memory::Allocator;
use ort::value::Tensor;

use crate::error::Result;
use crate::runtime::{Binding, Buffer, Fixing, Graph, GraphLoader, Port, Size};

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
        let fixing = Fixing::Sizes(vec![("rows", Size::Of(1))]);
        Ok(Self { graph: loader.load(name, &inputs, &outputs, &fixing)?, hidden, columns })
    }

    /// Binds a run of `rows` hidden states. Where the graph takes one row at a time, the run consists of one run per row.
    pub(super) fn bind(&self, rows: usize) -> Result<HeadRun> {
        let failed = |e| self.graph.failed(&e);
        if self.graph.fixed("rows").is_some() && rows != 1 {
            return Ok(HeadRun { all: Some(vec![0.0; rows * self.columns]), ..self.bind(1)? });
        }
        let hidden = self.graph.buffer::<f32>("hidden_states", &[rows, self.hidden])?;
        let mut logits = Tensor::<f32>::new(&Allocator::default(), [rows, self.columns]).map_err(failed)?;
        let mut binding = self.graph.binding()?;
        hidden.bind_input(&mut binding, "hidden_states").map_err(failed)?;
        binding.output("logits", &mut logits).map_err(failed)?;
        Ok(HeadRun { binding, hidden, logits, all: None })
    }

    /// Computes the logits of `hidden`, shape [rows, columns], flattened.
    pub(super) fn run<'r>(&self, run: &'r mut HeadRun, hidden: &[f32]) -> Result<&'r mut [f32]> {
        let HeadRun { binding, hidden: input, logits, all } = run;
        let mut run_bound = |hidden: &[f32]| {
            input.numbers_mut().copy_from_slice(hidden);
            input.upload().map_err(|e| self.graph.failed(&e))?;
            self.graph.run_bound(binding)
        };
        let Some(all) = all else {
            run_bound(hidden)?;
            return Ok(logits.extract_tensor_mut().1);
        };
        for (hidden, row) in hidden.chunks_exact(self.hidden).zip(all.chunks_exact_mut(self.columns)) {
            run_bound(hidden)?;
            row.copy_from_slice(logits.extract_tensor().1);
        }
        Ok(all)
    }
}

/// A bound run of the graph.
pub(super) struct HeadRun {
    binding: Binding,
    hidden: Buffer<f32>,
    logits: Tensor<f32>,
    /// The logits of all rows, where rows run one by one.
    all: Option<Vec<f32>>,
}
