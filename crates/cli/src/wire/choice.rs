//! Forms that an answer may have.

use serde::{Deserialize, Serialize};

/// Formats of returned sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundFormat {
    /// 16-bit WAV.
    #[default]
    Wav,
    /// FLAC, 16 bits.
    Flac,
    /// 16-bit little-endian samples without a header.
    #[serde(rename = "pcm16", alias = "pcm")]
    Pcm,
}

impl SoundFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wav, Self::Flac, Self::Pcm];
}

/// Formats of a speech stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamFormat {
    /// As the body.
    #[default]
    Audio,
    /// As server-sent events.
    Sse,
}

/// Formats of a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// An object with the text.
    #[default]
    Json,
    /// The text alone.
    Text,
    /// An object with all there is.
    VerboseJson,
}
