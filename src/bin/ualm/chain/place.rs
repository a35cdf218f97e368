//! Places in a chain: which stage a person means, and which chains share a beginning.

use ualm::{Chain, Cut, Error, ErrorKind, Record, Result, Stage};

/// The number of stage `index` among those that a person sees, from 1: what is heard has none.
pub fn number(stages: &[Stage], index: usize) -> usize {
    stages.iter().take(index + 1).filter(|stage| **stage != Stage::Listen).count()
}

/// The stage with that number.
pub fn stage_index(stages: &[Stage], number: usize) -> Result<usize> {
    let numbered: Vec<_> = (0..stages.len()).filter(|index| stages[*index] != Stage::Listen).collect();
    let index = number.checked_sub(1).and_then(|place| numbered.get(place));
    index
        .copied()
        .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("segment {number}; expected 1 … {}", numbered.len())))
}

/// A chain may go on in another way, but not with another past.
pub fn check_same_beginning(saved: &Chain, wanted: &[Stage], index: usize) -> Result<()> {
    let is_like = |(a, b): (&Stage, &Stage)| a.modality() == b.modality();
    let same = saved.stages()?.iter().zip(wanted).take(index).filter(|pair| is_like(*pair)).count();
    match same == index {
        true => Ok(()),
        false => {
            let what = format!("the chain that was saved differs before segment {}", index + 1);
            Err(Error::new(ErrorKind::Invalid, what))
        }
    }
}

/// The seed of the segment at `cut`, or of what comes before it.
pub fn seed_at(record: &Record, cut: Cut) -> u64 {
    let turns = record.turns.iter().take(cut.turn + 1).enumerate();
    let before = turns.flat_map(|(index, turn)| {
        let most = if index == cut.turn { cut.segment + 1 } else { usize::MAX };
        turn.segments.iter().take(most)
    });
    before.last().map_or(0, |segment| segment.draws.seed)
}
