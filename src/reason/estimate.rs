//! The estimate of a stage's cost before it begins.

use super::caption::RichCaption;
use super::cost::StageCost;
use super::runner::ChainRunner;
use crate::modality::Modality;
use crate::model::Model;

impl ChainRunner<'_> {
    /// Returns the cost of the next stage; `None` if the model does not generate in it.
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
