//! Takes ranked by the model's own ear; each score is told as soon as the model has listened.

use ualm::audio::Waveform;
use ualm::{Cancel, ErrorKind, Expected, Modality, Ranked, Result, Session};

use crate::args::Common;
use crate::interrupt::interrupted;
use crate::output::remark;
use crate::progress::Progress;

/// The ranking of `sounds`, the best first; `names` are theirs. What was said in `session` is forgotten.
pub fn rank(
    common: &Common,
    session: &mut Session,
    sounds: &[Waveform],
    names: &[String],
    modality: Modality,
    expected: &Expected,
    cancel: &Cancel,
) -> Result<Vec<Ranked>> {
    let progress = Progress::spinner(common, "listening");
    let (ranking, failure) = session.ranking(sounds, modality, expected, cancel)?.into_partial(|ranked| {
        progress.aside(|| remark(common, &describe(&names[ranked.take], ranked)));
        Ok(())
    })?;
    match failure {
        None => Ok(ranking),
        Some(error) if error.kind() == ErrorKind::Cancelled => {
            let (done, all) = (ranking.len(), sounds.len());
            Err(interrupted(&format!("all takes are kept, {done} of {all} were listened to")))
        }
        Some(error) => Err(error.context("all takes are kept, but they were not ranked")),
    }
}

fn describe(name: &str, ranked: &Ranked) -> String {
    let score = ranked.score;
    format!(
        "{name}: {:.2} (covered {:.2}, ordered {:.2}): {}",
        score.total, score.covered, score.ordered, ranked.caption
    )
}
