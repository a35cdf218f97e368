//! A reply: a chain of text and sound segments, made one frame at a time.

mod audio_stream;
mod config;
mod event;
mod generation;
mod reply;
#[cfg(test)]
mod tests;

pub use config::GenerationConfig;
pub use event::{Event, Seconds, SegmentEnd, Usage};
pub use generation::Generation;
pub(crate) use generation::Parts;
pub use reply::{Reply, Segment};
