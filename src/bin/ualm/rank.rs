//! Takes ranked by the model's own ear; each score is told as soon as the model has listened.

use ualm::audio::Waveform;
use ualm::{Cancel, ErrorKind, Event, Modality, Ranked, Result, Session, Wanted, best_first};

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
    wanted: &Wanted,
    cancel: &Cancel,
) -> Result<Vec<Ranked>> {
    let progress = Progress::spinner(common, "listening");
    let mut ranking = Vec::new();
    for event in session.ranking(sounds, modality, wanted, cancel)? {
        match event {
            Ok(Event::Ranked(ranked)) => {
                progress.aside(|| remark(common, &describe(&names[ranked.take], &ranked)));
                ranking.push(ranked);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                let (done, all) = (ranking.len(), sounds.len());
                return Err(interrupted(&format!("all takes are kept, {done} of {all} were listened to")));
            }
            Err(error) => return Err(error.context("all takes are kept, but they were not ranked")),
        }
    }
    best_first(&mut ranking);
    Ok(ranking)
}

fn describe(name: &str, ranked: &Ranked) -> String {
    let score = ranked.score;
    format!(
        "{name}: {:.2} (covered {:.2}, ordered {:.2}): {}",
        score.total, score.covered, score.ordered, ranked.caption
    )
}
