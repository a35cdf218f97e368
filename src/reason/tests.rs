//! Chains by prompt on a scripted sequence, without the graphs of a language model.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ndarray::Array2;
use ualm_testing::{package_by_prompt, skip_without_fixtures};

use super::*;
use crate::cancel::Cancel;
use crate::chain::{Chain, ReasoningMode, Stage};
use crate::error::{ErrorKind, Result};
use crate::generate::{GenerationConfig, SegmentEnd};
use crate::language_model::{HeadId, Prefix, Sequence, StateMark};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::{FeatureSlot, Message};
use crate::record::Record;
use crate::session::Session;
use crate::token::{TokenId, Tokens};

const EOS: TokenId = 2;
const PLAN: &str = "Keywords: dog, bell. Layout: 0-1 dog; 1-2 bell. Description: A dog, then a bell.";
const CRITIQUE: &str = "No bell. Caption: A dog barks, then a bell.";

/// A sequence whose likeliest ids are those of a script, position by position.
struct Scripted {
    script: Arc<Mutex<VecDeque<Vec<TokenId>>>>,
    /// The id of each column of each head.
    heads: Vec<Vec<TokenId>>,
    position: usize,
    max_positions: usize,
    is_guided: bool,
    logits: Vec<f32>,
}

impl Sequence for Scripted {
    fn position(&self) -> usize {
        self.position
    }

    fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn reserve(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn mark(&self) -> StateMark {
        StateMark::at(self.position)
    }

    fn rewind(&mut self, mark: &StateMark) {
        self.position = mark.position();
    }

    fn fork(&mut self, _: &StateMark) -> Result<Box<dyn Sequence>> {
        unreachable!("a take is made alone")
    }

    fn prefill(&mut self, tokens: &Tokens, _: &[FeatureSlot], _: &Cancel) -> Result<()> {
        self.position += tokens.len();
        Ok(())
    }

    fn step(&mut self, _: &[TokenId]) -> Result<()> {
        self.position += 1;
        Ok(())
    }

    fn prepare_guidance(&mut self, _: Prefix, _: &Cancel) -> Result<()> {
        Ok(())
    }

    fn begin_guidance(&mut self, _: Prefix, _: &Cancel) -> Result<()> {
        self.is_guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        self.is_guided = false;
        Ok(())
    }

    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]> {
        let wanted = self.script.lock().unwrap().pop_front().unwrap_or_default();
        let ids = &self.heads[head.0];
        self.logits = ids.iter().map(|id| f32::from(u8::from(wanted.contains(id)))).collect();
        if self.is_guided {
            self.logits.resize(2 * ids.len(), 0.0);
        }
        Ok(&mut self.logits)
    }
}

/// A model that follows a script.
struct Actor {
    model: Model,
    script: Arc<Mutex<VecDeque<Vec<TokenId>>>>,
    _folder: tempfile::TempDir,
}

impl Actor {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let model = Model::load(package_by_prompt(&folder.path().join("package"))).unwrap();
        Self { model, script: Arc::default(), _folder: folder }
    }

    fn takes(&self, max_positions: usize) -> TakeRunner {
        let heads = self.model.manifest().heads.values();
        let heads = heads.map(|ids| ids.iter().flat_map(|interval| interval.start..interval.end).collect()).collect();
        let (script, logits) = (Arc::clone(&self.script), Vec::new());
        let sequence = Scripted { script, heads, position: 0, max_positions, is_guided: false, logits };
        TakeRunner::in_session(Session::new(self.model.clone(), Box::new(sequence)), 1)
    }

    fn begin(&self, mode: ReasoningMode) -> ChainRunner<'static> {
        let chain = Chain { mode, rounds: 1, ..Chain::default() };
        ChainRunner::begin(self.takes(4096), chain, "a dog", options()).unwrap()
    }

    /// Makes the model write `text` next.
    fn write(&self, text: &str) {
        let tokens = self.model.text_tokens(text).unwrap();
        let mut script = self.script.lock().unwrap();
        script.extend(tokens.iter().map(|position| vec![position[0]]));
        script.push_back(vec![EOS]);
    }

    /// Makes the model make a sound of `frames` frames next.
    fn sound(&self, frames: usize) {
        let layout = self.model.layout(Modality::Audio).unwrap();
        let tokens = layout.lay(&Array2::zeros((layout.books(), frames))).unwrap();
        let mut script = self.script.lock().unwrap();
        script.extend(tokens.iter().map(<[_]>::to_vec));
        script.push_back(vec![EOS]);
    }

    /// Makes the model do at `stage` what it should, or nothing.
    fn play(&self, stage: Stage, is_empty: bool) {
        match (stage, is_empty) {
            (Stage::Draft | Stage::Final, true) => self.sound(0),
            (Stage::Draft | Stage::Final, false) => self.sound(3),
            (_, true) => self.write(""),
            (Stage::Plan, false) => self.write(PLAN),
            (Stage::Critique, false) => self.write(CRITIQUE),
            (_, false) => self.write(stage.name()),
        }
    }
}

