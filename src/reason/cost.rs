//! The expected cost of a stage: its steps, and their seconds at the pace of the stages before it.

use serde::Serialize;

use crate::chain::Stage;
use crate::generate::{Seconds, Segment, Usage};

/// The cost of a stage, estimated before the stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// The number of takes.
    pub takes: usize,
    /// The maximum number of steps of a take.
    pub steps: usize,
    /// The steps that a take is expected to need: those of a sound as long as the layout of the plan; else the maximum.
    pub expected_steps: usize,
    /// The seconds of the expected steps of all takes, one after another, at the pace of this run's stages so far; `None`
    /// before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Steps of a kind and the time that they took.
#[derive(Clone, Copy, Default)]
struct Pace {
    steps: usize,
    seconds: f64,
}

/// The pace of the stages so far. A guided step runs two sequences, and has a pace of its own.
#[derive(Default)]
pub(super) struct Paces {
    guided: Pace,
    unguided: Pace,
}

/// Maximum number of unguided steps that take as long as a guided one.
const UNGUIDED_TO_A_GUIDED: f64 = 2.0;

impl Pace {
    fn seconds_per_step(self) -> Option<f64> {
        (self.steps > 0).then(|| self.seconds / self.steps as f64)
    }
}

impl Paces {
    /// Adds the steps and the time between two states of the usage, which ended with `segment`. The usage does not count
    /// supplied positions, but they take time.
    pub(super) fn add(&mut self, segment: &Segment, before: (Usage, Seconds), after: (Usage, Seconds)) {
        let pace = if segment.config.is_guided() { &mut self.guided } else { &mut self.unguided };
        pace.steps += after.0.steps.saturating_sub(before.0.steps) + segment.kept;
        pace.seconds += after.1.decode - before.1.decode;
    }

    /// Returns the seconds of a step; for a kind without steps so far, the upper bound by the pace of the other kind.
    pub(super) fn seconds_per_step(&self, is_guided: bool) -> Option<f64> {
        let guided = self.guided.seconds_per_step();
        let unguided = self.unguided.seconds_per_step();
        if is_guided { guided.or(Some(unguided? * UNGUIDED_TO_A_GUIDED)) } else { unguided.or(guided) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Draws, SegmentEnd};
    use crate::modality::{Modality, SegmentConfig};
    use crate::token::Tokens;

    fn stood(steps: usize, decode: f64) -> (Usage, Seconds) {
        (Usage { steps, ..Usage::default() }, Seconds { decode, ..Seconds::default() })
    }

    /// Returns a segment of no positions.
    fn segment(guidance: f32, kept: usize) -> Segment {
        let width = std::num::NonZeroUsize::MIN;
        Segment {
            modality: Modality::Text,
            end: SegmentEnd::Eos,
            tokens: Tokens::new(width),
            text: String::new(),
            audio: None,
            kept,
            config: SegmentConfig { guidance, ..SegmentConfig::default() },
            draws: Draws::default(),
            file: None,
            confidence: None,
        }
    }

    #[test]
    fn guided_steps_have_a_pace_of_their_own() {
        let mut paces = Paces::default();
        assert_eq!((paces.seconds_per_step(true), paces.seconds_per_step(false)), (None, None));
        paces.add(&segment(1.0, 4), stood(0, 0.0), stood(6, 1.0));
        assert_eq!((paces.seconds_per_step(true), paces.seconds_per_step(false)), (Some(0.2), Some(0.1)));
        paces.add(&segment(3.0, 0), stood(6, 1.0), stood(26, 4.0));
        assert_eq!((paces.seconds_per_step(true), paces.seconds_per_step(false)), (Some(0.15), Some(0.1)));
        paces.add(&segment(3.0, 0), stood(26, 4.0), stood(26, 4.0));
        assert_eq!(paces.seconds_per_step(true), Some(0.15), "a stage without steps tells nothing");
    }
}
