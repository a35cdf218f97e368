//! The layers of the language model: embeddings and cache to hidden states.

use std::ops::Range;
use std::sync::Arc;

use super::bound::BoundRows;
use super::pieces::Pieces;
use super::ports::Ports;
use super::prefill::Prefill;
use crate::cache::{CacheShape, KeyValueCache};
use crate::error::{Error, ErrorKind, Result};
use crate::package::AttentionConfig;
use crate::runtime::{Buffer, Fixing, Graph, GraphLoader, Size};

/// Positions of a prompt that run at once where shapes are fixed; a run of several positions reads the weights once.
const PROMPT_POSITIONS: usize = 32;

/// The `llm` graph.
pub(super) struct Body {
    graph: Arc<Graph>,
    /// The same graph for several positions of one row, where shapes are fixed and `graph` takes one position.
    prompt: Option<Arc<Graph>>,
    /// Another form of the graph, for long prompts.
    prefill: Option<Prefill>,
    hidden_size: usize,
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
        Ok(Self { graph: Arc::new(graph), prompt: prompt.map(Arc::new), prefill, hidden_size })
    }

    /// Returns the graph for steps and short prompts.
    pub(super) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Returns the graph for every position of a prompt of `positions` in all.
    pub(super) fn of_prompt(&self, positions: usize) -> Result<&Arc<Graph>> {
        match self.prefill.as_ref().filter(|prefill| prefill.is_for(positions)) {
            Some(prefill) => prefill.graph(&self.graph),
            None => Ok(&self.graph),
        }
    }

    /// Loads the graphs that are not loaded yet.
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

    /// Returns the maximum number of positions of one run.
    pub(super) fn max_positions_per_run(&self) -> usize {
        self.graph.max_positions_per_run()
    }

    /// Returns an error of the graph.
    pub(super) fn failed(&self, error: &ort::Error) -> Error {
        self.graph.failed(error)
    }

    /// Binds a run of `graph`, one of this body's graphs, of `positions` in each of the `rows` of `cache`. A run that appends
    /// several positions to earlier ones must have one row. Where shapes are fixed, the run consists of several runs, over
    /// rows and positions in turn.
    ///
    /// # Safety
    /// The returned run must not be used after `cache` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn bind(
        &self,
        graph: &Arc<Graph>,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        positions: usize,
    ) -> Result<BodyRun> {
        let shape = [rows.len(), positions, self.hidden_size];
        let is_divided = self.capacity().is_some() && rows.len() * positions != 1;
        if is_divided {
            let embeds = Buffer::on_host(&shape).map_err(|e| self.failed(&e))?;
            let hidden = Buffer::on_host(&shape).map_err(|e| self.failed(&e))?;
            let prompt = self.prompt.as_ref().filter(|_| positions > 1);
            // SAFETY: the caller does not use the run after `cache` is dropped.
            let pieces = unsafe { Pieces::bind(&self.graph, prompt, self.hidden_size, cache, rows, positions)? };
            return Ok(BodyRun { embeds, hidden, bound: Bound::Pieces(pieces) });
        }
        let embeds = graph.buffer("inputs_embeds", &shape)?;
        let mut hidden = graph.output("hidden_states", &shape)?;
        // SAFETY: as above.
        let bound = unsafe { BoundRows::new(graph, cache, rows, &embeds, &mut hidden)? };
        Ok(BodyRun { embeds, hidden, bound: Bound::Whole(Box::new(bound)) })
    }

    /// Returns an empty cache of the graph, with room for `capacity` positions or more in each of `rows`.
    pub(super) fn cache(&self, shape: CacheShape, rows: usize, capacity: usize) -> Result<KeyValueCache> {
        match self.capacity() {
            Some(fixed) if fixed < capacity => {
                let what = format!("{capacity} positions are needed, but shapes are fixed to {fixed}");
                let way = format!("ask for fewer, or load the model with static={capacity}");
                Err(Error::new(ErrorKind::Limit, format!("{what}: {way}")))
            }
            fixed => KeyValueCache::new(shape, rows, fixed.unwrap_or(capacity), &self.graph),
        }
    }

    /// Returns an empty cache of one row and one position, on which a graph with fixed shapes cannot run.
    pub(super) fn cache_of_one(&self, shape: CacheShape) -> Result<KeyValueCache> {
        KeyValueCache::new(shape, 1, 1, &self.graph)
    }
}

/// A bound run of the body.
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

impl BodyRun {
    /// Runs the embeddings, which have been uploaded, after which the rows have `lens` positions. The caller must check that
    /// the results are finite.
    pub(super) fn run(&mut self, lens: &[usize]) -> Result<()> {
        match &mut self.bound {
            Bound::Whole(rows) => rows.run(&mut self.hidden, lens),
            Bound::Pieces(pieces) => pieces.run(self.embeds.numbers(), self.hidden.numbers_mut(), lens),
        }
    }

    /// Records the first run and replays it in later runs, if the options of the provider request that.
    pub(super) fn record(&mut self) -> Result<()> {
        match &mut self.bound {
            Bound::Whole(rows) => rows.record(),
            Bound::Pieces(_) => Ok(()),
        }
    }
}
