//! The layers of the language model: embeddings and cache to hidden states.

use std::ops::Range;
use std::sync::Arc;

use super::pieces::Pieces;
use super::prefill::Prefill;
use crate::cache::{CacheShape, KeyValueCache};
use crate::error::{Error, ErrorKind, Result};
use crate::package::AttentionConfig;
use crate::runtime::{Binding, Buffer, Fixing, Graph, GraphLoader, Port, Size};

/// Positions of a prompt that run at once where shapes are fixed. One run of so many reads the weights once.
const PROMPT_POSITIONS: usize = 32;

/// The `llm` graph.
pub(super) struct Body {
    pub graph: Graph,
    /// The same graph for several positions of one row, where shapes are fixed; `graph` is for one position then.
    pub prompt: Option<Graph>,
    /// Another form of the graph, for long prompts.
    prefill: Option<Prefill>,
    pub hidden: usize,
}

/// The inputs and outputs of the graph.
#[derive(Clone)]
pub(super) struct Ports {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Ports {
    fn new(hidden_size: usize, attention: &AttentionConfig) -> Self {
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
        Self { inputs, outputs }
    }
}

impl Body {
    pub(super) fn load(
        loader: &Arc<GraphLoader>,
        hidden_size: usize,
        attention: &AttentionConfig,
        max_positions: usize,
    ) -> Result<Self> {
        let ports = Ports::new(hidden_size, attention);
        let capacity = Size::Positions(max_positions);
        let fixing = Fixing::Sizes(vec![("batch", Size::Of(1)), ("positions", Size::Of(1)), ("capacity", capacity)]);
        let graph = loader.load("llm", &ports.inputs, &ports.outputs, &fixing)?;
        let prompt = match graph.fixed("capacity") {
            Some(capacity) if capacity > 1 => loader.with_size(&graph, "positions", PROMPT_POSITIONS.min(capacity)),
            _ => None,
        };
        let prefill = Prefill::beside(&graph, &ports, loader);
        Ok(Self { graph, prompt, prefill, hidden: hidden_size })
    }

    /// Returns the graph for the positions of a prompt of `positions` in all.
    pub(super) fn of_prompt(&self, positions: usize) -> Result<&Graph> {
        match self.prefill.as_ref().filter(|prefill| prefill.is_for(positions)) {
            Some(prefill) => prefill.graph(&self.graph),
            None => Ok(&self.graph),
        }
    }

    /// Loads what is not loaded yet.
    pub(super) fn load_all(&self) -> Result<()> {
        self.prefill.as_ref().map_or(Ok(()), |prefill| prefill.graph(&self.graph).map(drop))
    }

    /// Returns whether the cache is float16.
    pub(super) fn is_half(&self) -> bool {
        self.graph.is_half("past_key_values.0.key")
    }

    /// Returns the positions of a row of every cache, if shapes are fixed.
    pub(super) fn capacity(&self) -> Option<usize> {
        self.graph.fixed("capacity")
    }

    /// Returns the most positions that one run may have.
    pub(super) fn most_positions(&self) -> usize {
        self.graph.most_positions()
    }

    /// Returns an error of this graph.
    pub(super) fn failed(&self, error: &ort::Error) -> Error {
        self.graph.failed(error)
    }

    /// Binds a run of `graph`, of this body, of `positions` in each of the `rows` of `cache`. A run that appends several
    /// positions to others must have one row only. Where shapes are fixed, the run consists of several, in which rows and
    /// positions follow one another.
    ///
    /// # Safety
    /// The returned run must not be used after `cache` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(
        &self,
        graph: &Graph,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        positions: usize,
    ) -> Result<BodyRun> {
        let shape = [rows.len(), positions, self.hidden];
        let is_divided = self.capacity().is_some() && rows.len() * positions != 1;
        if is_divided {
            let [embeds, hidden] = [Buffer::on_host(&shape), Buffer::on_host(&shape)];
            let [embeds, hidden] = [embeds.map_err(|e| self.failed(&e))?, hidden.map_err(|e| self.failed(&e))?];
            // SAFETY: the caller does not use the run after `cache` is dropped.
            let bound = Bound::Pieces(unsafe { Pieces::bind(self, cache, rows, positions)? });
            return Ok(BodyRun { embeds, hidden, bound });
        }
        let embeds = graph.buffer("inputs_embeds", &shape)?;
        let mut hidden = graph.output("hidden_states", &shape)?;
        // SAFETY: as above.
        let bound = unsafe { BoundRows::new(graph, cache, rows, &embeds, &mut hidden)? };
        Ok(BodyRun { embeds, hidden, bound: Bound::Whole(Box::new(bound)) })
    }

