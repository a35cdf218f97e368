//! The arguments and the model of a chain.

use std::path::Path;

use ualm::audio::Waveform;
use ualm::{Cancel, ChainOptions, Model, Record, Result, TakeRunner, Wording};

use crate::args::{Common, Output, Reason};
use crate::output::note;

/// The arguments and the model of a chain.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub common: &'a Common,
    pub args: &'a Reason,
    pub model: &'a Model,
    pub cancel: &'a Cancel,
}

impl<'a> Job<'a> {
    /// Returns a runner for the takes of the last sound.
    pub fn takes(&self) -> Result<TakeRunner> {
        TakeRunner::new(self.model, self.args.takes.takes.into())
    }

    /// Returns the options of the chain.
    pub fn options(&self, seed: Option<u64>, texts: UserTexts) -> ChainOptions<'a> {
        let Reason { text_steps, sampling, .. } = self.args;
        ChainOptions::default()
            .seed(seed)
            .plan(texts.plan)
            .wording(texts.wording)
            .takes(self.args.takes.takes.into())
            .best(self.args.takes.best && self.args.takes.takes > 1)
            .settings(|config| {
                config.text.max_steps = text_steps.map_or(config.text.max_steps, |steps| steps.get() as usize);
                sampling.overrides.apply(&mut config.audio);
            })
    }

    /// Writes a sound with its record.
    pub fn write_sound(&self, path: &Path, sound: &Waveform, record: &Record) -> Result<()> {
        let output = Output { output: path.into(), samples: self.args.samples };
        output.write_take(&output.output, sound, self.args.takes.record.of(record))?;
        note(self.common, &format!("{}: {:.2} s", path.display(), sound.seconds()));
        Ok(())
    }
}

/// Texts that the user supplies.
pub struct UserTexts {
    pub plan: Option<String>,
    pub wording: Wording,
}
