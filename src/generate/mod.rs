//! Generation of replies: chains of text and sound segments, one position at a time.

mod checkpoint;
mod confidence;
mod config;
mod conversation;
mod event;
mod generation;
mod open_segment;
mod point;
mod replay;
mod reply;
mod rules;
mod sound;
mod sound_worker;
#[cfg(test)]
mod tests;
mod unconditional;

pub use checkpoint::Checkpoint;
pub use config::GenerationConfig;
pub(crate) use conversation::{Conversation, Next};
pub use event::{Event, Seconds, SegmentEnd, Usage};
pub use generation::Generation;
pub(crate) use point::{Point, Points};
pub(crate) use replay::{PastSegment, PastTurn, replay};
pub use reply::{Draws, Reply, Segment};
pub(crate) use rules::Rules;
