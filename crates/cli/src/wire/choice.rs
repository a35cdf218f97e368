//! Forms that an answer may have.

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

/// The highest rate that the encoder of FLAC takes, in hertz.
const MOST_FLAC_RATE: u32 = 96_000;

impl TryFrom<String> for SoundFormat {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match &*name.to_ascii_lowercase() {
            "wav" => Ok(Self::Wav),
            "flac" => Ok(Self::Flac),
            "mp3" => Ok(Self::Mp3),
            "opus" => Ok(Self::Opus),
            "pcm" | "pcm16" => Ok(Self::Pcm),
            "aac" => Err("there is no encoder for \"aac\": ask for wav, flac, mp3, opus or pcm16".into()),
            _ => Err(format!("{name:?}; expected wav, flac, mp3, opus or pcm16")),
        }
    }
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
            (Some(rate), _) if self == Self::Flac && rate > MOST_FLAC_RATE => {
                Err(Refusal::invalid(PARAM, format!("{rate} hertz; FLAC is made of at most {MOST_FLAC_RATE}")))
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
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { id: name } => name,
        }
    }
}

/// Reads a choice by its name, in small letters or large ones; none from null and from an empty text.
///
/// # Errors
/// What is no text, and what `T` refuses.
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
