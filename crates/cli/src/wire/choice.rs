//! Formats and other choices in requests.

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::Refusal;

/// Formats of returned sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
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
    #[serde(rename = "pcm16")]
    Pcm,
}

/// The maximum sample rate of the FLAC encoder, in hertz.
const MAX_FLAC_RATE: u32 = 96_000;

impl TryFrom<String> for SoundFormat {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match &*name.to_ascii_lowercase() {
            "wav" => Ok(Self::Wav),
            "flac" => Ok(Self::Flac),
            "mp3" => Ok(Self::Mp3),
            "opus" => Ok(Self::Opus),
            "pcm" | "pcm16" => Ok(Self::Pcm),
            "aac" => Err("there is no encoder for \"aac\"; expected wav, flac, mp3, opus or pcm16".into()),
            _ => Err(format!("{name:?}; expected wav, flac, mp3, opus or pcm16")),
        }
    }
}

impl SoundFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Wav, Self::Flac, Self::Mp3, Self::Opus, Self::Pcm];

    /// Returns the sample rates that the format supports, in hertz; `None` if it supports every rate.
    pub fn rates(self) -> Option<&'static [u32]> {
        match self {
            Self::Wav | Self::Flac | Self::Pcm => None,
            Self::Mp3 => Some(&[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]),
            Self::Opus => Some(&[8_000, 12_000, 16_000, 24_000, 48_000]),
        }
    }

    /// Returns whether the format supports `rate` hertz.
    pub fn supports_rate(self, rate: u32) -> bool {
        self.rates().is_none_or(|rates| rates.contains(&rate))
    }

    /// Checks the value of `ualm.sample_rate`.
    ///
    /// # Errors
    /// The rate is out of range, or the format does not support it.
    pub fn check_rate(self, rate: Option<u32>) -> Result<(), Refusal> {
        const PARAM: &str = "ualm.sample_rate";
        match (rate, self.rates()) {
            (Some(rate), _) if !(8_000..=192_000).contains(&rate) => {
                Err(Refusal::invalid(PARAM, "expected a rate in 8000..=192000 hertz"))
            }
            (Some(rate), _) if self == Self::Flac && rate > MAX_FLAC_RATE => {
                Err(Refusal::invalid(PARAM, format!("{rate} hertz; FLAC supports up to {MAX_FLAC_RATE}")))
            }
            (Some(rate), Some(rates)) if !rates.contains(&rate) => {
                Err(Refusal::invalid(PARAM, format!("{rate} hertz; this format supports {rates:?}")))
            }
            _ => Ok(()),
        }
    }
}

/// The name of a voice, as a string or as the id of an object.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a voice's name, or an object with it as id")]
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
    /// Returns the name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { id: name } => name,
        }
    }
}

/// Deserializes a choice by its name, ignoring case; `None` from null and from an empty string.
///
/// # Errors
/// An error for any value but a string, and the errors of `T`.
pub fn choice<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    let name = Option::<String>::deserialize(from)?.map(|name| name.trim().to_ascii_lowercase());
    let read = |name: String| -> Result<T, D::Error> {
        let name: StringDeserializer<D::Error> = name.into_deserializer();
        T::deserialize(name)
    };
    name.filter(|name| !name.is_empty()).map(read).transpose()
}

/// Formats of a speech stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamFormat {
    /// Sound as the body.
    #[default]
    Audio,
    /// Server-sent events.
    Sse,
}

/// Formats of a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// An object with the text.
    #[default]
    Json,
    /// Plain text.
    Text,
    /// An object with the text, its segments and the language.
    VerboseJson,
}
