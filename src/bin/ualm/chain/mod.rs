//! Chains of text and sound (`docs/reply.md`).

#[cfg(feature = "server")]
mod maker;
mod place;
mod settings;

#[cfg(feature = "server")]
pub use maker::{ChainMaker, Made};
pub use place::{check_same_beginning, number, seed_at, stage_index};
pub use settings::{listening, plan_of, segment_config, turn_config, with_text};
