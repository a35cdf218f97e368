//! How to generate: the settings of every modality, and limits.

use serde::{Deserialize, Serialize};

use crate::sampling::Sampling;
use crate::{Error, ErrorKind, Result};

/// What a segment of a reply is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Words.
    Text,
    /// Sound and music.
    Audio,
    /// Spoken words.
    Speech,
}

impl Modality {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Audio, Self::Speech];

    /// Its name in manifests, requests and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Audio => "audio",
            Self::Speech => "speech",
        }
    }

    /// Whether its frames are codec codes.
    pub fn is_sound(self) -> bool {
        self != Self::Text
    }
}

impl std::fmt::Display for Modality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings of the segments of one modality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SegmentConfig {
    /// Softmax temperature; 0 takes the largest logit.
    pub temperature: f32,
    /// Only the `top_k` largest logits of each stream; 0 keeps all.
    pub top_k: usize,
    /// Only the most probable ids that together reach `top_p`; 1 keeps all.
    pub top_p: f32,
    /// Scale of classifier-free guidance; 1 is none.
    pub guidance: f32,
    /// The most frames of a segment, the closing one included.
    pub max_steps: usize,
}

/// The settings published with the paper for text: greedy, without guidance.
impl Default for SegmentConfig {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 20, top_p: 1.0, guidance: 1.0, max_steps: 1024 }
    }
}

impl SegmentConfig {
    /// The part that drawing an id needs.
    pub fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p }
    }

    /// Whether the unconditional branch runs as well.
    pub fn is_guided(&self) -> bool {
        self.guidance != 1.0
    }

    fn validate(&self, modality: Modality) -> Result<()> {
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

/// How a whole reply is generated. [`Model::config`](crate::Model::config) gives the package's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Seed of every random draw.
    pub seed: u64,
    /// Settings of text segments.
    pub text: SegmentConfig,
    /// Settings of audio segments.
    pub audio: SegmentConfig,
    /// Settings of speech segments.
    pub speech: SegmentConfig,
    /// Modalities of the first segments, in order; the model chooses those of the others.
    pub force: Vec<Modality>,
    /// The most segments of a reply.
    pub max_segments: usize,
    /// Give sound out in chunks while it is being made, at some cost in speed; else at the end of its segment.
    pub stream_audio: bool,
}

impl GenerationConfig {
    /// The settings of `modality`.
    pub fn segment(&self, modality: Modality) -> &SegmentConfig {
        match modality {
            Modality::Text => &self.text,
            Modality::Audio => &self.audio,
            Modality::Speech => &self.speech,
        }
    }

    /// The settings of `modality`, to change.
    pub fn segment_mut(&mut self, modality: Modality) -> &mut SegmentConfig {
        match modality {
            Modality::Text => &mut self.text,
            Modality::Audio => &mut self.audio,
            Modality::Speech => &mut self.speech,
        }
    }

    /// Refuses settings that have no meaning.
    pub fn validate(&self) -> Result<()> {
        if self.max_segments == 0 {
            return Err(Error::new(ErrorKind::Invalid, "max_segments is 0; expected at least 1"));
        }
        Modality::ALL.iter().try_for_each(|modality| self.segment(*modality).validate(*modality))
    }
}
