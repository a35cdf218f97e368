//! The placements and run times of a model's graphs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::{Clock, GraphTime};
use crate::provider::GraphPlacement;

/// The placements and run times of the loaded graphs of a model.
#[derive(Default)]
pub struct Placements(Mutex<BTreeMap<String, (GraphPlacement, Arc<Clock>)>>);

impl Placements {
    /// Returns all placements in the order of the graphs' names.
    pub fn all(&self) -> Vec<GraphPlacement> {
        self.lock().values().map(|(placement, _)| placement.clone()).collect()
    }

    /// Returns the run times of each graph, by name.
    pub fn times(&self) -> BTreeMap<String, GraphTime> {
        self.lock().iter().map(|(graph, (_, clock))| (graph.clone(), clock.read())).collect()
    }

    /// Records the placement of a graph, and returns its clock.
    pub(super) fn note(&self, placement: GraphPlacement) -> Arc<Clock> {
        let clock = Arc::default();
        self.lock().insert(placement.graph.clone(), (placement, Arc::clone(&clock)));
        clock
    }

    /// Records that `graph` was loaded once more, with another size of a dimension.
    pub(super) fn note_size(&self, graph: &str, dimension: &str, size: usize) {
        if let Some((placement, _)) = self.lock().get_mut(graph) {
            placement.sizes.entry(dimension.to_owned()).or_default().push(size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (GraphPlacement, Arc<Clock>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
