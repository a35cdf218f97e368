//! The cost of a stage before it begins: its steps, and the seconds that they take at the pace of the stages before it.

use serde::Serialize;

use super::caption::RichCaption;
use super::runner::ChainRunner;
use crate::chain::Stage;
use crate::generate::{Seconds, Segment, Usage};
use crate::modality::Modality;
use crate::model::Model;

/// The cost of a stage, as it is known before the stage begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// The number of takes.
    pub takes: usize,
    /// The most steps of a take.
    pub steps: usize,
    /// The steps that a take is expected to need: those of a sound as long as the layout of the plan; else the most.
    pub expected_steps: usize,
    /// The seconds that the expected steps of all takes need one after another, at the pace of the stages that this run
    /// has made; `None` before the first.
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

/// Unguided steps that take as long as a guided one, at the most.
const UNGUIDED_TO_A_GUIDED: f64 = 2.0;

impl Pace {
    fn seconds_per_step(self) -> Option<f64> {
        (self.steps > 0).then(|| self.seconds / self.steps as f64)
    }
}

impl Paces {
    /// Adds what was made between two states of the usage, which ended with `segment`. The usage does not count positions
    /// that were given, but they take their time.
    pub(super) fn add(&mut self, segment: &Segment, before: (Usage, Seconds), after: (Usage, Seconds)) {
        let pace = if segment.config.is_guided() { &mut self.guided } else { &mut self.unguided };
        pace.steps += after.0.steps.saturating_sub(before.0.steps) + segment.kept;
        pace.seconds += after.1.decode - before.1.decode;
    }

    /// Returns the seconds of a step; for a kind of step that was not made yet, the most that it can take by the pace of
    /// the other kind.
    fn seconds_per_step(&self, is_guided: bool) -> Option<f64> {
        let (guided, unguided) = (self.guided.seconds_per_step(), self.unguided.seconds_per_step());
        if is_guided { guided.or(Some(unguided? * UNGUIDED_TO_A_GUIDED)) } else { unguided.or(guided) }
    }
}

impl ChainRunner<'_> {
    /// Returns the cost of the next stage; `None` where none of its steps is the model's.
    pub fn cost(&self) -> Option<StageCost> {
        let stage = self.stage()?;
        let modality = stage.modality()?;
        let config = *self.config_of(stage).segment(modality);
        let takes = self.takes_of(stage);
        let (steps, expected_steps) = match self.given(stage) {
            Some(text) => self.model().text_tokens(text).map(|tokens| (tokens.len() + 1, tokens.len() + 1)).ok()?,
            None => (config.max_steps, self.steps_of_layout(modality).unwrap_or(usize::MAX).min(config.max_steps)),
        };
        let pace = self.paces.seconds_per_step(config.is_guided());
        let seconds = pace.map(|pace| pace * expected_steps as f64 * takes as f64);
        Some(StageCost { stage, takes, steps, expected_steps, seconds })
    }

    /// Returns the steps of a sound of `modality` as long as the layout of the plan, with its end.
    fn steps_of_layout(&self, modality: Modality) -> Option<usize> {
        let seconds = RichCaption::parse(self.plan()?)?.seconds().filter(|seconds| *seconds > 0.0)?;
        steps_for(self.model(), modality, seconds)
    }
}

/// Returns the steps of `seconds` of sound of `modality`, with the end.
fn steps_for(model: &Model, modality: Modality, seconds: f64) -> Option<usize> {
    let (_, codec) = model.sounds().find(|(sound, _)| *sound == modality)?;
    let frames = (seconds * codec.frames_per_second()).ceil() as usize;
    Some(model.layout(modality).ok()?.steps_for(frames).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Draws, SegmentEnd};
    use crate::modality::SegmentConfig;
    use crate::token::Tokens;

    fn stood(steps: usize, decode: f64) -> (Usage, Seconds) {
        (Usage { steps, ..Usage::default() }, Seconds { decode, ..Seconds::default() })
    }

    /// A segment without a position of its own.
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
