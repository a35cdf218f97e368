//! A reply: a chain of text and sound segments, made one frame at a time.

mod audio_stream;
mod checkpoint;
mod config;
mod event;
mod generation;
mod parts;
mod rebuild;
mod reply;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use config::GenerationConfig;
pub use event::{Event, Seconds, SegmentEnd, Usage};
pub use generation::Generation;
pub(crate) use parts::Parts;
pub(crate) use rebuild::{PastSegment, PastTurn, rebuild};
pub use reply::{Draws, Reply, Segment};
