//! Chains of text and sound (`docs/reply.md`).

mod maker;
mod place;
mod settings;

pub use maker::ChainMaker;
pub use place::{check_same_beginning, number, seed_at, stage_index};