fn greedy(config: &mut GenerationConfig) {
    for modality in [Modality::Text, Modality::Audio] {
        let segment = config.segment_mut(modality);
        segment.temperature = 0.0;
        segment.min_steps = 0;
        segment.max_steps = 200;
    }
}

fn options() -> ChainOptions<'static> {
    ChainOptions::default().settings(greedy)
}

fn advance(runner: &mut ChainRunner) -> Result<ChainStep> {
    runner.advance(|_| Ok(()))
}

/// Returns the last words of the prompt of each turn.
fn prompts(record: &Record) -> Vec<&str> {
    record.turns.iter().filter_map(|turn| turn.messages.last()?.text.as_deref()).collect()
}

/// Runs a chain of `mode` in which the stage at `empty` comes out empty at first.
fn run_with_nothing_at(model: &Actor, mode: ReasoningMode, empty: usize) {
    let mut runner = model.begin(mode);
    for (index, stage) in runner.stages().to_vec().into_iter().enumerate() {
        if stage == Stage::Answer {
            runner.answer(Message::text("a big one")).unwrap();
            continue;
        }
        if index == empty {
            model.play(stage, true);
            let error = advance(&mut runner).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Numeric, "{error}");
            assert!(error.message().starts_with(&format!("the {} has no ", stage.name())), "{error}");
            let made: Vec<_> = runner.record().turns.iter().map(|turn| turn.segments.len()).collect();
            let turn = runner.stages().cut(index).turn;
            assert_eq!((made.len(), made[turn], runner.next_index()), (turn + 1, 0, index), "it is not kept");
            assert!(made[..turn].iter().all(|count| *count == 1), "all before it is");
        }
        // the stage can be run again
        model.play(stage, false);
        assert!(matches!(advance(&mut runner).unwrap(), ChainStep::Segment(_)), "{stage:?} of {mode:?}");
    }
    assert!(matches!(advance(&mut runner).unwrap(), ChainStep::Finished));
}

#[test]
fn nothing_made_at_a_stage_stops_the_chain_before_it() {
    skip_without_fixtures!();
    let model = Actor::new();
    for mode in [ReasoningMode::Enrich, ReasoningMode::Dialogue, ReasoningMode::Reflect] {
        let stages = model.begin(mode).stages().to_vec();
        for empty in (0..stages.len()).filter(|index| stages[*index] != Stage::Answer) {
            run_with_nothing_at(&model, mode, empty);
        }
    }
}

#[test]
fn every_prompt_is_worded_from_the_segments_before_it() {
    skip_without_fixtures!();
    let model = Actor::new();
    let mut runner = model.begin(ReasoningMode::Reflect);
    for stage in runner.stages().to_vec() {
        model.play(stage, false);
        advance(&mut runner).unwrap();
    }
    let prompts = prompts(runner.record());
    assert!(prompts[0].contains(" from these words: a dog\n"));
    assert_eq!((prompts[1], prompts[2]), ("A dog, then a bell.", "Describe the audio."));
    assert!(prompts[3].contains(PLAN) && prompts[3].contains("\ndescription\n"), "{}", prompts[3]);
    assert_eq!(prompts[4], "A dog barks, then a bell.", "the caption of the critique");
    let cost = runner.cost();
    assert_eq!(cost, None, "nothing is left");
}

#[test]
fn a_full_context_cuts_a_chain_which_goes_on_where_there_is_room() {
    skip_without_fixtures!();
    let model = Actor::new();
    let enrich = Chain { mode: ReasoningMode::Enrich, ..Chain::default() };
    let prompt = model.begin(ReasoningMode::Enrich).record().turns[0].prompt.len();
    model.write(PLAN);
    let takes = model.takes(prompt + 12);
    let mut runner = ChainRunner::begin(takes, enrich, "a dog", options()).unwrap();
    let ChainStep::Segment(made) = advance(&mut runner).unwrap() else { panic!("no segment") };
    assert!(matches!(made.stop, Some(ChainStop::Context)));
    assert_eq!(made.segment.end, SegmentEnd::Context);
    assert_eq!(advance(&mut runner).unwrap_err().kind(), ErrorKind::Invalid);

    model.script.lock().unwrap().clear();
    let mut resumed = ChainRunner::resume(model.takes(4096), enrich, runner.record(), 0, options()).unwrap();
    model.write(PLAN);
    model.sound(2);
    assert!(matches!(resumed.run(|_| Ok(())).unwrap(), ChainStep::Finished));

    // a prompt for which there is no room at all
    let begun = ChainRunner::begin(model.takes(prompt), enrich, "a dog", options());
    assert_eq!(begun.err().unwrap().kind(), ErrorKind::Limit);
}
