//! The fuzzer's seeds as plain tests, each as it is and with damage: whatever comes of them, it comes back.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Draws;
use ualm::fuzzing::TARGETS;

/// Damaged copies of each seed.
const DAMAGED: usize = 40;

#[test]
fn seeds_and_damage_to_them_come_back() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut draws = Draws(21);
    for (name, target) in TARGETS {
        let mut seeds: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|seed| seed.unwrap().path()).collect();
        seeds.sort();
        assert!(seeds.len() > 1, "{name} has no seeds");
        let begun = Instant::now();
        for seed in &seeds {
            let bytes = fs::read(seed).unwrap();
            target(&bytes);
            for _ in 0..DAMAGED {
                let damaged = damage(&bytes, &mut draws);
                let asked = Instant::now();
                target(&damaged);
                assert!(asked.elapsed() < Duration::from_secs(20), "{name}: damage to {} takes long", seed.display());
            }
        }
        println!("{name}: {} seeds, {DAMAGED} damaged copies of each, {:?}", seeds.len(), begun.elapsed());
    }
}

/// Bytes changed, left out, doubled, or an end cut off.
fn damage(bytes: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=draws.below(4) {
        let (place, len) = (draws.below(damaged.len() + 1), 1 + draws.below(9));
        let end = (place + len).min(damaged.len());
        match draws.below(5) {
            0 => damaged[place..end].iter_mut().for_each(|byte| *byte = draws.below(256) as u8),
            1 => drop(damaged.drain(place..end)),
            2 => drop(damaged.splice(place..place, bytes[..len.min(bytes.len())].to_vec())),
            3 => damaged[place..end].iter_mut().for_each(|byte| *byte ^= 1 << draws.below(8)),
            _ if draws.below(4) == 0 => damaged.truncate(place),
            _ => damaged[place..end].fill(*[0, 0xff, b'9', b'-'].get(draws.below(4)).unwrap_or(&0)),
        }
    }
    damaged
}
