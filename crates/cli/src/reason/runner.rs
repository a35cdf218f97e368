//! Runs a chain, shows it, and saves each segment as it ends.

use std::io::{BufRead, IsTerminal};

use ualm::audio::Waveform;
use ualm::{
    Chain, ChainRunner, ChainSegment, ChainStep, ChainStop, Error, ErrorKind, Message, Record, Result, RichCaption,
    Segment, Stage, StageCost,
};

use super::editor::edit;
use super::folder::{Folder, RECORD, file_name};
use super::invalid;
use super::job::{Job, UserTexts};
use super::show::{SegmentSummary, Summary, note_plan};
use super::view::StageView;
use crate::interrupt::interrupted;
use crate::output::{print, print_json};
use crate::player::Player;
use crate::rank::not_ranked;
use crate::sound::{numbered, present, warn_of_cut};

/// A chain and its folder.
pub struct Runner<'a> {
    job: Job<'a>,
    folder: Folder,
    chain: ChainRunner<'a>,
    shown: Vec<SegmentSummary>,
    /// `true` if the user supplied the plan.
    is_given: bool,
    is_edited: bool,
    player: Player<'a>,
    /// The cost of the current stage, as estimated before it began.
    cost: Option<StageCost>,
}

impl<'a> Runner<'a> {
    fn new(job: Job<'a>, folder: Folder, chain: ChainRunner<'a>, is_given: bool) -> Self {
        let player = Player::new(job.common, &job.args.playing);
        Self { job, folder, chain, shown: Vec::new(), is_given, is_edited: false, player, cost: None }
    }

    /// Begins a chain about `words`.
    pub fn begin(job: Job<'a>, folder: Folder, chain: Chain, words: &str, seed: u64, texts: UserTexts) -> Result<Self> {
        let is_given = texts.plan.is_some();
        let options = job.options(Some(seed), texts);
        let chain = ChainRunner::begin(job.takes()?, chain, words, options).map_err(stopped)?;
        Ok(Self::new(job, folder, chain, is_given))
    }

    /// Resumes the chain that `record` holds before stage `index`.
    pub fn resume(
        job: Job<'a>,
        folder: Folder,
        chain: Chain,
        record: &Record,
        index: usize,
        texts: UserTexts,
    ) -> Result<Self> {
        let is_given = texts.plan.is_some();
        let options = job.options(job.args.sampling.seed, texts);
        let chain = ChainRunner::resume(job.takes()?, chain, record, index, options)?;
        Ok(Self::new(job, folder, chain, is_given))
    }

    /// Runs the remaining stages.
    pub fn run(&mut self) -> Result<()> {
        while let Some(stage) = self.chain.stage() {
            let index = self.chain.next_index();
            self.stage(index, stage).map_err(|error| self.with_resume_hint(error, index))?;
        }
        self.summarize()
    }

    fn stage(&mut self, index: usize, stage: Stage) -> Result<()> {
        let is_given = self.is_given && stage == Stage::Plan;
        let plan = self.chain.plan().and_then(RichCaption::parse);
        let name = file_name(self.chain.stages(), index);
        self.cost = self.chain.cost();
        let mut view = StageView::new(self.job, self.folder.path(&name), is_given, plan);
        let step = self.chain.advance(|event| view.show(event));
        view.end()?;
        match step {
            Ok(ChainStep::Segment(made)) => self.save(index, name, *made),
            Ok(ChainStep::Question) => self.answer(index, name),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Cancelled && stage != Stage::Listen => {
                Err(interrupted("nothing was made yet"))
            }
            Err(error) => Err(stopped(error)),
        }
    }

    /// Adds to an error how to resume the chain.
    fn with_resume_hint(&self, error: Error, index: usize) -> Error {
        let record = self.folder.path(RECORD);
        let number = self.chain.stages().number(index);
        if record.exists() {
            error.context(format!("segment {number} (resume with --from {} --segment {number})", record.display()))
        } else {
            error.context(format!("segment {number}"))
        }
    }

