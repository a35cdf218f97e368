//! Sampling of token ids from logits: guidance, then the candidates of a segment, then top-k, top-p and temperature.

mod guidance;
mod rng;
mod sampler;

pub use guidance::guide;
pub use rng::Rng;
pub use sampler::{Candidates, Sampler, Sampling};
