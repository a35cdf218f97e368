//! Forms that an answer may have.

use serde::{Deserialize, Serialize};

use super::Refusal;

/// Formats of returned sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundFormat {
    /// 16-bit WAV.
    #[default]
    Wav,
    /// FLAC, 16 bits.
    Flac,
    /// MP3.
    Mp3,
    /// Opus in Ogg.
    Opus,
    /// 16-bit little-endian samples without a header.
    #[serde(rename = "pcm16", alias = "pcm")]
    Pcm,
}

impl SoundFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Wav, Self::Flac, Self::Mp3, Self::Opus, Self::Pcm];

    /// Returns the rates that the format knows, in hertz; none where it knows all that a request may ask for.
    pub fn rates(self) -> Option<&'static [u32]> {
        match self {
            Self::Wav | Self::Flac | Self::Pcm => None,
            Self::Mp3 => Some(&[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]),
            Self::Opus => Some(&[8_000, 12_000, 16_000, 24_000, 48_000]),
        }
    }

    /// Returns whether sound at `rate` hertz has this format.
    pub fn knows_rate(self, rate: u32) -> bool {
        self.rates().is_none_or(|rates| rates.contains(&rate))
    }

    /// Checks a rate that the field `ualm.sample_rate` asks for.
    ///
    /// # Errors
    /// The rate is out of range, or the format does not know it.
    pub fn check_rate(self, rate: Option<u32>) -> Result<(), Refusal> {
        const PARAM: &str = "ualm.sample_rate";
        match (rate, self.rates()) {
            (Some(rate), _) if !(8_000..=192_000).contains(&rate) => {
                Err(Refusal::invalid(PARAM, "expected 8000 to 192000 hertz"))
            }
            (Some(rate), Some(rates)) if !rates.contains(&rate) => {
                Err(Refusal::invalid(PARAM, format!("{rate} hertz; this format knows {rates:?}")))
            }
            _ => Ok(()),
        }
    }
}

/// The name of a voice: alone, or as the id of an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Voice {
    /// The name.
    Name(String),
    /// An object with the name.
    Object {
        /// The name.
        id: String,
    },
}

impl Voice {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { id: name } => name,
        }
    }
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
