//! The environment of a measurement: the processor, and the variant of each graph.

use std::collections::BTreeMap;

use serde::Serialize;
use ualm::provider::GraphPlacement;
use ualm::{Model, Processor, Result};

/// The processor and the loaded graphs.
#[derive(Serialize)]
pub struct Machine {
    processor: &'static Processor,
    /// By the names of the graphs.
    graphs: BTreeMap<String, Variant>,
}

/// The loaded variant of a graph.
#[derive(Serialize)]
struct Variant {
    file: String,
    provider: String,
    /// The instruction set that the variant was chosen for.
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
}

impl Variant {
    fn of(placed: GraphPlacement) -> (String, Self) {
        let GraphPlacement { graph, file, provider, instructions, .. } = placed;
        (graph, Self { file, provider, instructions })
    }

    fn line(&self, graph: &str) -> String {
        let Self { file, provider, instructions } = self;
        let chosen = instructions.as_ref().map_or_else(String::new, |instructions| format!(", for {instructions}"));
        format!("{:<44} {file} on {provider}{chosen}\n", format!("graph {graph}"))
    }
}

impl Machine {
    /// Returns the processor and the graphs of `model` loaded so far.
    pub fn of(model: &Model) -> Result<Self> {
        let graphs = model.provider_report()?.graphs.into_iter().map(Variant::of).collect();
        Ok(Self { processor: Processor::get(), graphs })
    }

    /// Formats the processor and the graphs as lines.
    pub fn head(&self) -> String {
        let processor = format!("{:<44} {}\n", "processor", self.processor);
        self.graphs.iter().fold(processor, |head, (graph, variant)| head + &variant.line(graph))
    }

    /// Formats a line for each graph that is not in `before`.
    pub fn since(&self, before: &Self) -> String {
        let new = self.graphs.iter().filter(|(graph, _)| !before.graphs.contains_key(*graph));
        new.map(|(graph, variant)| variant.line(graph)).collect()
    }
}
