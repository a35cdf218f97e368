//! `POST /v1/audio/transcriptions`.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::form::{Field, parse};
use super::{Refusal, TextFormat};

/// The form.
#[derive(Debug)]
pub struct TranscriptionRequest {
    /// The model's name.
    pub model: String,
    /// The recording.
    pub file: Bytes,
    /// As what the text is given back.
    pub response_format: TextFormat,
    /// `true` streams the transcript.
    pub stream: bool,
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// Seed of every draw.
    pub seed: Option<u64>,
}

impl TranscriptionRequest {
    /// Reads a body whose parts `boundary` divides.
    ///
    /// # Errors
    /// No form, or a field that is not known, given twice, missing, or without meaning.
    pub fn from_form(body: Bytes, boundary: &str) -> Result<Self, Refusal> {
        let mut fields = parse(body, boundary)?;
        let mut take = |name: &str| -> Result<Option<Field>, Refusal> {
            let Some(index) = fields.iter().position(|field| field.name == name) else { return Ok(None) };
            let field = fields.remove(index);
            if fields.iter().any(|other| other.name == name) {
                Err(Refusal::invalid(name, "the field is given twice"))
            } else {
                Ok(Some(field))
            }
        };
        let request = Self {
            file: take("file")?.ok_or_else(|| missing("file"))?.content,
            model: take("model")?.ok_or_else(|| missing("model"))?.text()?.to_owned(),
            response_format: take("response_format")?.map(|field| field.named()).transpose()?.unwrap_or_default(),
            stream: take("stream")?.map(|field| field.number("true or false")).transpose()?.unwrap_or(false),
            temperature: take("temperature")?.map(|field| field.number("a number")).transpose()?,
            seed: take("seed")?.map(|field| field.number("a whole number")).transpose()?,
        };
        match fields.first() {
            Some(unknown) => Err(Refusal::unsupported(&*unknown.name)),
            None => Ok(request),
        }
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::invalid(name, "the field is missing")
}

impl Field {
    fn text(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.content).map_err(|_| Refusal::invalid(&self.name, "expected text in UTF-8"))
    }

    /// A value that is known by its name.
    fn named<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Refusal> {
        let name: StrDeserializer<ValueError> = self.text()?.into_deserializer();
        T::deserialize(name).map_err(|e| Refusal::invalid(&self.name, e.to_string()))
    }

    fn number<T: std::str::FromStr>(&self, expected: &str) -> Result<T, Refusal> {
        let text = self.text()?;
        text.parse().map_err(|_| Refusal::invalid(&self.name, format!("{text:?}; expected {expected}")))
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
    fn a_form_has_what_it_says() {
        let fields = [("model", "m"), ("file", "RIFF"), ("response_format", "verbose_json"), ("stream", "true")];
        let request = TranscriptionRequest::from_form(form(&fields), "line").unwrap();
        assert_eq!((&*request.model, &*request.file), ("m", &b"RIFF"[..]));
        assert_eq!((request.response_format, request.stream, request.seed), (TextFormat::VerboseJson, true, None));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let (file, model) = (("file", "RIFF"), ("model", "m"));
        assert_eq!(refused(&[model]).param.as_deref(), Some("file"));
        assert_eq!(refused(&[file]).param.as_deref(), Some("model"));
        assert_eq!(refused(&[file, model, ("language", "en")]), Refusal::unsupported("language"));
        let granularities = refused(&[file, model, ("timestamp_granularities[]", "word")]);
        assert_eq!(granularities.code, RefusalCode::UnsupportedField);
        assert_eq!(refused(&[file, model, ("response_format", "srt")]).param.as_deref(), Some("response_format"));
        assert_eq!(refused(&[file, model, model]).param.as_deref(), Some("model"));
        assert_eq!(refused(&[file, model, ("temperature", "warm")]).param.as_deref(), Some("temperature"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let whole = form(&[("file", "RIFF"), ("model", "m")]);
        for end in 0..whole.len() - 4 {
            let torn = TranscriptionRequest::from_form(whole.slice(..end), "line");
            assert_eq!(torn.unwrap_err().code, RefusalCode::Invalid, "{end}");
        }
        assert!(TranscriptionRequest::from_form(whole, "another").is_err());
    }
}
