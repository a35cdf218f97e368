//! A reply: a chain of text and sound segments, made one frame at a time.

mod audio_stream;
mod cancel;
mod config;
mod event;
mod generation;
mod reply;
#[cfg(test)]
mod tests;

pub use cancel::Cancel;
pub use config::{GenerationConfig, Modality, SegmentConfig};
pub use event::{Event, Seconds, SegmentEnd, Usage};
pub use generation::{Generation, Parts};
pub use reply::{Reply, Segment};
