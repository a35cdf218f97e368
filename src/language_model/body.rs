//! The layers of the language model: embeddings and cache to hidden states.

use std::ops::Range;

use crate::cache::{CacheShape, KeyValueCache};
use crate::error::{Error, ErrorKind, Result};
use crate::package::AttentionConfig;
use crate::runtime::{Binding, Buffer, Graph, GraphLoader, Port};

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

    /// Returns the most positions that one run may have.
    pub(super) fn most_positions(&self) -> usize {
        self.graph.most_positions()
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
        let embeds = self.graph.buffer::<f32>("inputs_embeds", &[rows.len(), positions, self.hidden])?;
        let last_positions = self.graph.buffer::<i32>("seqlens_k", &[rows.len()])?;
        let mut total = self.graph.buffer::<i32>("total_sequence_length", &[])?;
        total.numbers_mut().fill(1); // where the session checks it when it is bound
        let mut hidden = self.graph.output::<f32>("hidden_states", &[rows.len(), positions, self.hidden])?;
        self.graph.bind_output(&mut binding, "hidden_states", &mut hidden)?;
        let mut bind = || -> ort::Result<_> {
            embeds.bind_input(&mut binding, "inputs_embeds")?;
            last_positions.bind_input(&mut binding, "seqlens_k")?;
            total.bind_input(&mut binding, "total_sequence_length")?;
            // SAFETY: the caller does not use the run after `cache` is dropped.
            unsafe { cache.bind(&mut binding, &rows) }
        };
        bind().map_err(|e| self.failed(&e))?;
        Ok(BodyRun { binding, embeds, hidden, last_positions, total })
    }

    /// Returns an empty cache of this graph, with room for `capacity` positions in each of `rows`.
    pub(super) fn cache(&self, shape: CacheShape, rows: usize, capacity: usize) -> Result<KeyValueCache> {
        KeyValueCache::new(shape, rows, capacity, &self.graph)
    }

    /// Runs the embeddings, which have been uploaded, after which the rows have `lens` positions. The caller must check that the results are
    /// finite.
    pub(super) fn run(&self, run: &mut BodyRun, lens: &[usize]) -> Result<()> {
        let too_many = |_| Error::new(ErrorKind::Limit, "more positions than a graph can count");
        let mut total = 0;
        for (slot, len) in run.last_positions.numbers_mut().iter_mut().zip(lens) {
            let len = i32::try_from(*len).map_err(too_many)?;
            *slot = len - 1;
            total = total.max(len);
        }
        run.total.numbers_mut().fill(total);
        run.last_positions.upload().and_then(|()| run.total.upload()).map_err(|e| self.failed(&e))?;
        self.graph.run_bound(&mut run.binding)?;
        run.hidden.download().map_err(|e| self.failed(&e))
    }

    /// Lets the runs of `run` be recorded and replayed, where that was asked for.
    pub(super) fn record(&self, run: &mut BodyRun) -> Result<()> {
        self.graph.record(&mut run.binding)
    }
}

/// A bound run of the graph.
pub(super) struct BodyRun {
    binding: Binding,
    /// Shape [rows, positions, hidden].
    pub embeds: Buffer<f32>,
    /// Shape [rows, positions, hidden].
    pub hidden: Buffer<f32>,
    last_positions: Buffer<i32>,
    total: Buffer<i32>,
}
