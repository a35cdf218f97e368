//! Runs the stages of a chain, one after another, and saves each as it ends.

use std::io::{BufRead, IsTerminal};

use ualm::audio::Waveform;
use ualm::{
    Cancel, Chain, Checkpoint, Error, ErrorKind, Event, Expected, GenerationConfig, Message, Modality, Model, Ranked,
    Record, Result, RichCaption, Segment, SegmentEnd, Stage,
};

use super::editor::edit;
use super::folder::{Folder, RECORD, file_name};
use super::invalid;
use super::show::{LiveText, Shown, Summary, remark_plan};
use crate::args::{Common, Output, Reason};
use crate::chain::ChainMaker;
use crate::interrupt::interrupted;
use crate::output::{complain, print, print_json, remark};
use crate::progress::Progress;
use crate::rank::rank;
use crate::sound::{Made, numbered, sound_of};
use crate::takes::{Studio, make_takes, take_configs};

/// What was asked for, and what it is made with.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub common: &'a Common,
    pub args: &'a Reason,
    pub model: &'a Model,
    pub cancel: &'a Cancel,
}

/// A chain in the making, with its folder.
pub struct Runner<'a> {
    job: Job<'a>,
    folder: Folder,
    studio: Studio,
    maker: ChainMaker<'a>,
    shown: Vec<Shown>,
    ranking: Vec<Ranked>,
}

impl<'a> Runner<'a> {
    /// Stands before a chain.
    pub fn new(job: Job<'a>, folder: Folder, chain: Chain, seed: u64) -> Result<Self> {
        let studio = Studio::new(job.model, job.args.takes.takes, usize::MAX, None)?;
        let overrides = &job.args.sampling.overrides;
        let change = |config: &mut GenerationConfig| overrides.apply(&mut config.audio);
        let maker = ChainMaker::new(job.model, studio.session(None)?, chain, seed, change)?;
        Ok(Self { job, folder, studio, maker, shown: Vec::new(), ranking: Vec::new() })
    }

    /// Goes to the place before stage `index` of the chain that `record` holds.
    pub fn go_to(&mut self, record: &Record, index: usize) -> Result<()> {
        self.maker.go_to(record, index, self.job.cancel)
    }

    /// Begins a turn with the person's words.
    pub fn say(&mut self, words: &str) -> Result<()> {
        self.begin_turn(0, words)
    }

    fn begin_turn(&mut self, first: usize, words: &str) -> Result<()> {
        self.maker.say(first, &[Message::text(words)], self.job.cancel).map_err(stopped)
    }

    /// Runs the stages from `first` on; `plan` is given in the place of one that the model writes there.
    pub fn run(&mut self, first: usize, mut plan: Option<String>) -> Result<()> {
        for index in first..self.maker.stages.len() {
            let made = match self.maker.stages[index] {
                Stage::Answer => self.answer(index),
                Stage::Listen => self.maker.listen(index + 1, self.job.cancel).map_err(stopped),
                Stage::Plan => self.write_plan(index, plan.take()),
                Stage::Question | Stage::Critique => self.write(index),
                Stage::Draft | Stage::Final => self.sound(index),
            };
            made.map_err(|e| self.with_way_on(e, index))?;
        }
        self.summarize()
    }

    /// An error that says how to go on from the segments that are finished.
    fn with_way_on(&self, error: Error, index: usize) -> Error {
        let (record, number) = (self.folder.path(RECORD), self.maker.stages.number(index));
        match record.exists() {
            true => {
                error.context(format!("segment {number} (go on with --from {} --segment {number})", record.display()))
            }
            false => error.context(format!("segment {number}")),
        }
    }

    /// The person answers a question.
    fn answer(&mut self, index: usize) -> Result<()> {
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
        let name = file_name(&self.maker.stages, index);
        self.folder.write_text(&name, answer)?;
        self.show(index, name, None, Some(answer.to_owned()), None);
        self.begin_turn(index + 1, answer)
    }

