//! The view of a stage in the terminal while it is generated.

use std::path::PathBuf;

use ualm::audio::Waveform;
use ualm::{Record, Result, RichCaption, Segment, SegmentPosition, Stage, TakeEvent};

use super::job::Job;
use super::show::{LiveText, note_cost};
use crate::in_order::InOrder;
use crate::progress::Progress;
use crate::rank;
use crate::sound::{numbered, present, warn_of_doubts};

/// Shows a stage: its text as it is generated, the progress of a sound, takes and their scores. Writes each take to a
/// file.
pub struct StageView<'a> {
    job: Job<'a>,
    /// The file of the stage.
    path: PathBuf,
    /// `true` if the user supplied the text, which is then not shown.
    is_given: bool,
    /// The planned length of the sound in seconds.
    planned: Option<f64>,
    text: LiveText<'a>,
    progress: Option<Progress>,
    order: InOrder<SoundTake>,
}

/// A finished take.
struct SoundTake {
    position: SegmentPosition,
    segment: Segment,
    sound: Waveform,
    record: Record,
}

impl<'a> StageView<'a> {
    pub fn new(job: Job<'a>, path: PathBuf, is_given: bool, plan: Option<RichCaption>) -> Self {
        let planned = plan.and_then(|plan| plan.seconds());
        let text = LiveText::new(job.common);
        Self { job, path, is_given, planned, text, progress: None, order: InOrder::default() }
    }

    /// Shows an event.
    pub fn show(&mut self, event: TakeEvent<'_>) -> Result<()> {
        match event {
            TakeEvent::StageStarted(cost) if !self.is_given => note_cost(self.job.common, &cost),
            TakeEvent::SegmentStarted(position) if position.modality.is_sound() && self.progress.is_none() => {
                self.progress = Some(Progress::sound(self.job.common, self.planned));
            }
            TakeEvent::TextDelta(SegmentPosition { stage: Some(stage), .. }, piece) if !self.is_given => {
                self.text.piece(stage, &piece)?;
            }
            TakeEvent::AudioProgress(_, seconds) => {
                if let Some(progress) = &self.progress {
                    progress.show_sound(seconds);
                }
            }
            TakeEvent::SegmentEnded { position, segment, sound, record }
                if segment.modality.is_sound() && !segment.tokens.is_empty() =>
            {
                let sound = present(sound.cloned())?;
                let take = SoundTake { position, segment: segment.clone(), sound, record: record.clone() };
                for (_, take) in self.order.push(position.take, take) {
                    self.keep(&take)?;
                }
            }
            TakeEvent::RankingStarted => {
                self.keep_rest()?;
                self.progress = Some(Progress::spinner(self.job.common, "listening"));
            }
            TakeEvent::Ranked(ranked) => {
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                if let Some(progress) = &self.progress {
                    rank::show(self.job.common, progress, &format!("{name}, take {}", ranked.take + 1), ranked);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the stage.
    pub fn end(&mut self) -> Result<()> {
        self.keep_rest()?;
        self.progress = None;
        self.text.end()
    }

    fn keep_rest(&mut self) -> Result<()> {
        let mut rest = self.order.rest();
        rest.try_for_each(|(_, take)| self.keep(&take))
    }

    /// Prints warnings about a sound, and writes it to a numbered file if it is one of several takes.
    fn keep(&self, take: &SoundTake) -> Result<()> {
        self.aside(|| {
            warn_of_doubts(self.job.model, &take.segment);
            if self.job.args.takes.takes == 1 || take.position.stage != Some(Stage::Final) {
                return Ok(());
            }
            let path = numbered(&self.path, u16::try_from(take.position.take + 1).unwrap_or(u16::MAX));
            self.job.write_sound(&path, &take.sound, &take.record)
        })
    }

    /// Hides the progress line while `work` prints.
    fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.progress {
            Some(progress) => progress.aside(work),
            None => work(),
        }
    }
}
