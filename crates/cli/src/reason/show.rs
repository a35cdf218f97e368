//! Output of a chain, as text and as JSON.

use serde::Serialize;
use ualm::internal::counted;
use ualm::{Ranked, RichCaption, SegmentEnd, Stage, StageCost};

use crate::args::Common;
use crate::output::{note, print};

/// The JSON of a chain (`--json`).
#[derive(Serialize)]
pub struct Summary {
    pub folder: String,
    pub seed: u64,
    /// The plan's parts, if it has the form of a rich caption.
    pub plan: Option<RichCaption>,
    pub segments: Vec<SegmentSummary>,
    /// The ranking of the takes, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranking: Vec<Ranked>,
}

/// A segment of the chain, or an answer of the user.
#[derive(Serialize)]
pub struct SegmentSummary {
    pub number: usize,
    pub stage: Stage,
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<SegmentEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The cost, as estimated before the stage began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<StageCost>,
}

/// Prints the estimated cost of a stage before it begins.
pub fn note_cost(common: &Common, cost: &StageCost) {
    let StageCost { stage, takes, steps, expected_steps, seconds, .. } = *cost;
    let max = counted(steps, "step");
    let steps =
        if expected_steps < steps { format!("about {expected_steps} of up to {max}") } else { format!("up to {max}") };
    let takes = if takes > 1 { format!("{takes} takes of ") } else { String::new() };
    let bound = if expected_steps < cost.steps { "about" } else { "at most about" };
    let seconds = seconds.map(|seconds| format!(", {bound} {}", rounded(seconds))).unwrap_or_default();
    note(common, &format!("{}: {takes}{steps}{seconds}", stage.name()));
}

fn rounded(seconds: f64) -> String {
    if seconds < 10.0 { format!("{:.1} s", seconds.max(0.1)) } else { format!("{seconds:.0} s") }
}

/// Streamed text, after the name of its stage.
pub struct LiveText<'a> {
    common: &'a Common,
    begun: bool,
}

impl<'a> LiveText<'a> {
    pub fn new(common: &'a Common) -> Self {
        Self { common, begun: false }
    }

    /// Prints a piece of the text.
    pub fn piece(&mut self, stage: Stage, piece: &str) -> ualm::Result<()> {
        if self.common.json {
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            print(&format!("{}: ", stage.name()))?;
        }
        print(piece)
    }

    /// Ends the text.
    pub fn end(&mut self) -> ualm::Result<()> {
        if std::mem::replace(&mut self.begun, false) { print("\n") } else { Ok(()) }
    }
}

/// Prints how a plan was parsed, and returns it.
pub fn note_plan(common: &Common, plan: &str) -> Option<RichCaption> {
    let parsed = RichCaption::parse(plan);
    match &parsed {
        Some(caption) => {
            let events = caption.layout.iter().map(|e| format!("{:.1}–{:.1} s {}", e.start, e.end, e.what));
            note(common, &format!("keywords: {}", caption.keywords.join(", ")));
            note(common, &format!("layout: {}", events.collect::<Vec<_>>().join("; ")));
        }
        None => note(common, "the plan is free text, not a rich caption; it is used as it is"),
    }
    parsed
}
