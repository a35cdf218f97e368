//! The fuzzer's seeds as plain tests, each as it is and with damage: whatever comes of them, it comes back.

#[path = "../fuzz/batch_lines.rs"]
#[allow(dead_code)]
mod batch_lines;
mod common;
#[path = "../crates/cli/src/overrides.rs"]
#[allow(dead_code)]
mod overrides;

use std::time::{Duration, Instant};

use common::{Draws, damage, seeds};
use ualm::fuzzing::{TARGETS, Target};

/// Damaged copies of each seed, and of those that run a model.
const DAMAGED: usize = 40;
const DAMAGED_CALLS: usize = 10;

#[test]
fn seeds_and_damage_to_them_come_back() {
    let mut draws = Draws(21);
    let batch: (&str, Target) = ("batch", batch_lines::batch);
    for (name, target) in TARGETS.iter().chain([&batch]) {
        let seeds = seeds(name);
        assert!(seeds.len() > 1, "{name} has no seeds");
        let copies = if *name == "calls" { DAMAGED_CALLS } else { DAMAGED };
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
