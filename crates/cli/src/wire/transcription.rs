//! Requests to `/v1/audio/transcriptions` and `/v1/audio/translations`.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::form::{Field, parse};
use super::unsupported::FORM;
use super::{Refusal, Settings, TextFormat};

/// The form of a request.
#[derive(Debug)]
pub struct TranscriptionRequest {
    /// The model's name.
    pub model: String,
    /// The recording.
    pub file: Bytes,
    /// The format of the transcript.
    pub response_format: TextFormat,
    /// `true` to stream the transcript.
    pub stream: bool,
    /// The language of the recording, as a code.
    pub language: Option<String>,
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// The random seed.
    pub seed: Option<u64>,
}

impl TranscriptionRequest {
    /// Parses a form with the given boundary.
    ///
    /// # Errors
    /// A malformed form, or an unknown, duplicate, missing or invalid field.
    pub fn from_form(body: Bytes, boundary: &str) -> Result<Self, Refusal> {
        let mut fields = parse(body, boundary)?;
        fields.retain(|field| matches!(&*field.name, "file" | "model") || !field.is_absent());
        for field in &fields {
            if let Some(unsupported) = FORM.iter().find(|unsupported| unsupported.name == field.base_name()) {
                unsupported.check_text(field.text()?)?;
            }
        }
        fields.retain(|field| !FORM.iter().any(|unsupported| unsupported.name == field.base_name()));
        let mut take = |name: &str| -> Result<Option<Field>, Refusal> {
            let Some(index) = fields.iter().position(|field| field.name == name) else { return Ok(None) };
            let field = fields.remove(index);
            if fields.iter().any(|other| other.name == name) {
                Err(Refusal::invalid(name, "the field is duplicate"))
            } else {
                Ok(Some(field))
            }
        };
        let request = Self {
            file: take("file")?.ok_or_else(|| missing("file"))?.content,
            model: take("model")?.ok_or_else(|| missing("model"))?.text()?.to_owned(),
            response_format: take("response_format")?.map(|field| field.format()).transpose()?.unwrap_or_default(),
            stream: take("stream")?.map(|field| field.boolean()).transpose()?.unwrap_or(false),
            language: take("language")?.map(|field| field.text().map(str::to_owned)).transpose()?,
            temperature: take("temperature")?.map(|field| field.number("a number")).transpose()?,
            seed: take("seed")?.map(|field| field.number("a whole number")).transpose()?,
        };
        if let Some(unknown) = fields.first() {
            return Err(Refusal::unsupported(&*unknown.name));
        }
        request.settings().check("")?;
        Ok(request)
    }

    /// Returns the settings of the transcript.
    pub fn settings(&self) -> Settings {
        Settings { temperature: self.temperature, ..Settings::default() }
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::invalid(name, "the field is missing")
}

impl Field {
    fn text(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.content).map_err(|_| Refusal::invalid(&self.name, "expected text in UTF-8"))
    }

    /// Returns the name without the brackets that clients append for lists and objects.
    fn base_name(&self) -> &str {
        self.name.split_once('[').map_or(&*self.name, |(name, _)| name)
    }

    /// Returns whether the field is empty, or has JavaScript's text for a missing value.
    fn is_absent(&self) -> bool {
        matches!(self.content.trim_ascii(), b"" | b"null" | b"undefined")
    }

    fn format(&self) -> Result<TextFormat, Refusal> {
        let name = &*self.text()?.trim().to_ascii_lowercase();
        if matches!(name, "srt" | "vtt") {
            let what =
                format!("{name:?} needs times, which the model does not provide; expected json, text or verbose_json");
            return Err(Refusal::invalid(&self.name, what));
        }
        let name: StrDeserializer<ValueError> = name.into_deserializer();
        TextFormat::deserialize(name).map_err(|e| Refusal::invalid(&self.name, e.to_string()))
    }

