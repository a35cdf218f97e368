//! From logits to token ids: guidance, then the candidates a segment allows, then top-k, top-p and temperature.

mod guidance;
mod rng;
mod sampler;

pub use guidance::guide;
pub use rng::Rng;
pub use sampler::{Candidates, Sampler, Sampling};