    /// The plan: given, or written by the model, and perhaps edited before sound is made of it.
    fn write_plan(&mut self, index: usize, given: Option<String>) -> Result<()> {
        let place = self.maker.place(self.job.cancel)?;
        let mut plan = self.write_at(index, place.clone(), given.as_deref())?;
        if self.job.args.edit {
            let edited = edit(&plan)?;
            if edited != plan.trim() {
                self.maker.forget_last();
                self.shown.pop();
                plan = self.write_at(index, place, Some(&edited))?;
            }
        }
        remark_plan(self.job.common, &plan);
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let place = self.maker.place(self.job.cancel)?;
        self.write_at(index, place, None).map(drop)
    }

    /// A text segment at `place`, written by the model or `given`.
    fn write_at(&mut self, index: usize, place: Checkpoint, given: Option<&str>) -> Result<String> {
        let stage = self.maker.stages[index];
        let mut live = LiveText::new(self.job.common);
        let tell = |event| match event {
            Event::TextDelta(piece) if given.is_none() => live.piece(stage, &piece),
            _ => Ok(()),
        };
        let made = self.maker.text(place, given, self.job.cancel, tell);
        live.end()?;
        let (segment, failure) = made?;
        let (name, text, end) = (file_name(&self.maker.stages, index), segment.text.clone(), segment.end);
        self.folder.write_text(&name, &text)?;
        self.keep(index, name, segment, None)?;
        self.check_end(end, failure)?;
        Ok(text)
    }

    /// The error of a segment that was saved, but cut so that nothing can follow it.
    fn check_end(&self, end: SegmentEnd, failure: Option<Error>) -> Result<()> {
        match (failure, end) {
            (Some(error), _) => Err(error.context("cut, what there was of it is saved")),
            (None, SegmentEnd::Context) => {
                let most = self.maker.session.max_positions();
                Err(Error::new(ErrorKind::Limit, format!("cut: the model's context of {most} positions is full")))
            }
            (None, SegmentEnd::Cancelled) => Err(interrupted("what there was of it is saved")),
            (None, SegmentEnd::Eos | SegmentEnd::Eot | SegmentEnd::Limit | SegmentEnd::Failed) => Ok(()),
        }
    }

    /// A sound segment, the last one in as many takes as are asked for. Takes that were made before one that was cut
    /// count.
    fn sound(&mut self, index: usize) -> Result<()> {
        let takes = if self.maker.stages[index] == Stage::Final { self.job.args.takes.takes } else { 1 };
        let place = self.maker.place(self.job.cancel)?;
        let name = file_name(&self.maker.stages, index);
        let mut made = Vec::new();
        let mut stopped = self.take_all(&place, &name, takes, &mut made);
        if made.is_empty() {
            return stopped;
        }
        let mut best = 0;
        if stopped.is_ok() && takes > 1 && self.job.args.takes.best {
            match self.rank(&made, &name) {
                Ok(found) => best = found,
                Err(error) => stopped = Err(error),
            }
        }
        let (segment, sound) = made.swap_remove(best);
        let path = self.folder.path(&name);
        self.write_sound(&path.to_string_lossy(), &segment, &sound)?;
        remark(self.job.common, &format!("{}: {:.2} s", path.display(), sound.seconds()));
        self.draw(index, &sound)?;
        self.keep(index, name, segment, Some(sound))?;
        stopped
    }