    fn boolean(&self) -> Result<bool, Refusal> {
        match &*self.text()?.trim().to_ascii_lowercase() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(Refusal::invalid(&self.name, format!("{other:?}; expected true or false"))),
        }
    }

    fn number<T: std::str::FromStr>(&self, expected: &str) -> Result<T, Refusal> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| Refusal::invalid(&self.name, format!("{text:?}; expected {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RefusalCode;

    fn form(fields: &[(&str, &str)]) -> Bytes {
        let part = |(name, content): &(&str, &str)| {
            format!("--line\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        Bytes::from(fields.iter().map(part).collect::<String>() + "--line--\r\n")
    }

    fn refused(fields: &[(&str, &str)]) -> Refusal {
        TranscriptionRequest::from_form(form(fields), "line").unwrap_err()
    }

    #[test]
    fn fields_are_parsed() {
        let fields = [("model", "m"), ("file", "RIFF"), ("response_format", "verbose_json"), ("stream", "true")];
        let request = TranscriptionRequest::from_form(form(&fields), "line").unwrap();
        assert_eq!((&*request.model, &*request.file), ("m", &b"RIFF"[..]));
        assert_eq!((request.response_format, request.stream, request.seed), (TextFormat::VerboseJson, true, None));
    }

    #[test]
    fn errors_name_the_field() {
        let file = ("file", "RIFF");
        let model = ("model", "m");
        assert_eq!(refused(&[model]).param.as_deref(), Some("file"));
        assert_eq!(refused(&[file]).param.as_deref(), Some("model"));
        for (name, value, param) in [
            ("timestamp_granularities[]", "word", "timestamp_granularities"),
            ("include[]", "logprobs", "include"),
            ("prompt", "Digits.", "prompt"),
            ("timestamp_granularities[0]", "word", "timestamp_granularities"),
            ("chunking_strategy[type]", "server_vad", "chunking_strategy"),
            ("vad_filter", "true", "vad_filter"),
            ("anything[]", "a", "anything[]"),
        ] {
            let refusal = refused(&[file, model, (name, value)]);
            assert_eq!((refusal.code, refusal.param.as_deref()), (RefusalCode::UnsupportedField, Some(param)));
        }
        for format in ["srt", "vtt"] {
            let refusal = refused(&[file, model, ("response_format", format)]);
            assert_eq!(refusal.param.as_deref(), Some("response_format"));
            assert!(refusal.message.contains("times"), "{}", refusal.message);
        }
        assert_eq!(refused(&[file, model, ("response_format", "xml")]).param.as_deref(), Some("response_format"));
        assert_eq!(refused(&[file, model, ("stream", "perhaps")]).param.as_deref(), Some("stream"));
        assert_eq!(refused(&[file, model, model]).param.as_deref(), Some("model"));
        for temperature in ["-1", "nan", "inf"] {
            let refusal = refused(&[file, model, ("temperature", temperature)]);
            assert_eq!((refusal.code, refusal.param.as_deref()), (RefusalCode::Invalid, Some("temperature")));
        }
        assert_eq!(refused(&[file, model, ("temperature", "warm")]).param.as_deref(), Some("temperature"));
    }

    #[test]
    fn neutral_values_are_accepted() {
        let mut fields =
            vec![("model", "m"), ("file", "RIFF"), ("language", "en"), ("stream", "False"), ("temperature", "null")];
        fields.extend([
            ("prompt", ""),
            ("prompt", " "),
            ("seed", "undefined"),
            ("response_format", ""),
            ("user", "me"),
        ]);
        fields.extend([("timestamp_granularities[]", "segment"), ("include[]", ""), ("chunking_strategy", "auto")]);
        fields.extend([("metadata[a]", "b"), ("timestamp_granularities[0]", "segment"), ("vad_filter", "false")]);
        let request = TranscriptionRequest::from_form(form(&fields), "line").unwrap();
        assert_eq!((request.language.as_deref(), request.stream, request.temperature), (Some("en"), false, None));
        assert_eq!((request.seed, request.response_format), (None, TextFormat::Json));
        let spaced =
            [("model", "m"), ("file", "RIFF"), ("response_format", "Text "), ("stream", " TRUE"), ("seed", " 7\r\n")];
        let request = TranscriptionRequest::from_form(form(&spaced), "line").unwrap();
        assert_eq!((request.response_format, request.stream, request.seed), (TextFormat::Text, true, Some(7)));
    }

    #[test]
    fn malformed_forms_are_refused() {
        let whole = form(&[("file", "RIFF"), ("model", "m")]);
        for end in 0..whole.len() - 4 {
            let torn = TranscriptionRequest::from_form(whole.slice(..end), "line");
            assert_eq!(torn.unwrap_err().code, RefusalCode::Invalid, "{end}");
        }
        assert!(TranscriptionRequest::from_form(whole, "another").is_err());
    }
}