    /// Reads the user's answer to a question.
    fn answer(&mut self, index: usize, name: String) -> Result<()> {
        if std::io::stdin().is_terminal() {
            print("answer: ")?;
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|e| Error::new(ErrorKind::Io, "standard input cannot be read as text").with_source(e))?;
        let answer = line.trim();
        if answer.is_empty() {
            return Err(invalid("no answer was given"));
        }
        self.folder.write_text(&name, answer)?;
        self.shown.push(SegmentSummary {
            number: self.chain.stages().number(index),
            stage: Stage::Answer,
            file: name,
            end: None,
            text: Some(answer.to_owned()),
            seconds: None,
            cost: None,
        });
        self.chain.answer(Message::text(answer)).map_err(stopped)
    }

    /// Saves a segment of the chain and the record.
    fn save(&mut self, index: usize, name: String, made: ChainSegment) -> Result<()> {
        let ChainSegment { segment, sound, stop, .. } = made;
        let mut seconds = None;
        let mut heard = None;
        if segment.modality.is_sound() {
            let sound = present(sound)?;
            seconds = Some(sound.seconds());
            self.job.write_sound(&self.folder.path(&name), &sound, self.chain.record())?;
            self.draw(index, &sound)?;
            heard = Some(sound);
        } else {
            self.folder.write_text(&name, &segment.text)?;
        }
        self.chain.name_file(&*name);
        self.folder.write_record(self.chain.record())?;
        let flag = if segment.modality.is_sound() { "--max-steps" } else { "--text-steps" };
        warn_of_cut(&name, &segment, flag);
        let stage = self.chain.stages()[index];
        self.shown.push(SegmentSummary {
            number: self.chain.stages().number(index),
            stage,
            file: name,
            end: Some(segment.end),
            text: (!segment.modality.is_sound()).then(|| segment.text.clone()),
            seconds,
            cost: self.cost,
        });
        match (stop, heard) {
            (Some(stop), _) => Err(self.stop_error(stop)),
            (None, Some(sound)) => self.player.offer(&sound, self.job.cancel),
            (None, None) if stage == Stage::Plan => self.edit_plan(&segment),
            (None, None) => Ok(()),
        }
    }

    /// Draws a sound: the final one to the file of `--spectrogram`, a draft to a numbered file.
    fn draw(&self, index: usize, sound: &Waveform) -> Result<()> {
        let number = u16::try_from(self.chain.stages().number(index)).unwrap_or(u16::MAX);
        match self.chain.stages()[index] {
            Stage::Final => self.job.args.pictures.draw(sound),
            _ => self.job.args.pictures.named(|picture| numbered(picture, number)).draw(sound),
        }
    }

    /// Lets the user edit the plan once; an edited plan replaces the model's.
    fn edit_plan(&mut self, segment: &Segment) -> Result<()> {
        if self.job.args.edit && !self.is_edited {
            self.is_edited = true;
            let edited = edit(&segment.text)?;
            if edited != segment.text.trim() {
                self.shown.pop();
                self.is_given = true;
                return self.chain.set_plan(edited);
            }
        }
        note_plan(self.job.common, &segment.text);
        Ok(())
    }

    /// Returns the error for a chain that stopped after a saved segment.
    fn stop_error(&self, stop: ChainStop) -> Error {
        match stop {
            ChainStop::Failed(error) => error.context("cut off; the partial segment is saved"),
            ChainStop::Context => {
                let max = self.chain.takes().session().max_positions();
                Error::new(ErrorKind::Limit, format!("cut off: the model's context of {max} positions is full"))
            }
            ChainStop::NotRanked(error) => {
                not_ranked(error, self.chain.ranking().len(), self.job.args.takes.takes.into())
            }
            _ => interrupted("the partial segment is saved"),
        }
    }

    fn summarize(&mut self) -> Result<()> {
        if !self.job.common.json {
            return Ok(());
        }
        print_json(&Summary {
            folder: self.folder.path("").display().to_string(),
            seed: self.chain.seed(),
            plan: self.chain.plan().and_then(RichCaption::parse),
            segments: std::mem::take(&mut self.shown),
            ranking: self.chain.ranking().to_vec(),
        })
    }
}

/// Converts the error of a stage that did not begin.
fn stopped(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted("finished segments are saved"),
        _ => error,
    }
}
