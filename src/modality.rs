//! Modalities of segments, and their settings.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::sampling::Sampling;

/// The modality of a segment: its kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Modality {
    /// Words.
    Text,
    /// Sound and music.
    Audio,
    /// Spoken words.
    Speech,
    /// Thoughts before an answer in text, with the settings of text.
    Thinking,
}

impl Modality {
    /// All modalities.
    pub const ALL: [Self; 4] = [Self::Text, Self::Audio, Self::Speech, Self::Thinking];

    /// Returns the modality's name in manifests, requests and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Audio => "audio",
            Self::Speech => "speech",
            Self::Thinking => "thinking",
        }
    }

    /// Returns whether segments of this modality hold codec codes.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Audio | Self::Speech)
    }
}

impl std::fmt::Display for Modality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings of the segments of one modality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct SegmentConfig {
    /// Softmax temperature; 0 takes the largest logit.
    pub temperature: f32,
    /// Number of largest logits to keep in each column; 0 keeps all.
    pub top_k: usize,
    /// Nucleus sampling: the most probable ids are kept until the sum of their probabilities reaches this value; 1 keeps all.
    pub top_p: f32,
    /// Scale of classifier-free guidance; 1 turns guidance off.
    pub guidance: f32,
    /// The maximum number of positions of a segment, its end included.
    pub max_steps: usize,
    /// The minimum number of positions before the model may end a segment, or let its sound run out; 0 sets no minimum.
    pub min_steps: usize,
}

/// The settings published with the paper for text: greedy, without guidance.
impl Default for SegmentConfig {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 20, top_p: 1.0, guidance: 1.0, max_steps: 1024, min_steps: 0 }
    }
}

impl SegmentConfig {
    /// Sets the softmax temperature; 0 takes the largest logit.
    #[must_use]
    pub fn temperature(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// Sets the number of largest logits to keep; 0 keeps all.
    #[must_use]
    pub fn top_k(self, top_k: usize) -> Self {
        Self { top_k, ..self }
    }

    /// Sets the sum of probabilities up to which the most probable ids are kept; 1 keeps all.
    #[must_use]
    pub fn top_p(self, top_p: f32) -> Self {
        Self { top_p, ..self }
    }

    /// Sets the scale of classifier-free guidance; 1 turns guidance off.
    #[must_use]
    pub fn guidance(self, guidance: f32) -> Self {
        Self { guidance, ..self }
    }

    /// Sets the maximum number of positions of a segment, its end included.
    #[must_use]
    pub fn max_steps(self, max_steps: usize) -> Self {
        Self { max_steps, ..self }
    }

    /// Sets the minimum number of positions before the model may end a segment.
    #[must_use]
    pub fn min_steps(self, min_steps: usize) -> Self {
        Self { min_steps, ..self }
    }

    /// Returns the sampling parameters.
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p }
    }

    /// Returns whether the unconditional sequence of guidance runs as well.
    pub fn is_guided(&self) -> bool {
        self.guidance != 1.0
    }

    /// Checks that every setting is in its range; an error names `modality`.
    pub fn validate(&self, modality: Modality) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Invalid, format!("{modality}: {what}")));
        if !self.guidance.is_finite() {
            return fail(format!("guidance is {}; expected a number", self.guidance));
        }
        if self.max_steps == 0 {
            return fail("max_steps is 0; expected at least 1".into());
        }
        self.sampling().validate().map_err(|e| e.context(modality))
    }
}
