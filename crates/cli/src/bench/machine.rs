//! What a package is measured on: the processor, and the form of each graph.

use std::collections::BTreeMap;

use serde::Serialize;
use ualm::provider::GraphPlacement;
use ualm::{Model, Processor, Result};

/// The processor and the files of the graphs that were loaded.
#[derive(Serialize)]
pub struct Machine {
    processor: &'static Processor,
    /// By the names of the graphs.
    graphs: BTreeMap<String, Form>,
}

/// The form of a graph.
#[derive(Serialize)]
struct Form {
    file: String,
    provider: String,
    /// The instruction set for which the file was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
}

impl Form {
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
    /// Returns the processor, with the graphs of `model` that are loaded by now.
    pub fn of(model: &Model) -> Result<Self> {
        let graphs = model.provider_report()?.graphs.into_iter().map(Form::of).collect();
        Ok(Self { processor: Processor::get(), graphs })
    }

    /// Returns lines with the processor and the graphs.
    pub fn head(&self) -> String {
        let processor = format!("{:<44} {}\n", "processor", self.processor);
        self.graphs.iter().fold(processor, |head, (graph, form)| head + &form.line(graph))
    }

    /// Returns a line for each graph that was not among those of `before`.
    pub fn since(&self, before: &Self) -> String {
        let new = self.graphs.iter().filter(|(graph, _)| !before.graphs.contains_key(*graph));
        new.map(|(graph, form)| form.line(graph)).collect()
    }
}
