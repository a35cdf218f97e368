//! Fields of OpenAI's interface that this server has no use for. Clients send many of them with values that ask for
//! nothing; these pass, and others are refused in the field's name.

use serde_json::Value;

use super::{Refusal, RefusalCode};

/// A field that may be there as long as it asks for nothing.
pub struct Idle {
    /// The field's name.
    pub name: &'static str,
    /// Returns whether a value asks for nothing.
    passes: fn(&Value) -> bool,
    /// The reason why other values are refused, and what to do instead.
    why: &'static str,
}

impl Idle {
    /// A field whose values for which `passes` holds ask for nothing; `why` others are refused.
    pub const fn new(name: &'static str, passes: fn(&Value) -> bool, why: &'static str) -> Self {
        Self { name, passes, why }
    }

    /// Checks the value of the field, written as JSON.
    ///
    /// # Errors
    /// The value asks for something.
    pub fn check(&self, json: &str) -> Result<(), Refusal> {
        match serde_json::from_str(json) {
            Ok(value) if (self.passes)(&value) => Ok(()),
            _ => Err(self.refusal()),
        }
    }

    /// Checks a field of a form, whose values are texts. Those that are no JSON are strings.
    ///
    /// # Errors
    /// The value asks for something.
    pub fn check_text(&self, text: &str) -> Result<(), Refusal> {
        let value = serde_json::from_str(&text.to_ascii_lowercase()).unwrap_or_else(|_| Value::from(text));
        if (self.passes)(&value) { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> Refusal {
        let message = format!("the field {:?} is not supported with this value: {}", self.name, self.why);
        Refusal { code: RefusalCode::UnsupportedField, param: Some(self.name.to_owned()), message }
    }
}

/// Fields of a chat.
pub const CHAT: &[Idle] = &[
    Idle::new("tools", is_empty, "the model calls no tools: leave it out"),
    Idle::new("functions", is_empty, "the model calls no functions: leave it out"),
    Idle::new("tool_choice", is_free_choice, "the model calls no tools: leave it out"),
    Idle::new("function_call", is_free_choice, "the model calls no functions: leave it out"),
    Idle::new("parallel_tool_calls", Value::is_boolean, "expected true or false"),
    Idle::new("stop", is_empty, "the model ends by itself: leave it out"),
    Idle::new("response_format", is_plain_text, "only {\"type\": \"text\"} can be made: leave it out"),
    Idle::new("best_of", is_number::<1>, "set n, and ualm.best to have the takes ranked"),
    Idle::new("suffix", is_empty, "nothing is put between texts: leave it out"),
    Idle::new("echo", is_false, "the question is not given back: leave it out"),
    Idle::new("frequency_penalty", is_number::<0>, "repetition is not penalized: leave it out"),
    Idle::new("presence_penalty", is_number::<0>, "repetition is not penalized: leave it out"),
    Idle::new("repetition_penalty", is_number::<1>, "repetition is not penalized: leave it out"),
    Idle::new("repeat_penalty", is_number::<1>, "repetition is not penalized: leave it out"),
    Idle::new("length_penalty", is_number::<1>, "length is not penalized: leave it out"),
    Idle::new("typical_p", is_number::<1>, "leave it out; ualm.text has the settings that there are"),
    Idle::new("top_k", never, "set ualm.text.top_k, or ualm.audio.top_k for sound"),
    Idle::new("min_tokens", is_number::<0>, "set ualm.text.min_steps, or leave it out"),
    Idle::new("ignore_eos", is_false, "set ualm.text.min_steps, or leave it out"),
    Idle::new("use_beam_search", is_false, "there is no search over beams: leave it out"),
    Idle::new("chat_template_kwargs", is_empty, "the package has its own form of prompts: leave it out"),
    Idle::new("min_p", is_number::<0>, "leave it out; ualm.text has the settings that there are"),
    Idle::new("logit_bias", is_empty, "logits are not changed: leave it out"),
    Idle::new("logprobs", is_false, "probabilities are not told: leave it out"),
    Idle::new("top_logprobs", is_number::<0>, "probabilities are not told: leave it out"),
    Idle::new("store", is_false, "nothing is kept on the server: leave it out"),
    Idle::new("service_tier", is_usual, "there is one tier: leave it out"),
    Idle::new("verbosity", is_medium, "the model has no such setting: leave it out"),
    Idle::new("prediction", is_empty, "predictions are not used: leave it out"),
    Idle::new("web_search_options", never, "nothing is searched: leave it out"),
    Idle::new("moderation", is_empty, "nothing is moderated: leave it out"),
    Idle::new("extra_body", is_empty, "its fields belong into the body itself"),
    Idle::new("extra_headers", is_empty, "headers do not belong into the body"),
    Idle::new("user", always, ""),
    Idle::new("metadata", always, ""),
    Idle::new("safety_identifier", always, ""),
    Idle::new("prompt_cache_key", always, ""),
    Idle::new("prompt_cache_retention", always, ""),
    Idle::new("prompt_cache_options", always, ""),
];

/// Fields of a request for speech.
pub const SPEECH: &[Idle] = &[
    Idle::new("speed", is_number::<1>, "the model has one speed: leave it out"),
    // Home Assistant writes `None` where nothing was said
    Idle::new("instructions", is_unsaid, "the model takes no instructions beside the words: leave it out"),
    Idle::new("n", is_number::<1>, "one sound is made for each request: leave it out"),
    Idle::new("language", is_empty, "the words are said as the model says them: leave it out"),
    Idle::new("store", is_false, "nothing is kept on the server: leave it out"),
    Idle::new("extra_body", is_empty, "its fields belong into the body itself"),
    Idle::new("stream", is_false, "set stream_format, or leave it out: pcm comes as it is made"),
    Idle::new("user", always, ""),
    Idle::new("metadata", always, ""),
];

/// Fields of a form with a recording.
pub const FORM: &[Idle] = &[
    Idle::new("prompt", is_empty, "the model takes no prompt beside the recording: leave it out"),
    Idle::new("timestamp_granularities", is_segment, "the model gives no times of words: leave it out"),
    Idle::new("include", is_empty, "probabilities are not told: leave it out"),
    Idle::new("chunking_strategy", is_usual, "recordings are heard whole: leave it out"),
    Idle::new("logprobs", is_false, "probabilities are not told: leave it out"),
    Idle::new("n", is_number::<1>, "there is one transcript: leave it out"),
    Idle::new("vad_filter", is_false, "recordings are heard whole: leave it out"),
    Idle::new("word_timestamps", is_false, "the model gives no times of words: leave it out"),
    Idle::new("diarize", is_false, "speakers are not told apart: leave it out"),
    Idle::new("known_speaker_names", is_empty, "speakers are not told apart: leave it out"),
    Idle::new("known_speaker_references", is_empty, "speakers are not told apart: leave it out"),
    Idle::new("user", always, ""),
    Idle::new("metadata", always, ""),
];

/// Any value passes.
fn always(_: &Value) -> bool {
    true
}

/// No value passes.
fn never(_: &Value) -> bool {
    false
}

/// An empty list, object or text, or a list of empty texts.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| item.as_str().is_some_and(|text| text.trim().is_empty())),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.trim().is_empty(),
        Value::Null => true,
        _ => false,
    }
}

/// The number `N`, however it is written.
pub fn is_number<const N: u32>(value: &Value) -> bool {
    value.as_f64() == Some(f64::from(N))
}

fn is_false(value: &Value) -> bool {
    value.as_bool() == Some(false)
}

/// `"none"`, or `"auto"` where there is nothing to choose from.
fn is_free_choice(value: &Value) -> bool {
    is_empty(value) || matches!(value.as_str(), Some("none" | "auto"))
}

fn is_plain_text(value: &Value) -> bool {
    is_empty(value) || value.get("type").unwrap_or(value).as_str() == Some("text")
}

fn is_usual(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "default"))
}

fn is_medium(value: &Value) -> bool {
    value.as_str() == Some("medium")
}

fn is_unsaid(value: &Value) -> bool {
    is_empty(value) || value.as_str() == Some("None")
}

fn is_segment(value: &Value) -> bool {
    is_empty(value) || value.as_str() == Some("segment")
}
