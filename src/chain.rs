//! Reasoning in sound (UALM-Reason, the section on reasoning in arXiv 2510.12000): the modes of a chain and its stages.

mod wording;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;

pub use wording::Wording;
pub(crate) use wording::{Values, fill};

/// The maximum number of rounds of reflection.
pub const MOST_ROUNDS: usize = 32;

/// A mode of reasoning: one of the three chains of the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReasoningMode {
    /// Enrichment: a plan, then the sound.
    #[default]
    Enrich,
    /// Dialogue: a question, the user's answer, a plan, then the sound.
    Dialogue,
    /// Self-reflection: a plan and a sound, then in every round a critique of the last sound and another sound.
    Reflect,
}

impl ReasoningMode {
    /// Returns the mode's name in manifests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrich => "enrich",
            Self::Dialogue => "dialogue",
            Self::Reflect => "reflect",
        }
    }
}

/// The reasoning that a package was trained for, from its manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ReasoningConfig {
    /// The mode used when the caller names none.
    pub default: ReasoningMode,
    /// The modes that the package was trained for. The others run as well, untrained.
    pub modes: Vec<ReasoningMode>,
    /// Prompts by mode, with `{}` in place of the user's words. A mode without a prompt takes the words alone.
    pub prompts: BTreeMap<ReasoningMode, String>,
    /// `true` if a reflection hears its draft through the audio encoder, not only as the codec tokens it wrote.
    pub listen: bool,
    /// Text after a draft that the audio encoder hears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_prompt: Option<String>,
    /// The wording of chains by prompt, where it differs from the library's.
    #[serde(skip_serializing_if = "Wording::is_empty")]
    pub stages: Wording,
    /// `true` if chains are by prompt: the package's template decides ([`Chain::by_prompt`]).
    #[serde(skip)]
    pub by_prompt: bool,
}

impl ReasoningConfig {
    /// Returns the prompt of `mode` for `words`.
    pub fn prompt(&self, mode: ReasoningMode, words: &str) -> String {
        self.prompts.get(&mode).map_or_else(|| words.to_owned(), |prompt| prompt.replace("{}", words))
    }

    /// Returns whether the package was trained to reason in `mode`. A chain of another mode is forced stage by stage.
    pub fn is_trained_for(&self, mode: ReasoningMode) -> bool {
        self.modes.contains(&mode)
    }

    /// Returns the chain that the package prefers: its default mode, with one round.
    pub fn chain(&self) -> Chain {
        let listen = self.listen && !self.by_prompt;
        Chain { mode: self.default, rounds: 1, listen, by_prompt: self.by_prompt }
    }

    /// Returns `chain` with the given fields changed. If the mode changes, `listen` is the package's default; it is `false`
    /// outside of a reflection, and in a chain by prompt, which hears every draft.
    pub fn changed(
        &self,
        chain: Chain,
        mode: Option<ReasoningMode>,
        rounds: Option<usize>,
        listen: Option<bool>,
    ) -> Chain {
        let mode = mode.unwrap_or(chain.mode);
        let rounds = rounds.unwrap_or(chain.rounds.max(1));
        let listen = listen.unwrap_or(if mode == chain.mode { chain.listen } else { self.listen });
        self.fitted(Chain { mode, rounds, listen: listen && mode == ReasoningMode::Reflect, by_prompt: false })
    }

    /// Returns `chain` with the package's kind of chain: by prompt, or in one reply.
    pub(crate) fn fitted(&self, chain: Chain) -> Chain {
        Chain { listen: chain.listen && !self.by_prompt, by_prompt: self.by_prompt, ..chain }
    }

    /// Checks that every prompt has `{}` for the words, and that the placeholders of the wording are known.
    pub(crate) fn validate(&self) -> Result<()> {
        match self.prompts.iter().find(|(_, prompt)| !prompt.contains("{}")) {
            Some((mode, prompt)) => {
                let what = format!("the reasoning prompt {prompt:?} of {} has no {{}} for the words", mode.name());
                Err(Error::new(ErrorKind::Package, what))
            }
            None => {
                let named = |e: Error| Error::new(ErrorKind::Package, format!("reasoning.stages: {}", e.message()));
                self.stages.validate().map_err(named)
            }
        }
    }
}

/// A chain of reasoning: its mode, its rounds, and whether drafts are heard through the audio encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Chain {
    /// The mode.
    pub mode: ReasoningMode,
    /// Rounds of reflection; without meaning in the other modes.
    #[serde(default)]
    pub rounds: usize,
    /// `true` if a reflection hears its drafts through the audio encoder.
    #[serde(default)]
    pub listen: bool,
    /// `true` if every stage is a request, whose prompt is worded from the stages before it ([`Wording`]); `false` if the
    /// segments form one long reply. The package decides: [`ChainRunner`](crate::ChainRunner) sets this for its model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_prompt: bool,
}

