//! Reasoning in sound (the paper's UALM-Reason): the stages of a chain of text and sound.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;
use crate::record::Cut;

/// The most rounds of reflection.
pub const MOST_ROUNDS: usize = 32;

/// A way to reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningMode {
    /// A plan, then the sound.
    #[default]
    Enrich,
    /// A question, the person's answer, a plan, then the sound.
    Dialogue,
    /// A plan and a sound, then in every round a critique of the last sound and another sound.
    Reflect,
}

impl ReasoningMode {
    /// Its name in manifests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrich => "enrich",
            Self::Dialogue => "dialogue",
            Self::Reflect => "reflect",
        }
    }
}

/// How a package wants to reason: what it was trained for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReasoningConfig {
    /// The mode unless the caller has another.
    pub default: ReasoningMode,
    /// The modes it was trained for; the others run as well, untrained.
    pub modes: Vec<ReasoningMode>,
    /// For a mode, the prompt with `{}` for the person's words; without one the words alone.
    pub prompts: BTreeMap<ReasoningMode, String>,
    /// Whether a reflection hears its sound through the audio encoder, not only as the codec tokens it wrote.
    pub listen: bool,
    /// What is said with a sound that is given to be heard, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_prompt: Option<String>,
}

impl ReasoningConfig {
    /// The prompt of `mode` for `words`.
    pub fn prompt(&self, mode: ReasoningMode, words: &str) -> String {
        self.prompts.get(&mode).map_or_else(|| words.to_owned(), |prompt| prompt.replace("{}", words))
    }

    /// Refuses prompts that leave no place for the words.
    pub(crate) fn validate(&self) -> Result<()> {
        match self.prompts.iter().find(|(_, prompt)| !prompt.contains("{}")) {
            Some((mode, prompt)) => {
                let what = format!("the reasoning prompt {prompt:?} of {} has no {{}} for the words", mode.name());
                Err(Error::new(ErrorKind::Package, what))
            }
            None => Ok(()),
        }
    }
}

/// A chain: which way to reason, how often, and through which ear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The way.
    pub mode: ReasoningMode,
    /// Rounds of reflection.
    #[serde(default)]
    pub rounds: usize,
    /// Whether a reflection hears its sound through the audio encoder.
    #[serde(default)]
    pub listen: bool,
}

/// A stage of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The model asks.
    Question,
    /// The person answers.
    Answer,
    /// The model says what it will make.
    Plan,
    /// A sound that a critique follows.
    Draft,
    /// The sound is given to the audio encoder.
    Listen,
    /// The model says what it made, and what is wrong with it.
    Critique,
    /// The sound that ends the chain.
    Final,
}

impl Stage {
    /// Its name, for files and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Answer => "answer",
            Self::Plan => "plan",
            Self::Draft => "draft",
            Self::Listen => "listen",
            Self::Critique => "critique",
            Self::Final => "final",
        }
    }

    /// What the model makes in it; `None` where it is the model's turn to listen.
    pub fn modality(self) -> Option<Modality> {
        match self {
            Self::Question | Self::Plan | Self::Critique => Some(Modality::Text),
            Self::Draft | Self::Final => Some(Modality::Audio),
            Self::Answer | Self::Listen => None,
        }
    }
}

impl Chain {
    /// Its stages, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for more than [`MOST_ROUNDS`] rounds, or a reflection of none.
    pub fn stages(&self) -> Result<Vec<Stage>> {
        use Stage::{Answer, Critique, Draft, Final, Listen, Plan, Question};
        Ok(match self.mode {
            ReasoningMode::Enrich => vec![Plan, Final],
            ReasoningMode::Dialogue => vec![Question, Answer, Plan, Final],
            ReasoningMode::Reflect => {
                if !(1..=MOST_ROUNDS).contains(&self.rounds) {
                    let what = format!("{} rounds of reflection; expected 1 … {MOST_ROUNDS}", self.rounds);
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                let heard = if self.listen { vec![Listen] } else { Vec::new() };
                let mut stages = vec![Plan];
                for _ in 0..self.rounds {
                    stages.push(Draft);
                    stages.extend(&heard);
                    stages.push(Critique);
                }
                stages.push(Final);
                stages
            }
        })
    }

    /// Where stage number `index` (from 0) of `stages` begins in the record of the chain. An answer or a hearing begins
    /// where the turn before it ended.
    pub fn cut(stages: &[Stage], index: usize) -> Cut {
        stages.iter().take(index).fold(Cut::default(), |cut, stage| match stage.modality() {
            Some(_) => Cut { segment: cut.segment + 1, ..cut },
            None => Cut { turn: cut.turn + 1, segment: 0, frame: 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{Answer, Critique, Draft, Final, Listen, Plan, Question};

    fn stages(mode: ReasoningMode, rounds: usize, listen: bool) -> Vec<Stage> {
        Chain { mode, rounds, listen }.stages().unwrap()
    }

    #[test]
    fn every_mode_has_its_stages() {
        assert_eq!(stages(ReasoningMode::Enrich, 0, false), [Plan, Final]);
        assert_eq!(stages(ReasoningMode::Dialogue, 0, false), [Question, Answer, Plan, Final]);
        assert_eq!(stages(ReasoningMode::Reflect, 1, false), [Plan, Draft, Critique, Final]);
        assert_eq!(
            stages(ReasoningMode::Reflect, 2, true),
            [Plan, Draft, Listen, Critique, Draft, Listen, Critique, Final]
        );
        for rounds in [0, MOST_ROUNDS + 1, usize::MAX] {
            let chain = Chain { mode: ReasoningMode::Reflect, rounds, listen: false };
            assert_eq!(chain.stages().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn stages_have_places_in_the_record() {
        let places = |stages: &[Stage]| -> Vec<_> {
            (0..stages.len()).map(|index| Chain::cut(stages, index)).map(|cut| (cut.turn, cut.segment)).collect()
        };
        assert_eq!(places(&[Plan, Draft, Critique, Final]), [(0, 0), (0, 1), (0, 2), (0, 3)]);
        assert_eq!(places(&[Question, Answer, Plan, Final]), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn prompts_hold_the_words() {
        let prompts = BTreeMap::from([(ReasoningMode::Enrich, "Enrich: {}.".to_owned())]);
        let config = ReasoningConfig { prompts, ..ReasoningConfig::default() };
        assert_eq!(config.prompt(ReasoningMode::Enrich, "a {} dog"), "Enrich: a {} dog.");
        assert_eq!(config.prompt(ReasoningMode::Reflect, "a dog"), "a dog");
        assert!(config.validate().is_ok());
        let prompts = BTreeMap::from([(ReasoningMode::Enrich, "Enrich.".to_owned())]);
        assert!(ReasoningConfig { prompts, ..ReasoningConfig::default() }.validate().is_err());
    }
}
