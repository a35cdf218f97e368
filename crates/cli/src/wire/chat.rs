//! `POST /v1/chat/completions`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::parse;
use super::{Refusal, Settings, SoundFormat};
use crate::object::object;
use ualm::{Modality, ReasoningMode, Record, RichCaption, Role, Wording};

/// The body.
#[derive(Debug, Deserialize)]
pub struct ChatRequest {
    /// The model's name.
    pub model: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// The modalities of the reply.
    #[serde(default = "text_alone")]
    pub modalities: Vec<Modality>,
    /// The encoding of returned sound.
    pub audio: Option<AudioChoice>,
    /// `true` streams the answer.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: bool,
    /// Options of the stream.
    pub stream_options: Option<StreamOptions>,
    /// Takes.
    pub n: Option<u16>,
    /// Seed of the first take.
    pub seed: Option<u64>,
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// Only the most probable ids that together reach it.
    pub top_p: Option<f32>,
    /// The most frames of each segment.
    pub max_completion_tokens: Option<usize>,
    /// The same under its older name.
    pub max_tokens: Option<usize>,
    /// Extensions of OpenAI's interface.
    #[serde(default, deserialize_with = "or_default")]
    pub ualm: ChatExtension,
}

/// One message.
#[derive(Debug, Deserialize)]
pub struct ChatMessage {
    /// The speaker's role.
    #[serde(deserialize_with = "role")]
    pub role: Role,
    /// The content; a text alone is one part.
    #[serde(deserialize_with = "content")]
    pub content: Vec<Part>,
}

/// A part of a message: a text or a sound.
#[derive(Debug, Deserialize)]
pub struct Part {
    r#type: PartType,
    text: Option<String>,
    input_audio: Option<InputAudio>,
    modality: Option<Modality>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartType {
    Text,
    InputAudio,
}

/// A recording in a request.
#[derive(Debug, Deserialize)]
pub struct InputAudio {
    /// The file's bytes, in Base64.
    #[serde(deserialize_with = "base64")]
    data: Vec<u8>,
    /// What it is said to be; the bytes decide.
    #[serde(rename = "format")]
    _format: InputFormat,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InputFormat {
    Wav,
    Flac,
    Mp3,
    Ogg,
    M4a,
    Aiff,
    Caf,
    Mkv,
    Webm,
}

/// The kind and content of a part.
#[derive(Debug, PartialEq)]
pub enum Sound<'a> {
    /// Words.
    Text(&'a str),
    /// A recording of sound, or under the model's other name for one, of speech.
    Recording(Modality, &'a [u8]),
}

/// The encoding of returned sound.
#[derive(Debug, Deserialize)]
pub struct AudioChoice {
    /// The format.
    pub format: SoundFormat,
    /// The voice.
    pub voice: Option<String>,
}

/// Options of the stream.
#[derive(Debug, Deserialize)]
pub struct StreamOptions {
    /// `true` adds the usage at the end.
    #[serde(default)]
    pub include_usage: bool,
}

/// The field `ualm`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChatExtension {
    /// Modalities of the first segments.
    pub force: Option<Vec<Modality>>,
    /// The most segments.
    pub max_segments: Option<usize>,
    /// A chain.
    pub reasoning: Option<ChainWish>,
    /// The segment to resume at.
    pub from: Option<FromRecord>,
    /// Settings of text.
    #[serde(deserialize_with = "object")]
    pub text: Settings,
    /// `true` lets the model think before it answers in text; by default as the package says.
    pub thinking: Option<bool>,
    /// `true` returns the model's thoughts as well.
    pub show_thinking: bool,
    /// Settings of sound and speech.
    #[serde(deserialize_with = "object")]
    pub audio: Settings,
    /// `true` ranks the takes.
    pub best: bool,
    /// `true` returns the records.
    pub record: bool,
    /// `true` when WAV files contain their takes.
    pub take: Option<bool>,
    /// Rate of the sound that is given back, in hertz.
    pub sample_rate: Option<u32>,
}

/// Settings of reasoning; missing ones are the package's or the record's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ChainWish {
    /// The reasoning mode.
    pub mode: Option<ReasoningMode>,
    /// Rounds of reflection.
    pub rounds: Option<usize>,
    /// `true` lets a reflection hear its sound through the audio encoder.
    pub listen: Option<bool>,
    /// The plan, in the place of the model's.
    #[serde(deserialize_with = "plan")]
    pub plan: Option<String>,
    /// What is said to the model at each stage, in the place of the package's words.
    #[serde(deserialize_with = "prompts")]
    pub prompts: Option<Wording>,
}

/// The point to resume at.
#[derive(Debug, Deserialize)]
pub struct FromRecord {
    record: Box<RawValue>,
    /// The first segment to make, from 1.
    pub segment: usize,
}

impl ChatRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// A field that is not known, or whose value has no meaning, or fields that do not go together.
    pub fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self = parse(body)?;
        request.check_messages()?;
        request.check_sound()?;
        request.check_together()?;
        Ok(request)
    }

    /// Returns whether the reply may contain sound.
    pub fn wants_sound(&self) -> bool {
        let forced = self.ualm.force.iter().flatten();
        self.ualm.reasoning.is_some() || self.modalities.iter().chain(forced).any(|modality| modality.is_sound())
    }

    /// The most frames of each segment.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn check_messages(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() && self.ualm.from.is_none() {
            return Err(Refusal::invalid("messages", "no messages; expected at least one"));
        }
        for (index, message) in self.messages.iter().enumerate() {
            for (number, part) in message.content.iter().enumerate() {
                let place = format!("messages[{index}].content[{number}]");
                part.read().map_err(|(field, what)| Refusal::invalid(&format!("{place}.{field}"), what))?;
            }
            if message.content.is_empty() {
                let what = "no parts; expected at least one";
                return Err(Refusal::invalid(&format!("messages[{index}].content"), what));
            }
        }
        Ok(())
    }

    fn check_sound(&self) -> Result<(), Refusal> {
        use Modality::{Audio, Text};
        if !matches!(self.modalities[..], [Text] | [Audio] | [Text, Audio] | [Audio, Text]) {
            let what = "expected [\"text\"], [\"audio\"] or [\"text\", \"audio\"]";
            return Err(Refusal::invalid("modalities", what));
        }
        match (self.wants_sound(), &self.audio) {
            (true, None) => Err(Refusal::invalid("audio", "sound is to be made: say in which audio.format")),
            (false, Some(_)) => Err(Refusal::invalid("audio", "no sound is to be made: put \"audio\" into modalities")),
            _ => Ok(()),
        }
    }

    fn check_together(&self) -> Result<(), Refusal> {
        let fail = |param: &str, what: &str| Err(Refusal::invalid(param, what));
        let own = &self.ualm;
        if self.max_tokens.is_some() && self.max_completion_tokens.is_some() {
            return fail("max_tokens", "max_completion_tokens says the same: give one of them");
        }
        if self.stream_options.is_some() && !self.stream {
            return fail("stream_options", "the answer is not streamed: set stream, or leave it out");
        }
        if self.n == Some(0) {
            return fail("n", "0 takes; expected at least 1");
        }
        if own.reasoning.is_some() && (own.force.is_some() || own.max_segments.is_some()) {
            return fail("ualm.force", "a chain of reasoning has its own segments: leave force and max_segments out");
        }
        if own.from.as_ref().is_some_and(|from| from.segment == 0) {
            return fail("ualm.from.segment", "segment 0; expected 1 for the first");
        }
        if own.sample_rate.is_some_and(|rate| !(8_000..=192_000).contains(&rate)) {
            return fail("ualm.sample_rate", "expected 8000 to 192000 hertz");
        }
        Ok(())
    }
}

