//! The stages of a chain as a list, with their numbers and their positions in the chain's record.

use std::ops::Deref;

use crate::chain::{Chain, Stage};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Cut;

/// The stages of a chain, in order.
///
/// Stages have an index, from 0, and a *number*, from 1, which is how people and file names count them: a hearing
/// ([`Stage::Listen`]) has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages(Vec<Stage>);

impl Chain {
    /// Returns the stages of the chain.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a reflection without rounds, or with more than [`MOST_ROUNDS`](crate::MOST_ROUNDS).
    pub fn stages(&self) -> Result<Stages> {
        self.in_order().map(Stages)
    }
}

impl Deref for Stages {
    type Target = [Stage];

    fn deref(&self) -> &[Stage] {
        &self.0
    }
}

impl Stages {
    /// Returns the number of the stage at `index`, from 1; for a hearing, the number of the draft that is heard.
    pub fn number(&self, index: usize) -> usize {
        self.iter().take(index.saturating_add(1)).filter(|stage| **stage != Stage::Listen).count()
    }

    /// Returns the index of the stage with `number`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no stage has that number.
    pub fn index_of(&self, number: usize) -> Result<usize> {
        let numbered: Vec<_> =
            self.iter().enumerate().filter(|(_, stage)| **stage != Stage::Listen).map(|(index, _)| index).collect();
        let index = number.checked_sub(1).and_then(|place| numbered.get(place)).copied();
        index
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("segment {number}; expected 1 … {}", numbered.len())))
    }

    /// Returns the position of the stage at `index` in the record of the chain. An answer or a hearing begins where the
    /// turn before it ended.
    pub fn cut(&self, index: usize) -> Cut {
        self.iter().take(index).fold(Cut::default(), |cut, stage| match stage.modality() {
            Some(_) => Cut { segment: cut.segment + 1, ..cut },
            None => Cut { turn: cut.turn + 1, segment: 0, frame: 0 },
        })
    }

    /// Checks that a chain with these stages can go on at `index` from a record of `saved`: the modalities of the stages
    /// before it must be the same.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when they differ.
    pub fn check_begins_like(&self, saved: &Stages, index: usize) -> Result<()> {
        let before = |stages: &Stages| -> Vec<_> { stages.iter().take(index).map(|stage| stage.modality()).collect() };
        let (own, saved) = (before(self), before(saved));
        if own.len() == index && own == saved {
            return Ok(());
        }
        let what = format!("the chain that was saved differs before segment {}", index + 1);
        Err(Error::new(ErrorKind::Invalid, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ReasoningMode;

    fn stages(mode: ReasoningMode, rounds: usize, listen: bool) -> Stages {
        Chain { mode, rounds, listen }.stages().unwrap()
    }

    #[test]
    fn stages_have_positions_in_the_record() {
        let cuts = |stages: Stages| -> Vec<_> {
            (0..stages.len()).map(|index| stages.cut(index)).map(|cut| (cut.turn, cut.segment)).collect()
        };
        assert_eq!(cuts(stages(ReasoningMode::Reflect, 1, false)), [(0, 0), (0, 1), (0, 2), (0, 3)]);
        assert_eq!(cuts(stages(ReasoningMode::Dialogue, 0, false)), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(cuts(stages(ReasoningMode::Reflect, 1, true)), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    }

    #[test]
    fn a_hearing_has_no_number() {
        let reflect = stages(ReasoningMode::Reflect, 1, true);
        assert_eq!((0..5).map(|index| reflect.number(index)).collect::<Vec<_>>(), [1, 2, 2, 3, 4]);
        assert_eq!((1..5).map(|number| reflect.index_of(number).unwrap()).collect::<Vec<_>>(), [0, 1, 3, 4]);
        for number in [0, 5] {
            let error = reflect.index_of(number).unwrap_err();
            assert_eq!(error.message(), format!("segment {number}; expected 1 … 4"));
        }
    }

    #[test]
    fn a_chain_goes_on_from_another_one_with_the_same_beginning() {
        let (enrich, reflect) = (stages(ReasoningMode::Enrich, 0, false), stages(ReasoningMode::Reflect, 2, false));
        let dialogue = stages(ReasoningMode::Dialogue, 0, false);
        assert!(reflect.check_begins_like(&enrich, 2).is_ok(), "a plan and a sound in both");
        assert!(reflect.check_begins_like(&enrich, 3).is_err());
        assert!(dialogue.check_begins_like(&enrich, 0).is_ok());
        assert!(dialogue.check_begins_like(&reflect, 2).is_err());
        assert!(enrich.check_begins_like(&enrich, 3).is_err(), "it has no third segment");
    }
}
