//! Shared code of this workspace's tests: fixtures, the authors' answers, damaged input, and the skipping of tests whose files are
//! missing.

mod answers;
mod audex_answers;
mod damage;
mod packages;
mod skip;

use std::path::Path;

pub use answers::*;
pub use audex_answers::{AudexAnswers, AudexCase, AudexMessage};
pub use damage::{Draws, damage, run_seeds, seeds};
pub use packages::{change_in_package, change_manifest, copied_package, fixture, model, package, package_by_prompt};
pub use skip::{Need, is_skipped};

/// Returns the folder of the workspace.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("this package is two folders below the workspace")
}

/// Returns the largest difference, relative to the largest expected magnitude.
pub fn relative_error<'a>(
    found: impl IntoIterator<Item = &'a f32>,
    expected: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    let found: Vec<_> = found.into_iter().collect();
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "another number of values");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let difference = found.iter().zip(&expected).fold(0.0f32, |m, (a, b)| m.max((**a - **b).abs()));
    difference / largest.max(1e-30)
}