impl Part {
    /// Returns the content of a checked part.
    pub fn sound(&self) -> Option<Sound<'_>> {
        self.read().ok()
    }

    fn read(&self) -> Result<Sound<'_>, (&'static str, &'static str)> {
        match (self.r#type, &self.text, &self.input_audio, self.modality) {
            (PartType::Text, Some(text), None, None) => Ok(Sound::Text(text)),
            (PartType::InputAudio, None, Some(audio), modality) => match modality.unwrap_or(Modality::Audio) {
                Modality::Text | Modality::Thinking => Err(("modality", "expected \"audio\" or \"speech\"")),
                modality => Ok(Sound::Recording(modality, &audio.data)),
            },
            (PartType::Text, None, ..) => Err(("text", "missing: the part is of type \"text\"")),
            (PartType::Text, _, Some(_), _) => Err(("input_audio", "the part is of type \"text\": leave it out")),
            (PartType::Text, ..) => Err(("modality", "the part is of type \"text\": leave it out")),
            (PartType::InputAudio, Some(_), ..) => Err(("text", "the part is of type \"input_audio\": leave it out")),
            (PartType::InputAudio, ..) => Err(("input_audio", "missing: the part is of type \"input_audio\"")),
        }
    }
}

impl FromRecord {
    /// The record: an object, or a WAV file in Base64 that carries one.
    ///
    /// # Errors
    /// No record, or a damaged one.
    pub fn record(&self) -> Result<Record, Refusal> {
        const PARAM: &str = "ualm.from.record";
        let json = self.record.get();
        let read = if json.starts_with('"') {
            let text: String = serde_json::from_str(json).map_err(|e| Refusal::invalid(PARAM, e.to_string()))?;
            let wav = STANDARD.decode(text).map_err(|e| Refusal::invalid(PARAM, format!("no Base64: {e}")))?;
            Record::from_wav(&wav)
        } else {
            Record::from_json(json.as_bytes())
        };
        read.map_err(|e| Refusal::invalid(PARAM, e.full_message()))
    }
}

fn text_alone() -> Vec<Modality> {
    vec![Modality::Text]
}

/// The value, or the default where it is null.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn role<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
    let name = String::deserialize(from)?;
    Role::from_name(&name).map_err(D::Error::custom)
}

fn base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a file in Base64")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            STANDARD.decode(text).map_err(|e| E::custom(format!("no Base64: {e}")))
        }
    }
    from.deserialize_str(Text)
}

fn content<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Part>, D::Error> {
    struct Content;
    impl<'de> Visitor<'de> for Content {
        type Value = Vec<Part>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text, or a list of parts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let text = Some(text.to_owned());
            Ok(vec![Part { r#type: PartType::Text, text, input_audio: None, modality: None }])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(parts))
        }
    }
    from.deserialize_any(Content)
}

fn prompts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Wording>, D::Error> {
    let texts: Option<BTreeMap<String, String>> = Option::deserialize(from)?;
    texts.map(Wording::new).transpose().map_err(|e| D::Error::custom(e.message()))
}

fn plan<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    struct Plan;
    impl<'de> Visitor<'de> for Plan {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text, or the keywords, layout and description of a plan")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.trim() {
                "" => Err(E::custom("the plan is empty")),
                text => Ok(Some(text.to_owned())),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
            let caption = RichCaption::deserialize(MapAccessDeserializer::new(parts))?;
            Ok(Some(caption.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Plan)
}

#[cfg(test)]
mod tests;
