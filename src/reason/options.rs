//! The settings of a chain.

use crate::chain::Wording;
use crate::generate::GenerationConfig;

/// The settings of a chain, in addition to the [`Chain`](crate::Chain).
#[non_exhaustive]
pub struct ChainOptions<'a> {
    /// The seed of every segment. By default 0, or the seed of the record at the stage to resume at.
    pub seed: Option<u64>,
    /// The number of takes of the final sound. Take `n` (from 0) has the seed plus `n`.
    pub takes: usize,
    /// `true` ranks the takes by how well they cover the plan, and ends the chain with the best; else with the first.
    pub best: bool,
    /// `true` yields sounds in chunks while they are made, at some cost in speed.
    pub stream_audio: bool,
    /// The plan that the chain begins with, or resumes with, in place of one that the model writes.
    pub plan: Option<String>,
    /// The wording of a chain by prompt, in place of the package's or the record's.
    pub wording: Wording,
    /// A function that changes the settings of each turn: the package's, or those of the turn before it in the record.
    pub settings: Box<dyn Fn(&mut GenerationConfig) + Send + 'a>,
}

impl Default for ChainOptions<'_> {
    fn default() -> Self {
        Self {
            seed: None,
            takes: 1,
            best: false,
            stream_audio: false,
            plan: None,
            wording: Wording::default(),
            settings: Box::new(|_| {}),
        }
    }
}

impl<'a> ChainOptions<'a> {
    /// Sets the seed of every segment.
    #[must_use]
    pub fn seed(self, seed: impl Into<Option<u64>>) -> Self {
        Self { seed: seed.into(), ..self }
    }

    /// Sets the number of takes of the final sound.
    #[must_use]
    pub fn takes(self, takes: usize) -> Self {
        Self { takes, ..self }
    }

    /// Sets whether the takes are ranked and the chain ends with the best.
    #[must_use]
    pub fn best(self, best: bool) -> Self {
        Self { best, ..self }
    }

    /// Sets whether sounds are yielded in chunks while they are made.
    #[must_use]
    pub fn stream_audio(self, stream_audio: bool) -> Self {
        Self { stream_audio, ..self }
    }

    /// Sets the plan that the chain begins or resumes with.
    #[must_use]
    pub fn plan(self, plan: impl Into<Option<String>>) -> Self {
        Self { plan: plan.into(), ..self }
    }

    /// Sets the wording of a chain by prompt.
    #[must_use]
    pub fn wording(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    /// Sets a function that changes the settings of each turn.
    #[must_use]
    pub fn settings(self, settings: impl Fn(&mut GenerationConfig) + Send + 'a) -> Self {
        Self { settings: Box::new(settings), ..self }
    }
}
