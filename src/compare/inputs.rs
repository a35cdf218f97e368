//! The fixed inputs of a comparison.

use crate::audio::Waveform;
use crate::error::Result;
use crate::package::{CodecConfig, Manifest};
use crate::token::{Codes, Tokens};

/// A generator of numbers that are the same on every machine (SplitMix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    fn below(&mut self, end: usize) -> u32 {
        (self.next() % end.max(1) as u64) as u32
    }

    /// Returns a number from −1 to 1.
    fn sample(&mut self) -> f32 {
        self.below(20_001) as f32 / 10_000.0 - 1.0
    }
}

/// Returns `len` positions of text.
pub(super) fn text(manifest: &Manifest, len: usize, seed: u64) -> Tokens {
    let ids = manifest.tokens.text.ids;
    let mut draws = Draws(seed);
    let mut tokens = manifest.tokens.tokens();
    for _ in 0..len {
        tokens.push_single(ids.start + draws.below(ids.len()), manifest.tokens.filler());
    }
    tokens
}

/// Returns codes of `frames` frames.
pub(super) fn codes(codec: &CodecConfig, frames: usize, seed: u64) -> Codes {
    let mut draws = Draws(seed);
    Codes::from_shape_simple_fn((codec.books, frames), || draws.below(codec.codebook_size))
}

/// Returns two tones, one of them rising, with some noise.
pub(super) fn sound(rate: u32, seconds: f32, seed: u64) -> Result<Waveform> {
    let mut draws = Draws(seed);
    let low = 180.0 + draws.below(400) as f32;
    let sample = |index: usize| {
        let time = index as f32 / rate as f32;
        let phase = std::f32::consts::TAU * time;
        0.3 * (low * phase).sin() + 0.2 * ((900.0 + 700.0 * time) * phase).sin() + 0.05 * draws.sample()
    };
    Waveform::mono((0..(seconds * rate as f32) as usize).map(sample).collect(), rate)
}
