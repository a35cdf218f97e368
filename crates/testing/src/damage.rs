//! Input for fuzz targets: the committed seeds, and damaged copies of them.

use std::fs;
use std::time::{Duration, Instant};

use crate::root;

/// A generator of random numbers that are the same in every run (the upper bits of an LCG).
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Returns the fuzzer's seeds for `target`, with their names.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Returns a copy of `bytes` with bytes changed, removed or doubled, or with the end cut off.
pub fn damage(bytes: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=draws.below(4) {
        let start = draws.below(damaged.len() + 1);
        let len = 1 + draws.below(9);
        let end = (start + len).min(damaged.len());
        match draws.below(5) {
            0 => {
                for byte in &mut damaged[start..end] {
                    *byte = draws.below(256) as u8;
                }
            }
            1 => drop(damaged.drain(start..end)),
            2 => drop(damaged.splice(start..start, bytes[..len.min(bytes.len())].to_vec())),
            3 => {
                for byte in &mut damaged[start..end] {
                    *byte ^= 1 << draws.below(8);
                }
            }
            _ if draws.below(4) == 0 => damaged.truncate(start),
            _ => damaged[start..end].fill(*[0, 0xff, b'9', b'-'].get(draws.below(4)).unwrap_or(&0)),
        }
    }
    damaged
}

/// A fuzz target: its name, and the function that takes any bytes.
pub type Target<'a> = (&'a str, fn(&[u8]));

/// Calls each target with its seeds and with `copies` damaged copies of each seed: every call must return soon.
pub fn run_seeds(targets: &[Target<'_>], copies: usize) {
    let mut draws = Draws(21);
    for (name, target) in targets {
        let seeds = seeds(name);
        assert!(seeds.len() > 1, "{name} has no seeds");
        let begun = Instant::now();
        for (seed, bytes) in &seeds {
            target(bytes);
            for _ in 0..copies {
                let damaged = damage(bytes, &mut draws);
                let asked = Instant::now();
                target(&damaged);
                assert!(asked.elapsed() < Duration::from_secs(20), "{name}: damage to {seed} takes long");
            }
        }
        println!("{name}: {} seeds, {copies} damaged copies of each, {:?}", seeds.len(), begun.elapsed());
    }
}
