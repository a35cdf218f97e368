//! The stages of a chain as a list, with their numbers and their positions in the chain's record.

use std::ops::Deref;

use crate::chain::{Chain, Stage};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Cut;

/// The stages of a chain, in order.
///
/// Stages have an index, from 0, and a *number*, from 1, for people and file names. A hearing ([`Stage::Listen`]) has no
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    list: Vec<Stage>,
    by_prompt: bool,
}

impl Chain {
    /// Returns the stages of the chain.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a reflection without rounds, or with more than [`MOST_ROUNDS`](crate::MOST_ROUNDS).
    pub fn stages(&self) -> Result<Stages> {
        Ok(Stages { list: self.in_order()?, by_prompt: self.by_prompt })
    }
}

impl Deref for Stages {
    type Target = [Stage];

    fn deref(&self) -> &[Stage] {
        &self.list
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
        let index = number.checked_sub(1).and_then(|position| numbered.get(position)).copied();
        index
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("segment {number}; expected 1..={}", numbered.len())))
    }

    /// Returns the position of the stage at `index` in the record of the chain. An answer or a hearing begins where the
    /// turn before it ended. By prompt, every stage that makes a segment is a turn.
    pub fn cut(&self, index: usize) -> Cut {
        if self.by_prompt {
            return self.cut_by_prompt(index);
        }
        self.iter().take(index).fold(Cut::default(), |cut, stage| match stage.modality() {
            Some(_) => Cut { segment: cut.segment + 1, ..cut },
            None => Cut { turn: cut.turn + 1, segment: 0, position: 0 },
        })
    }

    fn cut_by_prompt(&self, index: usize) -> Cut {
        let turn = self.iter().take(index).filter(|stage| stage.modality().is_some()).count();
        match self.get(index) {
            Some(Stage::Answer) => Cut { turn: turn.saturating_sub(1), segment: 1, position: 0 },
            _ => Cut { turn, segment: 0, position: 0 },
        }
    }

    /// Returns the stage of the turn at `turn` of a chain by prompt.
    pub(super) fn of_turn(&self, turn: usize) -> Option<Stage> {
        self.iter().filter(|stage| stage.modality().is_some()).nth(turn).copied()
    }

    /// Checks that a chain with these stages can continue at `index` from a record of `other`: the stages before `index` must
    /// have the same modalities.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when they differ.
    pub fn check_begins_like(&self, other: &Stages, index: usize) -> Result<()> {
        let before = |stages: &Stages| -> Vec<_> { stages.iter().take(index).map(|stage| stage.modality()).collect() };
        let own = before(self);
        let is_alike = self.by_prompt == other.by_prompt && own == before(other);
        if own.len() == index && is_alike {
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
        Chain { mode, rounds, listen, by_prompt: false }.stages().unwrap()
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
    fn by_prompt_every_segment_is_a_turn() {
        let cuts = |mode, rounds| -> Vec<_> {
            let stages = Chain { mode, rounds, listen: false, by_prompt: true }.stages().unwrap();
            (0..=stages.len()).map(|index| stages.cut(index)).map(|cut| (cut.turn, cut.segment)).collect()
        };
        assert_eq!(cuts(ReasoningMode::Reflect, 1), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
        assert_eq!(cuts(ReasoningMode::Dialogue, 0), [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)]);
        let dialogue = Chain { mode: ReasoningMode::Dialogue, by_prompt: true, ..Chain::default() }.stages().unwrap();
        assert_eq!((dialogue.of_turn(1), dialogue.of_turn(3)), (Some(Stage::Plan), None));
        assert_eq!((dialogue.number(2), dialogue.index_of(4).unwrap()), (3, 3));
        let in_one_reply = stages(ReasoningMode::Dialogue, 0, false);
        assert!(dialogue.check_begins_like(&in_one_reply, 1).is_err(), "the records differ");
    }

    #[test]
    fn a_hearing_has_no_number() {
        let reflect = stages(ReasoningMode::Reflect, 1, true);
        assert_eq!((0..5).map(|index| reflect.number(index)).collect::<Vec<_>>(), [1, 2, 2, 3, 4]);
        assert_eq!((1..5).map(|number| reflect.index_of(number).unwrap()).collect::<Vec<_>>(), [0, 1, 3, 4]);
        for number in [0, 5] {
            let error = reflect.index_of(number).unwrap_err();
            assert_eq!(error.message(), format!("segment {number}; expected 1..=4"));
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
