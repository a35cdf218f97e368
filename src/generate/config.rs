//! The settings of a generation.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Limits, at_most};
use crate::modality::{Modality, SegmentConfig};

/// The settings of a reply. [`Model::config`](crate::Model::config) returns the package's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GenerationConfig {
    /// Seed of every random draw.
    pub seed: u64,
    /// Settings of text segments.
    pub text: SegmentConfig,
    /// Settings of audio segments.
    pub audio: SegmentConfig,
    /// Settings of speech segments.
    pub speech: SegmentConfig,
    /// Modalities of the first segments, in order; the model chooses those of later segments.
    pub force: Vec<Modality>,
    /// The maximum number of segments of a reply.
    pub max_segments: usize,
    /// `true` continues with the next modality of `force` even if the model ends its turn, or a segment reaches its limit.
    pub insist: bool,
    /// `true` decodes sound in short chunks from the beginning, so that it can be played during generation, at some cost in
    /// speed.
    pub stream_audio: bool,
    /// `true` lets the model think before it answers in text, if it was trained to and the messages hold no sound. The prompt
    /// must be laid out for it ([`opens_with`](Self::opens_with)); thoughts and answer share the steps of `text`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinking: bool,
}

impl GenerationConfig {
    /// Returns the settings of `modality`.
    pub fn segment(&self, modality: Modality) -> &SegmentConfig {
        match modality {
            Modality::Text | Modality::Thinking => &self.text,
            Modality::Audio => &self.audio,
            Modality::Speech => &self.speech,
        }
    }

    /// Returns the mutable settings of `modality`.
    pub fn segment_mut(&mut self, modality: Modality) -> &mut SegmentConfig {
        match modality {
            Modality::Text | Modality::Thinking => &mut self.text,
            Modality::Audio => &mut self.audio,
            Modality::Speech => &mut self.speech,
        }
    }

    /// Returns the settings for a reply of one segment of `modality`.
    #[must_use]
    pub fn only(self, modality: Modality) -> Self {
        Self { force: vec![modality], max_segments: 1, ..self }
    }

    /// Sets the seed of every random draw.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the modalities of the first segments.
    #[must_use]
    pub fn force(self, force: impl IntoIterator<Item = Modality>) -> Self {
        Self { force: force.into_iter().collect(), ..self }
    }

    /// Sets the maximum number of segments of the reply.
    #[must_use]
    pub fn max_segments(self, max_segments: usize) -> Self {
        Self { max_segments, ..self }
    }

    /// Sets whether the reply continues with the modalities of `force` when the model ends its turn before them.
    #[must_use]
    pub fn insist(self, insist: bool) -> Self {
        Self { insist, ..self }
    }

    /// Sets whether sound is decoded in short chunks, to be played during generation.
    #[must_use]
    pub fn stream_audio(self, stream_audio: bool) -> Self {
        Self { stream_audio, ..self }
    }

    /// Sets whether the model thinks before it answers in text.
    #[must_use]
    pub fn thinking(self, thinking: bool) -> Self {
        Self { thinking, ..self }
    }

    /// Returns the modality for which the prompt of a reply must be laid out
    /// ([`Session::prompt_for`](crate::Session::prompt_for)): the first forced modality, else text; thinking instead of
    /// text, if the model is to think.
    pub fn opens_with(&self) -> Modality {
        match self.force.first().copied().unwrap_or(Modality::Text) {
            Modality::Text if self.thinking => Modality::Thinking,
            modality => modality,
        }
    }

    /// Returns these settings for a reply that begins with a segment of thoughts.
    pub(super) fn after_thoughts(mut self) -> Self {
        if self.force.first() != Some(&Modality::Thinking) {
            self.force.insert(0, Modality::Thinking);
            self.max_segments = self.max_segments.saturating_add(1);
        }
        self
    }

    /// Checks the number of segments and steps against `limits`.
    pub(crate) fn check_limits(&self, limits: &Limits) -> Result<()> {
        at_most("segments", self.max_segments, limits.segments)?;
        Modality::ALL.into_iter().try_for_each(|modality| {
            let steps = self.segment(modality).max_steps;
            at_most("steps", steps, limits.steps).map_err(|e| e.context(modality))
        })
    }

    /// Checks that every setting is in its range.
    pub fn validate(&self) -> Result<()> {
        if self.max_segments == 0 {
            return Err(Error::new(ErrorKind::Invalid, "max_segments is 0; expected at least 1"));
        }
        Modality::ALL.iter().try_for_each(|modality| self.segment(*modality).validate(*modality))
    }
}