/// The request of a chain by prompt, which its record keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainRequest {
    /// The user's words.
    pub words: String,
    /// The wording in place of the package's.
    #[serde(default, skip_serializing_if = "Wording::is_empty")]
    pub wording: Wording,
}

/// A stage of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// A question of the model.
    Question,
    /// The user's answer.
    Answer,
    /// The model's description of the sound to make.
    Plan,
    /// A sound that a critique follows.
    Draft,
    /// A hearing: the draft through the audio encoder.
    Listen,
    /// The model's description of the draft that it hears, in a chain by prompt.
    Description,
    /// The model's critique of the draft.
    Critique,
    /// The sound that ends the chain.
    Final,
}

impl Stage {
    /// Returns the stage's name, for files and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Answer => "answer",
            Self::Plan => "plan",
            Self::Draft => "draft",
            Self::Listen => "listen",
            Self::Description => "description",
            Self::Critique => "critique",
            Self::Final => "final",
        }
    }

    /// Returns the modality of the segment that the model makes in this stage; `None` for a stage without a segment.
    pub fn modality(self) -> Option<Modality> {
        match self {
            Self::Question | Self::Plan | Self::Description | Self::Critique => Some(Modality::Text),
            Self::Draft | Self::Final => Some(Modality::Audio),
            Self::Answer | Self::Listen => None,
        }
    }
}

impl Chain {
    /// Returns a chain of `mode`, with one round, which does not hear its drafts.
    pub fn new(mode: ReasoningMode) -> Self {
        Self { mode, rounds: 1, listen: false, by_prompt: false }
    }

    /// Sets the rounds of reflection.
    #[must_use]
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    /// Sets whether a reflection hears its drafts through the audio encoder.
    #[must_use]
    pub fn listen(self, listen: bool) -> Self {
        Self { listen, ..self }
    }

    /// Returns the stages in order.
    pub(super) fn in_order(&self) -> Result<Vec<Stage>> {
        use Stage::{Answer, Critique, Description, Draft, Final, Listen, Plan, Question};
        Ok(match self.mode {
            ReasoningMode::Enrich => vec![Plan, Final],
            ReasoningMode::Dialogue => vec![Question, Answer, Plan, Final],
            ReasoningMode::Reflect => {
                if !(1..=MOST_ROUNDS).contains(&self.rounds) {
                    let what = format!("{} rounds of reflection; expected 1..={MOST_ROUNDS}", self.rounds);
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                let round: &[Stage] = match (self.by_prompt, self.listen) {
                    (true, _) => &[Draft, Description, Critique],
                    (false, true) => &[Draft, Listen, Critique],
                    (false, false) => &[Draft, Critique],
                };
                let mut stages = vec![Plan];
                stages.extend(round.repeat(self.rounds));
                stages.push(Final);
                stages
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{Answer, Critique, Draft, Final, Listen, Plan, Question};

    fn stages(mode: ReasoningMode, rounds: usize, listen: bool) -> Vec<Stage> {
        Chain { mode, rounds, listen, by_prompt: false }.in_order().unwrap()
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
            let chain = Chain { mode: ReasoningMode::Reflect, rounds, ..Chain::default() };
            assert_eq!(chain.in_order().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn a_change_of_mode_takes_the_package_s_way_of_hearing() {
        use ReasoningMode::{Enrich, Reflect};
        let config = ReasoningConfig { default: Enrich, listen: true, ..ReasoningConfig::default() };
        let usual = config.chain();
        assert_eq!(usual, Chain { mode: Enrich, rounds: 1, listen: true, by_prompt: false });
        assert_eq!(config.changed(usual, None, None, None), Chain { listen: false, ..usual });
        let reflect = Chain { mode: Reflect, rounds: 3, ..Chain::default() };
        assert_eq!(config.changed(usual, Some(Reflect), Some(3), None), Chain { listen: true, ..reflect });
        assert_eq!(config.changed(usual, Some(Reflect), Some(3), Some(false)), reflect);
        assert_eq!(config.changed(reflect, None, None, None), reflect, "a saved chain keeps its way");
    }

    #[test]
    fn a_chain_by_prompt_hears_every_draft() {
        use Stage::Description;
        let config = ReasoningConfig { by_prompt: true, listen: true, ..ReasoningConfig::default() };
        let chain = config.changed(config.chain(), Some(ReasoningMode::Reflect), Some(2), Some(true));
        assert_eq!((chain.by_prompt, chain.listen), (true, false));
        let round = [Draft, Description, Critique];
        assert_eq!(chain.in_order().unwrap(), [&[Plan][..], &round, &round, &[Final]].concat());
        assert_eq!(serde_json::to_string(&Chain::default()).unwrap(), r#"{"mode":"enrich","rounds":0,"listen":false}"#);
        assert!(serde_json::to_string(&chain).unwrap().contains(r#""by_prompt":true"#));
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
