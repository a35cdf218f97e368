//! The random number generator, fixed so that a seed reproduces the same tokens on every machine and in every release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Number of 32-bit words per draw.
const WORDS: u128 = 2;

/// ChaCha with 8 rounds, seeded from one number, with a known number of draws that can be restored.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: ChaCha8Rng,
    draws: u64,
}

impl Rng {
    /// Creates the generator of `seed` in its state after `draws` draws.
    pub fn at(seed: u64, draws: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_word_pos(u128::from(draws) * WORDS);
        Self { generator, draws }
    }

    /// Returns the number of draws since the seed.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// Draws a number uniformly from [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(1);
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_state_is_restored_from_its_draws(seed in any::<u64>(), draws in 0u64..300) {
            let mut walked = Rng::at(seed, 0);
            (0..draws).for_each(|_| { walked.uniform(); });
            let mut found = Rng::at(seed, walked.draws());
            for _ in 0..70 {
                prop_assert_eq!(walked.uniform(), found.uniform());
            }
        }
    }

    #[test]
    fn any_number_of_draws_is_accepted() {
        Rng::at(1, u64::MAX).uniform();
    }
}
