//! The one random generator: pinned, so that a seed means the same tokens on every machine and in every release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Words of 32 bits that one number takes.
const WORDS: u128 = 2;

/// ChaCha with 8 rounds, seeded from one number, with a place in its sequence that can be told and found again.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: ChaCha8Rng,
    draws: u64,
}

impl Rng {
    /// The generator of `seed`, from which `draws` numbers have been taken already.
    pub fn at(seed: u64, draws: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_word_pos(u128::from(draws) * WORDS);
        Self { generator, draws }
    }

    /// How many numbers have been drawn since the seed.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// A number drawn evenly from [0, 1), of 53 random bits.
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
        fn a_place_in_the_sequence_is_found_again(seed in any::<u64>(), draws in 0u64..300) {
            let mut walked = Rng::at(seed, 0);
            (0..draws).for_each(|_| { walked.uniform(); });
            let mut found = Rng::at(seed, walked.draws());
            for _ in 0..70 {
                prop_assert_eq!(walked.uniform(), found.uniform());
            }
        }
    }

    #[test]
    fn any_place_can_be_asked_for() {
        Rng::at(1, u64::MAX).uniform();
    }
}
