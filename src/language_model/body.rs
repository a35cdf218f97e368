//! The layers of the language model: embeddings and cache to hidden states.

use std::ops::Range;

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use crate::cache::KeyValueCache;
use crate::error::{Error, ErrorKind, Result};
use crate::package::AttentionConfig;
use crate::runtime::{Graph, GraphLoader, Port};

/// The `llm` graph.
pub(super) struct Body {
    graph: Graph,
    hidden: usize,
}

impl Body {
    pub(super) fn load(loader: &GraphLoader, hidden_size: usize, attention: &AttentionConfig) -> Result<Self> {
        let hidden = Some(hidden_size);
        let cache = [None, Some(attention.heads), None, Some(attention.head_size)];
        let mut inputs = vec![
            Port::float("inputs_embeds", &[None, None, hidden]),
            Port::int32("seqlens_k", &[None]),
            Port::int32("total_sequence_length", &[]),
        ];
        let mut outputs = vec![Port::float("hidden_states", &[None, None, hidden])];
        for layer in 0..attention.layers {
            for part in ["key", "value"] {
                inputs.push(Port::float_or_half(format!("past_key_values.{layer}.{part}"), &cache));
                outputs.push(Port::float_or_half(format!("present.{layer}.{part}"), &cache));
            }
        }
        let graph = loader.load("llm", &inputs, &outputs)?;
        Ok(Self { graph, hidden: hidden_size })
    }

    /// Returns whether the cache is float16.
    pub(super) fn is_half(&self) -> bool {
        self.graph.is_half("past_key_values.0.key")
    }

    /// Returns an error of this graph.
    pub(super) fn failed(&self, error: &ort::Error) -> Error {
        self.graph.failed(error)
    }

    /// Binds a run of `positions` in each of the `rows` of `cache`. A run that appends several positions to others must
    /// have one row only.
    ///
    /// # Safety
    /// The returned run must not be used after `cache` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(
        &self,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        positions: usize,
    ) -> Result<BodyRun> {
        let mut binding = self.graph.binding()?;
        let mut bind = || -> ort::Result<_> {
            let allocator = Allocator::default();
            let embeds = Tensor::<f32>::new(&allocator, [rows.len(), positions, self.hidden])?;
            let mut hidden = Tensor::<f32>::new(&allocator, [rows.len(), positions, self.hidden])?;
            let last_positions = Tensor::<i32>::new(&allocator, [rows.len()])?;
            let total = Tensor::from_array(((), vec![0i32]))?;
            binding.bind_input("inputs_embeds", &embeds)?;
            binding.bind_input("seqlens_k", &last_positions)?;
            binding.bind_input("total_sequence_length", &total)?;
            binding.bind_output("hidden_states", &mut hidden)?;
            // SAFETY: the caller does not use the run after `cache` is dropped.
            unsafe { cache.bind(&mut binding, &rows)? };
            Ok((embeds, hidden, last_positions, total))
        };
        let (embeds, hidden, last_positions, total) = bind().map_err(|e| self.failed(&e))?;
        Ok(BodyRun { binding, embeds, hidden, last_positions, total })
    }

    /// Runs the embeddings, after which the rows have `lens` positions. The caller must check that the results are
    /// finite.
    pub(super) fn run(&self, run: &mut BodyRun, lens: &[usize]) -> Result<()> {
        let too_many = |_| Error::new(ErrorKind::Limit, "more positions than a graph can count");
        let mut total = 0;
        for (slot, len) in run.last_positions.extract_tensor_mut().1.iter_mut().zip(lens) {
            let len = i32::try_from(*len).map_err(too_many)?;
            *slot = len - 1;
            total = total.max(len);
        }
        run.total.extract_tensor_mut().1.fill(total);
        self.graph.run_bound(&run.binding)
    }
}

/// A bound run of the graph.
pub(super) struct BodyRun {
    binding: IoBinding,
    /// Shape [rows, positions, hidden].
    pub embeds: Tensor<f32>,
    /// Shape [rows, positions, hidden].
    pub hidden: Tensor<f32>,
    last_positions: Tensor<i32>,
    total: Tensor<i32>,
}