    /// Returns an empty cache of this graph, with room for `capacity` positions or more in each of `rows`.
    pub(super) fn cache(&self, shape: CacheShape, rows: usize, capacity: usize) -> Result<KeyValueCache> {
        match self.capacity() {
            Some(fixed) if fixed < capacity => {
                let what = format!("{capacity} positions are needed, but shapes are fixed to {fixed}");
                Err(Error::new(
                    ErrorKind::Limit,
                    format!("{what}: ask for fewer, or load the model with static={capacity}"),
                ))
            }
            fixed => KeyValueCache::new(shape, rows, fixed.unwrap_or(capacity), &self.graph),
        }
    }

    /// Returns an empty cache of one row and one position, which cannot be run where shapes are fixed.
    pub(super) fn cache_of_one(&self, shape: CacheShape) -> Result<KeyValueCache> {
        KeyValueCache::new(shape, 1, 1, &self.graph)
    }

    /// Runs the embeddings, which have been uploaded, by the graph that `run` was bound for, after which the rows have `lens`
    /// positions. The caller must check that the results are finite.
    pub(super) fn run(&self, graph: &Graph, run: &mut BodyRun, lens: &[usize]) -> Result<()> {
        match &mut run.bound {
            Bound::Whole(rows) => rows.run(graph, &mut run.hidden, lens),
            Bound::Pieces(pieces) => pieces.run(self, run.embeds.numbers(), run.hidden.numbers_mut(), lens),
        }
    }

    /// Lets the runs of `run` be recorded and replayed, where that was asked for.
    pub(super) fn record(&self, run: &mut BodyRun) -> Result<()> {
        match &mut run.bound {
            Bound::Whole(rows) => self.graph.record(&mut rows.binding),
            Bound::Pieces(_) => Ok(()),
        }
    }
}

/// A bound run of the graph.
pub(super) struct BodyRun {
    /// Shape [rows, positions, hidden].
    pub embeds: Buffer<f32>,
    /// Shape [rows, positions, hidden].
    pub hidden: Buffer<f32>,
    bound: Bound,
}

enum Bound {
    Whole(Box<BoundRows>),
    Pieces(Pieces),
}

/// The bindings of one run of some rows, and the lengths that it reads.
pub(super) struct BoundRows {
    binding: Binding,
    last_positions: Buffer<i32>,
    total: Buffer<i32>,
}

impl BoundRows {
    /// Binds `embeds` and `hidden`, both of shape [rows, positions, hidden], and the `rows` of `cache`.
    ///
    /// # Safety
    /// The binding must not be run after `cache` or one of the others is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn new(
        graph: &Graph,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        embeds: &Buffer<f32>,
        hidden: &mut Buffer<f32>,
    ) -> Result<Self> {
        let mut binding = graph.binding()?;
        let last_positions = graph.buffer::<i32>("seqlens_k", &[rows.len()])?;
        let mut total = graph.buffer::<i32>("total_sequence_length", &[])?;
        total.numbers_mut().fill(1); // where the session checks it when it is bound
        graph.bind_output(&mut binding, "hidden_states", hidden)?;
        let mut bind = || -> ort::Result<()> {
            embeds.bind_input(&mut binding, "inputs_embeds")?;
            last_positions.bind_input(&mut binding, "seqlens_k")?;
            total.bind_input(&mut binding, "total_sequence_length")?;
            // SAFETY: the caller does not use the binding after `cache` is dropped.
            unsafe { cache.bind(&mut binding, &rows) }
        };
        bind().map_err(|e| graph.failed(&e))?;
        Ok(Self { binding, last_positions, total })
    }

    /// Runs `graph`, after which the rows have `lens` positions, and brings `hidden` to the host.
    pub(super) fn run(&mut self, graph: &Graph, hidden: &mut Buffer<f32>, lens: &[usize]) -> Result<()> {
        let too_many = |_| Error::new(ErrorKind::Limit, "more positions than a graph can count");
        let mut total = 0;
        for (slot, len) in self.last_positions.numbers_mut().iter_mut().zip(lens) {
            let len = i32::try_from(*len).map_err(too_many)?;
            *slot = len - 1;
            total = total.max(len);
        }
        self.total.numbers_mut().fill(total);
        self.last_positions.upload().and_then(|()| self.total.upload()).map_err(|e| graph.failed(&e))?;
        graph.run_bound(&mut self.binding)?;
        hidden.download().map_err(|e| graph.failed(&e))
    }
}
