//! The requests of clients of `ualm serve`, as values (`docs/server.md`). Whatever is not understood is refused in the
//! name of its field, and nothing is ignored; no model is needed for it.

mod chat;
mod choice;
mod form;
mod json;
mod refusal;
mod settings;
mod speech;
mod transcription;

pub use chat::{ChainWish, ChatRequest, Sound};
pub use choice::{SoundFormat, StreamFormat, TextFormat};
pub use refusal::{Refusal, RefusalCode};
pub use settings::Settings;
pub use speech::SpeechRequest;
pub use transcription::TranscriptionRequest;
