//! One run of the `llm` graph, bound to some rows of a cache.

use std::ops::Range;
use std::sync::Arc;

use crate::cache::KeyValueCache;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Binding, Buffer, Graph};

/// The binding of one run of some rows, and the lengths that the run reads.
pub(super) struct BoundRows {
    graph: Arc<Graph>,
    binding: Binding,
    last_positions: Buffer<i32>,
    total: Buffer<i32>,
}

impl BoundRows {
    /// Binds `embeds` and `hidden`, both of shape [rows, positions, hidden], and the `rows` of `cache` to a run of `graph`.
    ///
    /// # Safety
    /// The result must not be run after `cache`, `embeds` or `hidden` is dropped.
    #[allow(unsafe_code)]
    pub(super) unsafe fn new(
        graph: &Arc<Graph>,
        cache: &mut KeyValueCache,
        rows: Range<usize>,
        embeds: &Buffer<f32>,
        hidden: &mut Buffer<f32>,
    ) -> Result<Self> {
        let mut binding = graph.binding()?;
        let last_positions = graph.buffer::<i32>("seqlens_k", &[rows.len()])?;
        let mut total = graph.buffer::<i32>("total_sequence_length", &[])?;
        total.numbers_mut().fill(1); // the session checks the number when it is bound
        graph.bind_output(&mut binding, "hidden_states", hidden)?;
        let mut bind = || -> ort::Result<()> {
            embeds.bind_input(&mut binding, "inputs_embeds")?;
            last_positions.bind_input(&mut binding, "seqlens_k")?;
            total.bind_input(&mut binding, "total_sequence_length")?;
            // SAFETY: the caller does not use the binding after `cache` is dropped.
            unsafe { cache.bind(&mut binding, &rows) }
        };
        bind().map_err(|e| graph.failed(&e))?;
        Ok(Self { graph: Arc::clone(graph), binding, last_positions, total })
    }

    /// Runs the graph, after which the rows have `lens` positions, and copies `hidden` to the host.
    pub(super) fn run(&mut self, hidden: &mut Buffer<f32>, lens: &[usize]) -> Result<()> {
        let Self { graph, binding, last_positions, total } = self;
        let too_many = |_| Error::new(ErrorKind::Limit, "more positions than a graph can count");
        let mut longest = 0;
        for (last, len) in last_positions.numbers_mut().iter_mut().zip(lens) {
            let len = i32::try_from(*len).map_err(too_many)?;
            *last = len - 1;
            longest = longest.max(len);
        }
        total.numbers_mut().fill(longest);
        last_positions.upload().and_then(|()| total.upload()).map_err(|e| graph.failed(&e))?;
        graph.run_bound(binding)?;
        hidden.download().map_err(|e| graph.failed(&e))
    }

    /// Copies `embeds` to where the graph reads them.
    pub(super) fn upload(&self, embeds: &Buffer<f32>) -> Result<()> {
        embeds.upload().map_err(|e| self.graph.failed(&e))
    }

    /// Records the first run and replays it in later runs, if the options of the provider request that.
    pub(super) fn record(&mut self) -> Result<()> {
        self.graph.record(&mut self.binding)
    }
}
