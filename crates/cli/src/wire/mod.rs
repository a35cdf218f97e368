//! The requests of clients of `ualm serve`, as values (`docs/server.md`). Whatever is not understood is refused in the
//! name of its field, and nothing is ignored; no model is needed for it.

mod base64;
mod chat;
mod choice;
mod form;
mod idle;
mod json;
mod refusal;
mod settings;
mod speech;
mod transcription;

#[cfg(feature = "internal")]
pub use base64::decode as decode_base64;
#[cfg(feature = "internal")]
pub use chat::ChatMessage;
pub use chat::{ChainWish, ChatRequest, Sound};
pub use choice::{SoundFormat, StreamFormat, TextFormat, Voice};
pub use refusal::{Refusal, RefusalCode};
pub use settings::Settings;
pub use speech::SpeechRequest;
pub use transcription::TranscriptionRequest;
