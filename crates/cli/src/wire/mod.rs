//! The requests of clients of `ualm serve`, parsed without a model (`docs/server.md`). Unknown and invalid fields are
//! refused by name; no field is ignored.

mod base64;
mod chat;
mod choice;
mod form;
mod json;
mod refusal;
mod settings;
mod speech;
mod transcription;
mod unsupported;

#[cfg(feature = "internal")]
pub use base64::decode as decode_base64;
#[cfg(feature = "internal")]
pub use chat::ChatMessage;
pub use chat::{ChainSettings, ChatRequest, Sound};
pub use choice::{SoundFormat, StreamFormat, TextFormat, Voice};
pub use refusal::{Refusal, RefusalCode};
pub use settings::Settings;
pub use speech::SpeechRequest;
pub use transcription::TranscriptionRequest;
