//! Comparison of the graphs of a model on their providers, and of the forms chosen for the processor, with the package's own
//! graphs on the CPU, on fixed inputs.
//!
//! A provider that computes wrong numbers, or computes with inputs of an earlier run, gives no error: only a comparison
//! shows it. The graphs of a step run as in a reply, through a [`Sequence`](crate::language_model::Sequence), each
//! alone on its provider with the others on the CPU, and then all together as they are placed; the graphs for sound run
//! through the methods of [`Model`]. Whatever is right alone runs again on two threads at once.

mod difference;
mod inputs;
mod jobs;

use std::fmt;

use serde::Serialize;

use crate::error::Result;
use crate::model::Model;
use crate::package::PREFILL;
use crate::provider::GraphPlacement;
use jobs::Job;

/// The result of comparing the graphs of a model with the same graphs on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// A result for every graph that runs on another provider than the CPU or in a form for the processor, and for the graphs
    /// of a step together.
    pub compared: Vec<GraphComparison>,
    /// The package's own graphs that run on the CPU, of which there is nothing to compare.
    pub on_cpu: Vec<String>,
    /// The forms for the processor that are not compared, because their weights are others than those of the package's own
    /// graph: that of `llm` for long prompts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of_other_weights: Vec<String>,
    /// The instruction set for which forms were chosen, after its products were found exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_products: Option<String>,
}

impl Comparison {
    /// Returns whether every graph computes what the CPU computes, within the bounds.
    pub fn is_right(&self) -> bool {
        self.compared.iter().all(|graph| graph.failure.is_none())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compared.is_empty() && self.of_other_weights.is_empty() {
            return f.write_str("every graph runs on the CPU, in its portable form: there is nothing to compare");
        }
        let mut lines: Vec<_> = self.compared.iter().map(GraphComparison::to_string).collect();
        if let Some(instructions) = &self.exact_products {
            lines.push(format!("products of 8-bit integers for {instructions}: exact"));
        }
        if !self.of_other_weights.is_empty() {
            let names = self.of_other_weights.join(", ");
            lines.push(format!("not compared, for it has other weights than the portable form: {names}"));
        }
        if !self.on_cpu.is_empty() {
            lines.push(format!("on the CPU, not compared: {}", self.on_cpu.join(", ")));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// The difference between a graph, or several graphs that run one after another, and the same on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphComparison {
    /// The graph; several graphs are those of a step together.
    pub graphs: Vec<String>,
    /// The providers as requested.
    pub providers: Vec<String>,
    /// The instruction sets of the processor for which the files of graphs were chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<String>,
    /// The largest difference relative to the largest value of the same output, or the part of the codes that differ;
    /// `None` if no run was finished, or if a number is not finite.
    pub difference: Option<f64>,
    /// The codes that differ, and all codes, for graphs whose outputs are codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<[usize; 2]>,
    /// The largest difference that passes.
    pub bound: f64,
    /// The run with the largest difference.
    pub run: Option<String>,
    /// A sentence for a person if the graph failed or its difference is beyond the bound.
    pub failure: Option<String>,
}

impl GraphComparison {
    /// Returns the providers, and the instruction sets for which files were chosen, in words.
    fn places(&self) -> String {
        let instructions = self.instructions.iter().map(|instructions| format!("for {instructions}"));
        self.providers.iter().cloned().chain(instructions).collect::<Vec<_>>().join(", ")
    }

    /// Returns what it was compared with, in words.
    fn reference(&self) -> &'static str {
        if self.instructions.is_empty() { "the CPU" } else { "the portable form" }
    }

    fn is_worse_than(&self, other: &Self) -> bool {
        match (&self.failure, &other.failure) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => self.difference > other.difference,
        }
    }
}

impl fmt::Display for GraphComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            return f.write_str(failure);
        }
        let Self { graphs, difference, codes, bound, .. } = self;
        write!(f, "{} on {}: ", graphs.join(", "), self.places())?;
        match (codes, difference) {
            (Some([different, all]), _) => {
                let reference = self.reference();
                write!(
                    f,
                    "{different} of {all} codes differ from those of {reference}; at most {} % may",
                    100.0 * bound
                )
            }
            (None, Some(difference)) => {
                let reference = self.reference();
                write!(f, "differs from {reference} by {difference:.1e} of the largest value; at most {bound:e} may be")
            }
            (None, None) => f.write_str("no numbers"),
        }
    }
}

/// A comparison whose first part is done, in which the graphs ran one after another.
pub struct Comparer<'m> {
    /// The result of that part.
    pub alone: Comparison,
    jobs: Vec<Job<'m>>,
}

impl<'m> Comparer<'m> {
    /// Compares every graph of `model` that runs on another provider than the CPU, or in a form for the processor, with the
    /// package's own graph on the CPU. Loads all
    /// graphs that are not loaded yet, and those to compare once more.
    ///
    /// # Errors
    /// A graph cannot be loaded, or fails on the CPU. A graph that fails on its provider is part of the result.
    pub fn new(model: &'m Model) -> Result<Self> {
        model.load_all()?;
        let placements = model.placements();
        let exact_products = placements.iter().find_map(|placed| placed.instructions.clone());
        let (on_cpu, elsewhere): (Vec<_>, Vec<_>) = placements.into_iter().partition(GraphPlacement::is_reference);
        let (of_other_weights, elsewhere): (Vec<_>, Vec<_>) =
            elsewhere.into_iter().partition(|placed| placed.graph == PREFILL);
        let names = |placements: Vec<GraphPlacement>| placements.into_iter().map(|placed| placed.graph).collect();
        let jobs = if elsewhere.is_empty() { Vec::new() } else { jobs::all(model, &model.on_cpu()?, &elsewhere)? };
        let compared = jobs.iter().map(|job| job.compare("")).collect();
        let (on_cpu, of_other_weights) = (names(on_cpu), names(of_other_weights));
        Ok(Self { alone: Comparison { compared, on_cpu, of_other_weights, exact_products }, jobs })
    }

    /// Returns whether there are graphs for [`on_two_threads`](Self::on_two_threads).
    pub fn has_right(&self) -> bool {
        self.right().next().is_some()
    }

    /// Returns the jobs that are right alone, each graph once.
    fn right(&self) -> impl Iterator<Item = &Job<'m>> {
        let both = self.jobs.iter().zip(&self.alone.compared);
        both.filter(|(job, alone)| job.is_as_placed && alone.failure.is_none()).map(|(job, _)| job)
    }

    /// Runs the graphs that are right alone once more, on two threads at once, one of which takes them backwards. Some
    /// providers end the process.
    pub fn on_two_threads(&self) -> Comparison {
        let jobs: Vec<_> = self.right().collect();
        let compare = |job: &&Job<'_>| job.compare("two threads at once, ");
        let (forwards, backwards) = std::thread::scope(|scope| {
            let beside = scope.spawn(|| jobs.iter().rev().map(compare).collect::<Vec<_>>());
            let forwards: Vec<_> = jobs.iter().map(compare).collect();
            // a panic beside goes on here
            (forwards, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let both = forwards.into_iter().zip(backwards.into_iter().rev());
        let compared = both.map(|(one, other)| if other.is_worse_than(&one) { other } else { one }).collect();
        Comparison { compared, ..self.alone.clone() }
    }
}
