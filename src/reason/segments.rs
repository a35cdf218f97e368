//! The segment of one stage of a chain: its settings, its takes, and the take that the chain keeps.

use super::by_prompt::empty;
use super::event::SegmentPosition;
use super::runner::{ChainRunner, invalid};
use super::score::Expected;
use super::step::{ChainSegment, ChainStop};
use super::takes::{OnEvent, Take, TakeStart, nothing_made};
use crate::audio::Waveform;
use crate::chain::Stage;
use crate::error::Result;
use crate::generate::{Checkpoint, GenerationConfig, SegmentEnd};
use crate::modality::Modality;
use crate::model::Model;

impl ChainRunner<'_> {
    /// Makes the text of `stage`, or takes the text given in its place.
    pub(super) fn text(&mut self, stage: Stage, on_event: &mut OnEvent<'_>) -> Result<ChainSegment> {
        let opened = self.open()?;
        let mut config = self.segment_config(&opened, stage);
        let start = match self.given(stage) {
            Some(text) => with_text(opened.clone(), text, self.model(), &mut config)?,
            None => opened.clone(),
        };
        let number = self.stages.number(self.next);
        let start = TakeStart { checkpoint: &start, record: &self.record, stage: Some((number, stage)), before: 0 };
        let mut takes = self.takes.make_from(start, &config, 1, on_event)?;
        let stop = takes.iter_mut().find_map(stop_of);
        let is_empty = |take: &Take| take.segments.last().is_some_and(|segment| segment.text.trim().is_empty());
        if self.chain.by_prompt && stop.is_none() && takes.iter().all(is_empty) {
            return Err(empty(stage.name(), Modality::Text));
        }
        let made = self.keep(opened, stage, takes.pop(), stop)?;
        if stage == Stage::Plan {
            self.options.plan = None;
        }
        Ok(made)
    }

    /// Makes the takes of the sound of `stage`, ranks them if they are to be ranked, and keeps the best or the first.
    pub(super) fn sound(&mut self, stage: Stage, on_event: &mut OnEvent<'_>) -> Result<ChainSegment> {
        let is_final = stage == Stage::Final;
        let count = self.takes_of(stage);
        let opened = self.open()?;
        let stream_audio = self.options.stream_audio;
        let config = GenerationConfig { stream_audio, ..self.segment_config(&opened, stage) };
        let number = self.stages.number(self.next);
        let start = TakeStart { checkpoint: &opened, record: &self.record, stage: Some((number, stage)), before: 0 };
        let mut takes = self.takes.make_from(start, &config, count, on_event)?;
        let mut stop = takes.iter_mut().find_map(stop_of);
        takes.retain(has_tokens);
        let is_empty = |take: &Take| take.sound.as_ref().is_none_or(Waveform::is_empty);
        if self.chain.by_prompt && stop.is_none() {
            takes.retain(|take| !is_empty(take));
            if takes.is_empty() {
                return Err(empty(stage.name(), Modality::Audio));
            }
        }
        let mut best = None;
        if self.options.best && is_final && stop.is_none() {
            let expected = Expected::of(self.plan().unwrap_or_default());
            let (ranking, failure) = self.takes.rank_sounds(&takes, Modality::Audio, &expected, on_event)?;
            self.ranking = ranking;
            match failure {
                Some(error) => stop = Some(ChainStop::NotRanked(error)),
                None => best = self.ranking.first().map(|best| best.take),
            }
        }
        let chosen = takes.into_iter().find(|take| best.is_none_or(|best| take.index == best));
        self.keep(opened, stage, chosen, stop)
    }

    /// Adds the segment of `take` to the chain.
    fn keep(
        &mut self,
        opened: Checkpoint,
        stage: Stage,
        take: Option<Take>,
        stop: Option<ChainStop>,
    ) -> Result<ChainSegment> {
        let made = take.filter(has_tokens).and_then(|mut take| Some((take.index, take.segments.pop()?, take.sound)));
        let Some((take, segment, sound)) = made else {
            return Err(match stop {
                Some(ChainStop::Failed(error)) => error,
                _ => nothing_made(),
            });
        };
        self.record.push(&segment);
        self.draws = Some(segment.draws.to);
        self.checkpoint = None;
        self.opened = Some(opened);
        if sound.is_some() {
            self.sound.clone_from(&sound);
        }
        let number = self.stages.number(self.next);
        let position = SegmentPosition { take, number, stage: Some(stage), modality: segment.modality };
        Ok(ChainSegment { position, segment, sound, stop })
    }

    /// Returns the checkpoint at which the next segment opens.
    fn open(&mut self) -> Result<Checkpoint> {
        if let Some(checkpoint) = &self.checkpoint {
            return Ok(checkpoint.clone());
        }
        if self.chain.by_prompt {
            return self.open_turn();
        }
        let segments = self.record.turns.last().map_or(0, |turn| turn.segments.len());
        let draws = self.draws.ok_or_else(|| invalid("there is no reply to continue"))?;
        let checkpoint = self.takes.session_mut().go_on(segments, draws)?;
        self.checkpoint = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Returns the settings of the turn whose first segment is the stage at `first`: those of the turn before it in the
    /// record, or the package's, changed as the options say. All segments up to the next turn are forced.
    pub(super) fn turn_config(&self, first: usize) -> GenerationConfig {
        let mut config = self.record.turns.last().map_or_else(|| self.model().config(), |turn| turn.config.clone());
        (self.options.settings)(&mut config);
        config.seed = self.seed;
        config.force = self.stages.iter().skip(first).map_while(|stage| stage.modality()).collect();
        config.max_segments = config.force.len().max(1);
        config.insist = true;
        config.stream_audio = false;
        config
    }

    /// Returns the settings of `stage`, without the segments before it in the reply.
    pub(super) fn config_of(&self, stage: Stage) -> GenerationConfig {
        if self.chain.by_prompt { self.config_by_prompt(stage) } else { self.turn_config(0) }
    }

    /// Returns the number of takes of `stage`.
    pub(super) fn takes_of(&self, stage: Stage) -> usize {
        if stage == Stage::Final { self.options.takes } else { 1 }
    }

    /// Returns the text in place of a segment of `stage`, if one is given.
    pub(super) fn given(&self, stage: Stage) -> Option<&String> {
        self.options.plan.as_ref().filter(|_| stage == Stage::Plan)
    }

    /// Returns the settings of the one segment of `stage` at `checkpoint`.
    fn segment_config(&self, checkpoint: &Checkpoint, stage: Stage) -> GenerationConfig {
        let mut config = self.config_of(stage);
        let modality = stage.modality().unwrap_or(Modality::Text);
        config.force.resize(checkpoint.segments(), modality);
        config.force.push(modality);
        config.max_segments = config.force.len();
        config
    }
}

/// Returns `checkpoint` with `text` in place of a segment that the model writes, and raises the step limit of `config` to
/// hold it.
fn with_text(checkpoint: Checkpoint, text: &str, model: &Model, config: &mut GenerationConfig) -> Result<Checkpoint> {
    let tokens = model.closed_text_tokens(text)?;
    config.text.max_steps = config.text.max_steps.max(tokens.len());
    Ok(checkpoint.with_kept(Modality::Text, tokens))
}

/// Returns whether the last segment has a token.
fn has_tokens(take: &Take) -> bool {
    take.segments.last().is_some_and(|segment| !segment.tokens.is_empty())
}

/// Returns the reason why nothing can follow `take`, if there is one.
fn stop_of(take: &mut Take) -> Option<ChainStop> {
    if let Some(error) = take.failure.take() {
        return Some(ChainStop::Failed(error));
    }
    match take.end() {
        None | Some(SegmentEnd::Cancelled) => Some(ChainStop::Cancelled),
        Some(SegmentEnd::Context) => Some(ChainStop::Context),
        Some(SegmentEnd::Eos | SegmentEnd::Eot | SegmentEnd::Limit | SegmentEnd::Failed) => None,
    }
}
