//! Requests to `/v1/audio/speech`.

use serde::Deserialize;

use super::choice::choice;
use super::json::parse;
use super::unsupported::SPEECH;
use super::{Refusal, Settings, SoundFormat, StreamFormat, Voice};
use crate::object::optional_object;
use ualm::Modality;

/// The body of a speech request.
#[derive(Debug, Deserialize)]
pub struct SpeechRequest {
    /// The model's name.
    pub model: String,
    /// The text to speak, or the description of a sound.
    pub input: String,
    /// The voice.
    pub voice: Option<Voice>,
    /// The format of the sound.
    #[serde(default, deserialize_with = "choice")]
    pub response_format: Option<SoundFormat>,
    /// The stream format.
    #[serde(default, deserialize_with = "choice")]
    pub stream_format: Option<StreamFormat>,
    /// Extensions to OpenAI's API.
    #[serde(default, deserialize_with = "optional_object")]
    pub ualm: Option<SpeechExtension>,
}

/// The field `ualm` of a speech request.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SpeechExtension {
    /// `Speech` to speak the input, `Audio` to generate the sound that it describes.
    pub modality: Option<Modality>,
    /// The random seed.
    pub seed: Option<u64>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    guidance: Option<f32>,
    max_steps: Option<usize>,
    min_steps: Option<usize>,
    /// `true` to store the record in a WAV file.
    pub take: Option<bool>,
    /// The sample rate of the returned sound, in hertz.
    pub sample_rate: Option<u32>,
}

impl SpeechRequest {
    /// Parses a body.
    ///
    /// # Errors
    /// An unknown field, or an invalid value.
    pub fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self = parse(body, SPEECH, &[])?;
        if request.input.trim().is_empty() {
            return Err(Refusal::invalid("input", "the text is empty; expected at least one word"));
        }
        let own = request.ualm.unwrap_or_default();
        if !matches!(own.modality, None | Some(Modality::Speech | Modality::Audio)) {
            return Err(Refusal::invalid("ualm.modality", "expected \"speech\" or \"audio\""));
        }
        own.settings().check("ualm.")?;
        request.response_format.unwrap_or_default().check_rate(own.sample_rate)?;
        Ok(request)
    }
}

impl SpeechExtension {
    /// Returns the settings of the sound.
    pub fn settings(&self) -> Settings {
        Settings {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            guidance: self.guidance,
            max_steps: self.max_steps,
            min_steps: self.min_steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_parsed() {
        let body = br#"{"model": "m", "input": "rain", "response_format": "pcm", "stream_format": "sse",
            "ualm": {"modality": "audio", "seed": 3, "top_k": 5}}"#;
        let request = SpeechRequest::from_json(body).unwrap();
        let own = request.ualm.unwrap();
        assert_eq!((request.response_format, request.stream_format), (Some(SoundFormat::Pcm), Some(StreamFormat::Sse)));
        assert_eq!((own.modality, own.seed, own.settings().top_k), (Some(Modality::Audio), Some(3), Some(5)));
    }

    #[test]
    fn neutral_values_are_accepted() {
        for rest in [
            r#""speed": 1.0, "instructions": "", "response_format": null, "voice": null, "ualm": null, "stream_format": null"#,
            r#""response_format": "", "stream_format": "", "voice": "", "language": "", "store": false, "n": 1"#,
            r#""response_format": "MP3", "stream_format": "SSE""#,
            r#""speed": 1, "instructions": "None", "user": "me", "stream": false, "metadata": {}"#,
            r#""speed": null, "voice": {"id": "default"}, "ualm": {"modality": null, "seed": null, "take": null}"#,
        ] {
            SpeechRequest::from_json(format!(r#"{{"model": "m", "input": "a", {rest}}}"#).as_bytes()).unwrap();
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (body, param) in [
            (r#"{"model": "m", "input": "a", "speed": 2}"#, "speed"),
            (r#"{"model": "m", "input": "a", "instructions": "softly"}"#, "instructions"),
            (r#"{"model": "m", "input": "a", "response_format": "aac"}"#, "response_format"),
            (
                r#"{"model": "m", "input": "a", "response_format": "mp3", "ualm": {"sample_rate": 96000}}"#,
                "ualm.sample_rate",
            ),
            (
                r#"{"model": "m", "input": "a", "response_format": "flac", "ualm": {"sample_rate": 192000}}"#,
                "ualm.sample_rate",
            ),
            (r#"{"model": "m"}"#, "input"),
            (r#"{"input": "a"}"#, "model"),
            (r#"{"model": "m", "input": "a", "input": "b"}"#, "input"),
            (r#"{"model": "m", "input": "a", "voice": {"name": "b"}}"#, "voice"),
            (r#"{"model": "m", "input": "a", "ualm": ["audio"]}"#, "ualm"),
            (r#"{"model": "m", "input": "a", "ualm": {"temperature": -1}}"#, "ualm.temperature"),
            (r#"{"model": "m", "input": "a", "ualm": {"top_p": 0}}"#, "ualm.top_p"),
            (r#"{"model": "m", "input": "a", "ualm": {"max_steps": 0}}"#, "ualm.max_steps"),
            (r#"{"model": "m", "input": "a", "stream": true}"#, "stream"),
            (r#"{"model": "m", "input": " "}"#, "input"),
            (r#"{"model": "m", "input": "a", "ualm": {"modality": "text"}}"#, "ualm.modality"),
            (r#"{"model": "m", "input": "a", "ualm": {"modality": "thinking"}}"#, "ualm.modality"),
            (r#"{"model": "m", "input": "a", "ualm": {"pitch": 1}}"#, "ualm.pitch"),
            (r#"{"model": "m", "input": "a", "ualm": {"sample_rate": 1}}"#, "ualm.sample_rate"),
        ] {
            assert_eq!(SpeechRequest::from_json(body.as_bytes()).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }
}
