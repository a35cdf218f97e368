//! Ranks takes by the model's own captions, and shows each score as soon as it is known.

use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Expected, Modality, Ranked, Result, Session};

use crate::args::Common;
use crate::interrupt::interrupted;
use crate::output::note;
use crate::progress::Progress;

/// Ranks `sounds`, best first; `names` are shown with the scores. The conversation in `session` is replaced.
pub fn rank(
    common: &Common,
    session: &mut Session,
    sounds: &[Waveform],
    names: &[String],
    modality: Modality,
    expected: &Expected,
) -> Result<Vec<Ranked>> {
    let progress = Progress::spinner(common, "listening");
    let (ranking, failure) = session.ranking(sounds, modality, expected)?.into_partial(|ranked| {
        show(common, &progress, &names[ranked.take], ranked);
        Ok(())
    })?;
    match failure {
        None => Ok(ranking),
        Some(error) => Err(not_ranked(error, ranking.len(), sounds.len())),
    }
}

/// Shows the score of the take `name`.
pub fn show(common: &Common, progress: &Progress, name: &str, ranked: &Ranked) {
    let score = ranked.score;
    let line = format!(
        "{name}: {:.2} (covered {:.2}, ordered {:.2}, confidence {:.4}): {}",
        score.total, score.covered, score.ordered, ranked.confidence, ranked.caption
    );
    progress.aside(|| note(common, &line));
}

/// Converts the error of a ranking that ended after `done` of `all` takes.
pub fn not_ranked(error: Error, done: usize, all: usize) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted(&format!("all takes are kept; {done} of {all} were ranked")),
        _ => error.context("all takes are kept, but not ranked"),
    }
}
