//! Comparison of the graphs of a model on their providers, and of the forms chosen for the processor, with the package's own
//! graphs on the CPU, on fixed inputs.
//!
//! A provider that computes wrong numbers, or uses inputs of an earlier run, gives no error; only a comparison reveals the
//! fault. The graphs of a step run as in a reply, through a [`Sequence`](crate::language_model::Sequence): first each alone on
//! its provider with the others on the CPU, then all together as they are placed. The graphs for sound run through the methods
//! of [`Model`]. Graphs that are right alone run again on two threads at once.

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
    /// The results: of every graph on another provider than the CPU or in a form for the processor, and of the graphs of a step
    /// together.
    pub compared: Vec<GraphComparison>,
    /// The package's own graphs on the CPU, which need no comparison.
    pub on_cpu: Vec<String>,
    /// The forms for the processor that are not compared, because their weights differ from those of the package's own graph:
    /// the form of `llm` for long prompts. In packages of random weights a right form was found to differ from `llm` by 0.07 to
    /// 0.51 of the largest value, and the same form after another prompt by 0.2 to 1.9: no bound tells them apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of_other_weights: Vec<String>,
    /// The instruction set for which forms were chosen; its products have been found exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_products: Option<String>,
}

impl Comparison {
    /// Returns whether every graph agrees with the CPU, within the bounds.
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
            lines.push(format!("not compared, because its weights differ from those of the portable form: {names}"));
        }
        if !self.on_cpu.is_empty() {
            lines.push(format!("on the CPU, not compared: {}", self.on_cpu.join(", ")));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// The difference between a graph, or several graphs that run one after another, and their reference on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphComparison {
    /// The graph, or the graphs of a step together.
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
    /// A description, for readers, of a failure or of a difference beyond the bound.
    pub failure: Option<String>,
}

impl GraphComparison {
    /// Describes the providers, and the instruction sets for which files were chosen.
    fn places(&self) -> String {
        let instructions = self.instructions.iter().map(|instructions| format!("for {instructions}"));
        self.providers.iter().cloned().chain(instructions).collect::<Vec<_>>().join(", ")
    }

    /// Describes the reference of the comparison.
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
                let percent = 100.0 * bound;
                write!(f, "{different} of {all} codes differ from those of {reference}; at most {percent} % may differ")
            }
            (None, Some(difference)) => {
                let reference = self.reference();
                write!(
                    f,
                    "differs from {reference} by {difference:.1e} of the largest value; at most {bound:e} is allowed"
                )
            }
            (None, None) => f.write_str("no numbers"),
        }
    }
}

/// A comparison in two parts: the graphs one after another, which is done, and then on two threads at once.
pub struct Comparer<'m> {
    /// The result of the first part.
    pub alone: Comparison,
    jobs: Vec<Job<'m>>,
}

impl<'m> Comparer<'m> {
    /// Compares every graph of `model` that runs on another provider than the CPU, or in a form for the processor, with the
    /// package's own graph on the CPU. Loads all graphs that are not loaded yet, and the references.
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
        let alone =
            Comparison { compared, on_cpu: names(on_cpu), of_other_weights: names(of_other_weights), exact_products };
        Ok(Self { alone, jobs })
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

    /// Runs the graphs that are right alone once more, on two threads at once, on one of them in reverse order. Some providers
    /// end the process.
    pub fn on_two_threads(&self) -> Comparison {
        let jobs: Vec<_> = self.right().collect();
        let compare = |job: &&Job<'_>| job.compare("two threads at once, ");
        let (forwards, backwards) = std::thread::scope(|scope| {
            let beside = scope.spawn(|| jobs.iter().rev().map(compare).collect::<Vec<_>>());
            let forwards: Vec<_> = jobs.iter().map(compare).collect();
            // a panic of the other thread is resumed here
            (forwards, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let both = forwards.into_iter().zip(backwards.into_iter().rev());
        let compared = both.map(|(one, other)| if other.is_worse_than(&one) { other } else { one }).collect();
        Comparison { compared, ..self.alone.clone() }
    }
}
