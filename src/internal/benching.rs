//! Private parts that work without a graph, for `benches/parts.rs`.

pub use crate::prompt::{Layouter, SoundEncoder};
pub use crate::sampling::{Candidates, Rng, Sampler, Sampling, guide};
pub use crate::text::TextTokenizer;
pub use crate::token::Run;
