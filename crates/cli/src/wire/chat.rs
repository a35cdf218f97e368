//! `POST /v1/chat/completions`.

mod message;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::choice::Voice;
use super::idle::CHAT;
use super::json::{parse, whole};
use super::{Refusal, RefusalCode, Settings, SoundFormat, base64};
use crate::object::{object_or_default, optional_object, or_default};
use message::ECHOES;
pub use message::{ChatMessage, Sound};
use ualm::{Modality, ReasoningMode, Record, RichCaption, Wording};

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
    #[serde(default, deserialize_with = "optional_object")]
    pub audio: Option<AudioChoice>,
    /// `true` streams the answer.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: bool,
    /// Options of the stream.
    #[serde(default, deserialize_with = "optional_object")]
    pub stream_options: Option<StreamOptions>,
    /// Takes.
    #[serde(default, deserialize_with = "whole")]
    pub n: Option<u16>,
    /// Seed of the first take.
    #[serde(default, deserialize_with = "whole")]
    pub seed: Option<u64>,
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// Only the most probable ids that together reach it.
    pub top_p: Option<f32>,
    /// The most frames of each segment.
    #[serde(default, deserialize_with = "whole")]
    pub max_completion_tokens: Option<usize>,
    /// The same under its older name.
    #[serde(default, deserialize_with = "whole")]
    pub max_tokens: Option<usize>,
    reasoning_effort: Option<String>,
    /// Extensions of OpenAI's interface.
    #[serde(default, deserialize_with = "object_or_default")]
    pub ualm: ChatExtension,
}

/// The encoding of returned sound.
#[derive(Debug, Deserialize)]
pub struct AudioChoice {
    /// The format.
    pub format: SoundFormat,
    /// The voice.
    pub voice: Option<Voice>,
}

/// Options of the stream.
#[derive(Debug, Deserialize)]
pub struct StreamOptions {
    /// `true` adds the usage at the end.
    #[serde(default, deserialize_with = "or_default")]
    pub include_usage: bool,
    #[serde(default, deserialize_with = "or_default")]
    include_obfuscation: bool,
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
    #[serde(deserialize_with = "object_or_default")]
    pub text: Settings,
    /// `true` lets the model think before it answers in text; by default as the package says.
    pub thinking: Option<bool>,
    /// `true` returns the model's thoughts as well.
    #[serde(deserialize_with = "or_default")]
    pub show_thinking: bool,
    /// Settings of sound and speech.
    #[serde(deserialize_with = "object_or_default")]
    pub audio: Settings,
    /// `true` ranks the takes.
    #[serde(deserialize_with = "or_default")]
    pub best: bool,
    /// `true` returns the records.
    #[serde(deserialize_with = "or_default")]
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
        let mut request: Self = parse(body, CHAT, ECHOES)?;
        // an empty list forces nothing
        request.ualm.force = request.ualm.force.filter(|force| !force.is_empty());
        request.check_messages()?;
        request.check_sound()?;
        request.check_settings()?;
        request.check_together()?;
        Ok(request)
    }

    /// Returns whether the reply may contain sound.
    pub fn wants_sound(&self) -> bool {
        let forced = self.ualm.force.iter().flatten();
        self.ualm.reasoning.is_some() || self.modalities.iter().chain(forced).any(|modality| modality.is_sound())
    }

    /// Returns whether the model thinks before it answers in text, if the request says so.
    pub fn thinking(&self) -> Option<bool> {
        let effort = self.reasoning_effort.as_deref();
        // of the efforts, "none" and an empty text alone pass
        self.ualm.thinking.or(effort.filter(|effort| *effort == "none").map(|_| false))
    }

    /// The most frames of each segment.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn check_messages(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() && self.ualm.from.is_none() {
            return Err(Refusal::invalid("messages", "no messages; expected at least one"));
        }
        let mut before = None;
        for (index, message) in self.messages.iter().enumerate() {
            message.check(&format!("messages[{index}]"), before.replace(message.role))?;
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

    fn check_settings(&self) -> Result<(), Refusal> {
        if !matches!(self.reasoning_effort.as_deref(), None | Some("none" | "")) {
            let what = "the model thinks or does not: set ualm.thinking, or leave it out";
            let unsupported = Refusal::invalid("reasoning_effort", what);
            return Err(Refusal { code: RefusalCode::UnsupportedField, ..unsupported });
        }
        for (name, most) in [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)] {
            if most == Some(0) {
                return Err(Refusal::invalid(name, "0 frames; expected at least 1"));
            }
        }
        Settings { temperature: self.temperature, top_p: self.top_p, ..Settings::default() }.check("")?;
        self.ualm.text.check("ualm.text.")?;
        self.ualm.audio.check("ualm.audio.")
    }

    fn check_together(&self) -> Result<(), Refusal> {
        let fail = |param: &str, what: &str| Err(Refusal::invalid(param, what));
        let own = &self.ualm;
        if let (Some(one), Some(other)) = (self.max_tokens, self.max_completion_tokens)
            && one != other
        {
            return fail("max_tokens", "max_completion_tokens says otherwise: give one of them");
        }
        if self.stream_options.as_ref().is_some_and(|options| options.include_obfuscation) {
            return fail("stream_options.include_obfuscation", "the stream is not obfuscated: leave it out");
        }
        if self.n == Some(0) {
            return fail("n", "0 takes; expected at least 1");
        }
        if own.max_segments == Some(0) {
            return fail("ualm.max_segments", "0 segments; expected at least 1");
        }
        if own.reasoning.is_some() && (own.force.is_some() || own.max_segments.is_some()) {
            return fail("ualm.force", "a chain of reasoning has its own segments: leave force and max_segments out");
        }
        if own.from.as_ref().is_some_and(|from| from.segment == 0) {
            return fail("ualm.from.segment", "segment 0; expected 1 for the first");
        }
        self.audio.as_ref().map_or(SoundFormat::Wav, |audio| audio.format).check_rate(own.sample_rate)
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
            let wav = base64::decode(&text).map_err(|e| Refusal::invalid(PARAM, e))?;
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
