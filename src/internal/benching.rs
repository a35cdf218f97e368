//! Parts that work without a graph and that the interface does not show, for `benches/parts.rs`.

pub use crate::prompt::{Layouter, SoundEncoder};
pub use crate::sampling::{Candidates, Rng, Sampler, Sampling, guide};
pub use crate::text::TextTokenizer;
pub use crate::token::Run;