    /// All takes, several at once; those that were made are kept before the error of one is told.
    fn take_all(
        &mut self,
        place: &Checkpoint,
        name: &str,
        takes: u16,
        made: &mut Vec<(Segment, Waveform)>,
    ) -> Result<()> {
        let numbers: Vec<_> = (1..=takes).collect();
        for numbers in numbers.chunks(self.studio.at_once) {
            let sounds = self.make_sounds(place, numbers)?;
            let kept = numbers.iter().zip(sounds).map(|(number, sound)| self.take(name, *number, takes, sound?, made));
            kept.collect::<Vec<_>>().into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// Take number `number` (from 1) of `takes`, with a file of its own if there are several.
    fn take(
        &mut self,
        name: &str,
        number: u16,
        takes: u16,
        (segment, failure): (Segment, Option<Error>),
        made: &mut Vec<(Segment, Waveform)>,
    ) -> Result<()> {
        let sound = sound_of(self.job.model, &segment)?;
        if takes > 1 {
            let path = numbered(&self.folder.path(name), number);
            self.write_sound(&path.to_string_lossy(), &segment, &sound)?;
            remark(self.job.common, &format!("{}: {:.2} s", path.display(), sound.seconds()));
        }
        let end = segment.end;
        made.push((segment, sound));
        self.check_end(end, failure)
    }

    /// Draws a sound: the last one into the file that is named, a draft into one with its number.
    fn draw(&self, index: usize, sound: &Waveform) -> Result<()> {
        let number = u16::try_from(self.maker.stages.number(index)).unwrap_or(u16::MAX);
        match self.maker.stages[index] {
            Stage::Final => self.job.args.pictures.draw(sound),
            _ => self.job.args.pictures.named(|picture| numbered(picture, number)).draw(sound),
        }
    }

    fn make_sounds(&mut self, place: &Checkpoint, numbers: &[u16]) -> Result<Vec<Result<Made>>> {
        let configs = take_configs(&self.maker.sound_config(place), numbers.iter().map(|number| number - 1));
        let planned = self.maker.plan().and_then(RichCaption::parse).and_then(|plan| plan.seconds());
        let progress = Progress::sound(self.job.common, planned);
        make_takes(&mut self.maker.session, place, &configs, self.job.cancel, |event| {
            progress.show(&event);
            Ok(())
        })
    }

    /// Which of the takes covers the plan best.
    fn rank(&mut self, made: &[(Segment, Waveform)], name: &str) -> Result<usize> {
        let sounds: Vec<_> = made.iter().map(|(_, sound)| sound.clone()).collect();
        let names: Vec<_> = (1..=made.len()).map(|number| format!("{name}, take {number}")).collect();
        let expected = Expected::of(self.maker.plan().unwrap_or_default());
        let job = self.job;
        self.ranking =
            rank(job.common, &mut self.maker.session, &sounds, &names, Modality::Audio, &expected, job.cancel)?;
        Ok(self.ranking.first().map_or(0, |best| best.take))
    }

    /// Writes a sound with the record of everything before it.
    fn write_sound(&self, path: &str, segment: &Segment, sound: &Waveform) -> Result<()> {
        let output = Output { output: path.into(), float: self.job.args.float };
        let take = self.maker.record_with(segment);
        output.write_take(&output.output, sound, Some(&take).filter(|_| !self.job.args.takes.no_take))
    }

    /// Puts a finished segment into the record, and saves that.
    fn keep(&mut self, index: usize, name: String, segment: Segment, sound: Option<Waveform>) -> Result<()> {
        let (end, most) = (segment.end, segment.config.max_steps);
        let text = (!segment.modality.is_sound()).then(|| segment.text.clone());
        let seconds = sound.as_ref().map(Waveform::seconds);
        self.maker.keep(segment, sound);
        if let Some(kept) = self.maker.record.turns.last_mut().and_then(|turn| turn.segments.last_mut()) {
            kept.file = Some(name.clone());
        }
        self.folder.write_record(&self.maker.record)?;
        if end == SegmentEnd::Limit {
            complain(&format!("warning: {name}: cut at its limit of {most} steps (--max-steps for sound)"));
        }
        self.show(index, name, Some(end), text, seconds);
        Ok(())
    }

    fn show(
        &mut self,
        index: usize,
        file: String,
        end: Option<SegmentEnd>,
        text: Option<String>,
        seconds: Option<f64>,
    ) {
        let (number, stage) = (self.maker.stages.number(index), self.maker.stages[index]);
        self.shown.push(Shown { number, stage, file, end, text, seconds });
    }

    fn summarize(&mut self) -> Result<()> {
        if !self.job.common.json {
            return Ok(());
        }
        print_json(&Summary {
            folder: self.folder.path("").display().to_string(),
            seed: self.maker.seed,
            plan: self.maker.plan().and_then(RichCaption::parse),
            segments: std::mem::take(&mut self.shown),
            ranking: std::mem::take(&mut self.ranking),
        })
    }
}

/// The error of a turn that was not begun.
fn stopped(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted("finished segments are saved"),
        _ => error,
    }
}
