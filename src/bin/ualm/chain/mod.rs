//! Chains of text and sound (`docs/reply.md`).

mod maker;
mod settings;

pub use maker::ChainMaker;
