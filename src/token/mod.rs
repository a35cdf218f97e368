//! Token ids: the one vocabulary, frames of parallel streams, and the delay pattern between frames and codec codes.

mod delay;
mod frames;
mod vocabulary;

pub use delay::{delay, holes, undelay};
pub use frames::{Codes, Frames, TokenId};
pub use vocabulary::{Interval, Special, Vocabulary};
