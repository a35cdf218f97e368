//! Requests to `/v1/chat/completions`.

mod message;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::choice::Voice;
use super::json::{parse, whole};
use super::unsupported::CHAT;
use super::{Refusal, RefusalCode, Settings, SoundFormat, base64};
use crate::object::{object_or_default, optional_object, or_default};
use message::ECHOES;
pub use message::{ChatMessage, Sound};
use ualm::{Modality, ReasoningMode, Record, RichCaption, Wording};

/// The body of a chat request.
#[derive(Debug, Deserialize)]
pub struct ChatRequest {
    /// The model's name.
    pub model: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// The modalities of the reply.
    #[serde(default = "text_only")]
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
    /// The number of takes.
    #[serde(default, deserialize_with = "whole")]
    pub n: Option<u16>,
    /// Seed of the first take.
    #[serde(default, deserialize_with = "whole")]
    pub seed: Option<u64>,
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// The cumulative probability for nucleus sampling.
    pub top_p: Option<f32>,
    /// The limit on the steps of each segment.
    #[serde(default, deserialize_with = "whole")]
    pub max_completion_tokens: Option<usize>,
    /// The older name of `max_completion_tokens`.
    #[serde(default, deserialize_with = "whole")]
    pub max_tokens: Option<usize>,
    reasoning_effort: Option<String>,
    /// Extensions to OpenAI's API.
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
    /// `true` to add the usage at the end.
    #[serde(default, deserialize_with = "or_default")]
    pub include_usage: bool,
    #[serde(default, deserialize_with = "or_default")]
    include_obfuscation: bool,
}

/// The field `ualm` of a chat request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChatExtension {
    /// The modalities of the first segments.
    pub force: Option<Vec<Modality>>,
    /// The limit on segments.
    pub max_segments: Option<usize>,
    /// A chain of reasoning.
    pub reasoning: Option<ChainSettings>,
    /// The segment to resume at.
    pub from: Option<FromRecord>,
    /// Settings of text.
    #[serde(deserialize_with = "object_or_default")]
    pub text: Settings,
    /// Enables or disables thinking before a text answer; by default the package decides.
    pub thinking: Option<bool>,
    /// `true` to return the model's thoughts as well.
    #[serde(deserialize_with = "or_default")]
    pub show_thinking: bool,
    /// Settings of sound and speech.
    #[serde(deserialize_with = "object_or_default")]
    pub audio: Settings,
    /// `true` to rank the takes.
    #[serde(deserialize_with = "or_default")]
    pub best: bool,
    /// `true` to return the records.
    #[serde(deserialize_with = "or_default")]
    pub record: bool,
    /// `true` to store the record in WAV files.
    pub take: Option<bool>,
    /// The sample rate of returned sound, in hertz.
    pub sample_rate: Option<u32>,
}

/// Settings of a chain; the package or the record has the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ChainSettings {
    /// The reasoning mode.
    pub mode: Option<ReasoningMode>,
    /// Rounds of reflection.
    pub rounds: Option<usize>,
    /// `true` to let the model hear its drafts through the audio encoder.
    pub listen: Option<bool>,
    /// A plan to use instead of the model's.
    #[serde(deserialize_with = "plan")]
    pub plan: Option<String>,
    /// Instructions for the stages, in place of the package's own.
    #[serde(deserialize_with = "prompts")]
    pub prompts: Option<Wording>,
}

/// The point to resume at.
#[derive(Debug, Deserialize)]
pub struct FromRecord {
    record: Box<RawValue>,
    /// The first segment to generate, from 1.
    pub segment: usize,
}

impl ChatRequest {
    /// Parses a body.
    ///
    /// # Errors
    /// An unknown field, an invalid value, or fields that contradict each other.
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

    /// Returns the requested setting of thinking.
    pub fn thinking(&self) -> Option<bool> {
        let effort = self.reasoning_effort.as_deref();
        // `check_settings` has refused all other efforts
        self.ualm.thinking.or(effort.filter(|effort| *effort == "none").map(|_| false))
    }

    /// Returns the limit on the steps of each segment.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn check_messages(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() && self.ualm.from.is_none() {
            return Err(Refusal::invalid("messages", "the list is empty; expected at least one message"));
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
            (true, None) => Err(Refusal::invalid("audio", "the reply may have sound: set audio.format")),
            (false, Some(_)) => Err(Refusal::invalid("audio", "the reply has no sound: add \"audio\" to modalities")),
            _ => Ok(()),
        }
    }

    fn check_settings(&self) -> Result<(), Refusal> {
        if !matches!(self.reasoning_effort.as_deref(), None | Some("none" | "")) {
            let what = "efforts are not supported: set ualm.thinking to true or false, or leave it out";
            let unsupported = Refusal::invalid("reasoning_effort", what);
            return Err(Refusal { code: RefusalCode::UnsupportedField, ..unsupported });
        }
        for (name, max) in [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)] {
            if max == Some(0) {
                return Err(Refusal::invalid(name, "0 tokens; expected at least 1"));
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
            return fail("max_tokens", "max_completion_tokens has another value: send one of the two");
        }
        if self.stream_options.as_ref().is_some_and(|options| options.include_obfuscation) {
            return fail("stream_options.include_obfuscation", "obfuscation is not supported: leave it out");
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
            return fail("ualm.from.segment", "segment 0; segments are counted from 1");
        }
        self.audio.as_ref().map_or(SoundFormat::Wav, |audio| audio.format).check_rate(own.sample_rate)
    }
}

impl FromRecord {
    /// Reads the record: an object, or a WAV file in Base64 with a record.
    ///
    /// # Errors
    /// A missing or damaged record.
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

fn text_only() -> Vec<Modality> {
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
