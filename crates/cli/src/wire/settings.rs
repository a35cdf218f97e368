//! Settings of a modality in a request.

use serde::Deserialize;

use super::Refusal;
use ualm::SegmentConfig;

/// Generation settings; the package has the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// The number of most likely tokens to sample from, for each stream.
    pub top_k: Option<usize>,
    /// The cumulative probability for nucleus sampling.
    pub top_p: Option<f32>,
    /// Scale of classifier-free guidance.
    pub guidance: Option<f32>,
    /// The maximum number of steps of a segment.
    pub max_steps: Option<usize>,
    /// The minimum number of steps before the model may end.
    pub min_steps: Option<usize>,
}

impl Settings {
    /// Checks the values; `prefix` is the path of the settings, as in `ualm.text.`.
    ///
    /// # Errors
    /// A refusal of the first invalid value.
    pub fn check(&self, prefix: &str) -> Result<(), Refusal> {
        let refuse = |name: &str, what: String| Err(Refusal::invalid(&format!("{prefix}{name}"), what));
        if let Some(wrong) = self.temperature.filter(|value| !(value.is_finite() && *value >= 0.0)) {
            return refuse("temperature", format!("{wrong}; expected a number of at least 0"));
        }
        if let Some(wrong) = self.top_p.filter(|value| !(*value > 0.0 && *value <= 1.0)) {
            return refuse("top_p", format!("{wrong}; expected a number above 0 and at most 1"));
        }
        if let Some(wrong) = self.guidance.filter(|value| !value.is_finite()) {
            return refuse("guidance", format!("{wrong}; expected a finite number"));
        }
        if self.max_steps == Some(0) {
            return refuse("max_steps", "0; expected at least 1".into());
        }
        Ok(())
    }

    /// Overrides the settings of `config`.
    pub fn apply(&self, config: &mut SegmentConfig) {
        config.temperature = self.temperature.unwrap_or(config.temperature);
        config.top_k = self.top_k.unwrap_or(config.top_k);
        config.top_p = self.top_p.unwrap_or(config.top_p);
        config.guidance = self.guidance.unwrap_or(config.guidance);
        config.max_steps = self.max_steps.unwrap_or(config.max_steps);
        config.min_steps = self.min_steps.unwrap_or(config.min_steps);
    }

    /// Fills missing settings from `others`.
    pub fn or(self, others: Self) -> Self {
        Self {
            temperature: self.temperature.or(others.temperature),
            top_k: self.top_k.or(others.top_k),
            top_p: self.top_p.or(others.top_p),
            guidance: self.guidance.or(others.guidance),
            max_steps: self.max_steps.or(others.max_steps),
            min_steps: self.min_steps.or(others.min_steps),
        }
    }
}
