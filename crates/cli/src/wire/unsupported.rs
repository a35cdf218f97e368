//! Fields of OpenAI's API that this server does not support. Clients send many of them with neutral values, which are
//! accepted; other values are refused.

use serde_json::Value;

use super::{Refusal, RefusalCode};

/// A field that is accepted only with neutral values.
pub struct Unsupported {
    /// The field's name.
    pub name: &'static str,
    /// Returns whether a value is neutral.
    is_neutral: fn(&Value) -> bool,
    /// The reason for refusing other values, and what to do instead.
    why: &'static str,
}

impl Unsupported {
    /// Creates a field whose neutral values satisfy `is_neutral`.
    pub const fn new(name: &'static str, is_neutral: fn(&Value) -> bool, why: &'static str) -> Self {
        Self { name, is_neutral, why }
    }

    /// Checks the value of the field, written as JSON.
    ///
    /// # Errors
    /// The value is not neutral.
    pub fn check(&self, json: &str) -> Result<(), Refusal> {
        match serde_json::from_str(json) {
            Ok(value) if (self.is_neutral)(&value) => Ok(()),
            _ => Err(self.refusal()),
        }
    }

    /// Checks the value of a form field. Values that are not JSON are strings.
    ///
    /// # Errors
    /// The value is not neutral.
    pub fn check_text(&self, text: &str) -> Result<(), Refusal> {
        let value = serde_json::from_str(&text.to_ascii_lowercase()).unwrap_or_else(|_| Value::from(text));
        if (self.is_neutral)(&value) { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> Refusal {
        let message = format!("the field {:?} is not supported with this value: {}", self.name, self.why);
        Refusal { code: RefusalCode::UnsupportedField, param: Some(self.name.to_owned()), message }
    }
}

/// Fields of chat requests.
pub const CHAT: &[Unsupported] = &[
    Unsupported::new("tools", is_empty, "tools are not supported: leave it out"),
    Unsupported::new("functions", is_empty, "functions are not supported: leave it out"),
    Unsupported::new("tool_choice", is_free_choice, "tools are not supported: leave it out"),
    Unsupported::new("function_call", is_free_choice, "functions are not supported: leave it out"),
    Unsupported::new("parallel_tool_calls", Value::is_boolean, "expected true or false"),
    Unsupported::new("stop", is_empty, "stop sequences are not supported: leave it out"),
    Unsupported::new("response_format", is_plain_text, "only {\"type\": \"text\"} is supported: leave it out"),
    Unsupported::new("best_of", is_number::<1>, "set n, and ualm.best to have the takes ranked"),
    Unsupported::new("suffix", is_empty, "insertion is not supported: leave it out"),
    Unsupported::new("echo", is_false, "the prompt is not repeated: leave it out"),
    Unsupported::new("frequency_penalty", is_number::<0>, "repetition is not penalized: leave it out"),
    Unsupported::new("presence_penalty", is_number::<0>, "repetition is not penalized: leave it out"),
    Unsupported::new("repetition_penalty", is_number::<1>, "repetition is not penalized: leave it out"),
    Unsupported::new("repeat_penalty", is_number::<1>, "repetition is not penalized: leave it out"),
    Unsupported::new("length_penalty", is_number::<1>, "length is not penalized: leave it out"),
    Unsupported::new("typical_p", is_number::<1>, "not supported: leave it out; ualm.text has the supported settings"),
    Unsupported::new("top_k", never, "set ualm.text.top_k, or ualm.audio.top_k for sound"),
    Unsupported::new("min_tokens", is_number::<0>, "set ualm.text.min_steps, or leave it out"),
    Unsupported::new("ignore_eos", is_false, "set ualm.text.min_steps, or leave it out"),
    Unsupported::new("use_beam_search", is_false, "beam search is not supported: leave it out"),
    Unsupported::new("chat_template_kwargs", is_empty, "the package has its own prompt format: leave it out"),
    Unsupported::new("min_p", is_number::<0>, "not supported: leave it out; ualm.text has the supported settings"),
    Unsupported::new("logit_bias", is_empty, "logit biases are not supported: leave it out"),
    Unsupported::new("logprobs", is_false, "log probabilities are not supported: leave it out"),
    Unsupported::new("top_logprobs", is_number::<0>, "log probabilities are not supported: leave it out"),
    Unsupported::new("store", is_false, "the server stores nothing: leave it out"),
    Unsupported::new("service_tier", is_default, "there is one tier: leave it out"),
    Unsupported::new("verbosity", is_medium, "the model has no such setting: leave it out"),
    Unsupported::new("prediction", is_empty, "predictions are not used: leave it out"),
    Unsupported::new("web_search_options", never, "web search is not supported: leave it out"),
    Unsupported::new("moderation", is_empty, "moderation is not supported: leave it out"),
    Unsupported::new("extra_body", is_empty, "put its fields into the body itself"),
    Unsupported::new("extra_headers", is_empty, "send headers as HTTP headers, not in the body"),
    Unsupported::new("user", always, ""),
    Unsupported::new("metadata", always, ""),
    Unsupported::new("safety_identifier", always, ""),
    Unsupported::new("prompt_cache_key", always, ""),
    Unsupported::new("prompt_cache_retention", always, ""),
    Unsupported::new("prompt_cache_options", always, ""),
];

/// Fields of speech requests.
pub const SPEECH: &[Unsupported] = &[
    Unsupported::new("speed", is_number::<1>, "the model has one speed: leave it out"),
    // Home Assistant sends `None` for absent instructions
    Unsupported::new("instructions", is_empty_or_none, "instructions are not supported: leave it out"),
    Unsupported::new("n", is_number::<1>, "each request makes one sound: leave it out"),
    Unsupported::new("language", is_empty, "the language cannot be chosen: leave it out"),
    Unsupported::new("store", is_false, "the server stores nothing: leave it out"),
    Unsupported::new("extra_body", is_empty, "put its fields into the body itself"),
    Unsupported::new("stream", is_false, "set stream_format, or leave it out: pcm is always streamed"),
    Unsupported::new("user", always, ""),
    Unsupported::new("metadata", always, ""),
];

/// Fields of transcription and translation requests.
pub const FORM: &[Unsupported] = &[
    Unsupported::new("prompt", is_empty, "prompts are not supported: leave it out"),
    Unsupported::new("timestamp_granularities", is_segment, "word timestamps are not supported: leave it out"),
    Unsupported::new("include", is_empty, "log probabilities are not supported: leave it out"),
    Unsupported::new("chunking_strategy", is_default, "recordings are processed as a whole: leave it out"),
    Unsupported::new("logprobs", is_false, "log probabilities are not supported: leave it out"),
    Unsupported::new("n", is_number::<1>, "each request makes one transcript: leave it out"),
    Unsupported::new("vad_filter", is_false, "recordings are processed as a whole: leave it out"),
    Unsupported::new("word_timestamps", is_false, "word timestamps are not supported: leave it out"),
    Unsupported::new("diarize", is_false, "speakers are not distinguished: leave it out"),
    Unsupported::new("known_speaker_names", is_empty, "speakers are not distinguished: leave it out"),
    Unsupported::new("known_speaker_references", is_empty, "speakers are not distinguished: leave it out"),
    Unsupported::new("user", always, ""),
    Unsupported::new("metadata", always, ""),
];

/// Accepts any value.
fn always(_: &Value) -> bool {
    true
}

/// Accepts no value.
fn never(_: &Value) -> bool {
    false
}

/// Accepts null, an empty list, object or string, and a list of empty strings.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| item.as_str().is_some_and(|text| text.trim().is_empty())),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.trim().is_empty(),
        Value::Null => true,
        _ => false,
    }
}

/// Accepts the number `N` in any notation.
pub fn is_number<const N: u32>(value: &Value) -> bool {
    value.as_f64() == Some(f64::from(N))
}

fn is_false(value: &Value) -> bool {
    value.as_bool() == Some(false)
}

/// Accepts `"none"` and `"auto"`.
fn is_free_choice(value: &Value) -> bool {
    is_empty(value) || matches!(value.as_str(), Some("none" | "auto"))
}

fn is_plain_text(value: &Value) -> bool {
    is_empty(value) || value.get("type").unwrap_or(value).as_str() == Some("text")
}

fn is_default(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "default"))
}

fn is_medium(value: &Value) -> bool {
    value.as_str() == Some("medium")
}

fn is_empty_or_none(value: &Value) -> bool {
    is_empty(value) || value.as_str() == Some("None")
}

fn is_segment(value: &Value) -> bool {
    is_empty(value) || value.as_str() == Some("segment")
}
