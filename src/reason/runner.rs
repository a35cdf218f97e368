//! The conductor of a chain: it runs one stage after another and keeps the record.

use super::by_prompt::empty;
use super::cost::Paces;
use super::event::{SegmentPosition, TakeEvent};
use super::ranking::Ranked;
use super::score::Expected;
use super::stages::Stages;
use super::takes::{Take, TakeRunner, TakeStart, Tell, nothing_made};
use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::chain::{Chain, ReasoningConfig, Stage, Wording};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Checkpoint, GenerationConfig, Seconds, Segment, SegmentEnd, Usage};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::Message;
use crate::record::Record;

impl Model {
    /// Returns the reasoning that the package was trained for; for a package that was trained for none, the defaults,
    /// with which every mode runs untrained.
    pub fn reasoning(&self) -> ReasoningConfig {
        ReasoningConfig {
            by_prompt: self.manifest().is_by_prompt(),
            ..self.manifest().reasoning.clone().unwrap_or_default()
        }
    }
}

/// The settings of a chain, beside the [`Chain`] itself.
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
    /// The wording of a chain by prompt in the place of the package's, or of the record's.
    pub wording: Wording,
    /// Changes the settings of each turn: the package's, or those of the turn before it in the record.
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

    /// Sets how the settings of each turn are changed.
    #[must_use]
    pub fn settings(self, settings: impl Fn(&mut GenerationConfig) + Send + 'a) -> Self {
        Self { settings: Box::new(settings), ..self }
    }
}

/// The result of a stage.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainStep {
    /// A segment was made.
    Segment(Box<ChainSegment>),
    /// The last draft was given to the audio encoder.
    Heard,
    /// The model has asked; the chain goes on after [`ChainRunner::answer`].
    Question,
    /// All stages are done.
    Finished,
}

/// A segment of a chain.
#[derive(Debug)]
#[non_exhaustive]
pub struct ChainSegment {
    /// The segment's position, with the take that was chosen.
    pub position: SegmentPosition,
    /// The segment.
    pub segment: Segment,
    /// Its sound, through the package's enhancer if it has one; `None` for text.
    pub sound: Option<Waveform>,
    /// Why the chain cannot go on after it; `None` if it can.
    pub stop: Option<ChainStop>,
}

/// The reason why a chain cannot go on. What was made is in its record, and the chain can be resumed from there.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChainStop {
    /// Stopped on request.
    Cancelled,
    /// The model's context is full.
    Context,
    /// The segment, or another take of it, failed.
    Failed(Error),
    /// All takes were made, but not ranked.
    NotRanked(Error),
}

/// A chain of reasoning in progress (UALM-Reason, arXiv 2510.12000): a conversation that is led through its stages.
///
/// Each [`advance`](Self::advance) runs one stage and returns its segment; events tell what happens in between. Every
/// segment of the chain is in [`record`](Self::record) as soon as it is made, and a chain resumes from a record at any
/// stage, token by token as if it had never stopped.
///
/// ```no_run
/// use ualm::{ChainOptions, ChainRunner, ChainStep, Message, Model, TakeEvent, TakeRunner};
///
/// # fn main() -> ualm::Result<()> {
/// let model = Model::load("onnx/default")?;
/// let chain = model.reasoning().chain();
/// let takes = TakeRunner::new(&model, 1)?;
/// let mut runner = ChainRunner::begin(takes, chain, "a dog, then rain", ChainOptions::default())?;
/// loop {
///     let step = runner.advance(|event| {
///         if let TakeEvent::TextDelta(_, piece) = event {
///             print!("{piece}");
///         }
///         Ok(())
///     })?;
///     match step {
///         ChainStep::Segment(made) => println!("{:?}: {:?}", made.position.stage, made.segment.end),
///         ChainStep::Question => runner.answer(Message::text("on a tin roof"))?,
///         ChainStep::Finished => break,
///         _ => {}
///     }
/// }
/// runner.record().write("reply.json")?;
/// # Ok(())
/// # }
/// ```
pub struct ChainRunner<'a> {
    pub(super) takes: TakeRunner,
    chain: Chain,
    pub(super) stages: Stages,
    pub(super) options: ChainOptions<'a>,
    pub(super) seed: u64,
    pub(super) record: Record,
    /// Index of the next stage.
    pub(super) next: usize,
    /// The checkpoint at which the next segment opens; `None` after a segment.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The checkpoint at which the last segment opened; `None` once the session has left it.
    pub(super) opened: Option<Checkpoint>,
    /// Random numbers drawn by the end of the last segment.
    draws: Option<u64>,
    /// The last sound as it is heard.
    pub(super) sound: Option<Waveform>,
    /// The person's answer, in a chain by prompt.
    pub(super) answer: Option<String>,
    pub(super) paces: Paces,
    ranking: Vec<Ranked>,
    is_stopped: bool,
}

impl<'a> ChainRunner<'a> {
    /// Begins a chain about `words` and runs its prompt. The conversation in the session of `takes` is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a reflection without rounds, or with too many, for a package that cannot make the
    /// segments of a stage, and for a plan where the chain does not begin with one; a prompt that does not fit the
    /// context; [`ErrorKind::Cancelled`].
    pub fn begin(mut takes: TakeRunner, chain: Chain, words: &str, options: ChainOptions<'a>) -> Result<Self> {
        takes.session_mut().clear();
        let seed = options.seed.unwrap_or_default();
        let mut runner = Self::new(takes, chain, options, seed)?;
        runner.check_plan()?;
        if runner.chain.by_prompt {
            runner.begin_by_prompt(words)?;
        } else {
            let prompt = runner.model().reasoning().prompt(chain.mode, words);
            runner.begin_turn(0, &[Message::text(prompt)])?;
        }
        Ok(runner)
    }

    /// Resumes the chain of `record` before the stage at `index`, as `chain`: the stages before it must be of the same
    /// modalities, those after it may be others. The conversation in the session of `takes` is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a record of no chain, of another package or of another beginning, for a stage that it
    /// does not reach, and for a hearing; and as [`begin`](Self::begin).
    pub fn resume(
        takes: TakeRunner,
        chain: Chain,
        record: &Record,
        index: usize,
        options: ChainOptions<'a>,
    ) -> Result<Self> {
        let saved = record.chain.ok_or_else(|| invalid("the record is of no chain"))?.stages()?;
        let stages = takes.session().model().reasoning().fitted(chain).stages()?;
        stages.check_begins_like(&saved, index)?;
        let seed = options.seed.unwrap_or_else(|| record.seed_at(stages.cut(index)));
        let mut runner = Self::new(takes, chain, options, seed)?;
        runner.next = index;
        runner.check_plan()?;
        if runner.chain.by_prompt {
            runner.go_to_by_prompt(record, saved.get(index).copied())?;
        } else {
            runner.go_to(record, index)?;
        }
        runner.record.chain = Some(runner.chain);
        Ok(runner)
    }

    fn new(takes: TakeRunner, chain: Chain, options: ChainOptions<'a>, seed: u64) -> Result<Self> {
        let chain = takes.session().model().reasoning().fitted(chain);
        let stages = chain.stages()?;
        let model = takes.session().model();
        stages.iter().filter_map(|stage| stage.modality()).try_for_each(|made| model.layout(made).map(drop))?;
        let mut record = Record::new(model.package());
        record.chain = Some(chain);
        Ok(Self {
            takes,
            chain,
            stages,
            options,
            seed,
            record,
            next: 0,
            checkpoint: None,
            opened: None,
            draws: None,
            sound: None,
            answer: None,
            paces: Paces::default(),
            ranking: Vec::new(),
            is_stopped: false,
        })
    }

    fn check_plan(&self) -> Result<()> {
        if self.options.plan.is_some() && self.stage() != Some(Stage::Plan) {
            return Err(invalid("a plan is given, but the first segment to make is no plan"));
        }
        Ok(())
    }

    fn go_to(&mut self, record: &Record, index: usize) -> Result<()> {
        let cut = self.stages.cut(index);
        match self.stage() {
            Some(stage) if stage.modality().is_some() => {
                self.checkpoint = Some(self.takes.session_mut().restore(record, cut)?);
                self.record = record.before(cut)?;
            }
            Some(Stage::Answer) => {
                self.record = record.before(cut)?;
                self.takes.session_mut().restore_turns(&self.record, cut.turn + 1)?;
            }
            _ => return Err(invalid("a chain resumes at a segment or at an answer: name one of them")),
        }
        Ok(())
    }

    /// Returns the model.
    pub fn model(&self) -> &Model {
        self.takes.session().model()
    }

    /// Returns the runner of the takes, with the chain's session.
    pub fn takes(&self) -> &TakeRunner {
        &self.takes
    }

    /// Lets `cancel` stop the chain from now on, in place of the token of its session
    /// ([`Session::set_cancel`](crate::Session::set_cancel)).
    pub fn set_cancel(&mut self, cancel: &Cancel) {
        self.takes.session_mut().set_cancel(cancel);
    }

    /// Returns the chain.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Returns the stages of the chain.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Returns the index of the next stage, or the number of stages at the end.
    pub fn next_index(&self) -> usize {
        self.next
    }

    /// Returns the next stage; `None` at the end.
    pub fn stage(&self) -> Option<Stage> {
        self.stages.get(self.next).copied()
    }

    /// Returns the seed of the segments.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the record of the chain, with all segments so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the plan; `None` before there is one.
    pub fn plan(&self) -> Option<&str> {
        let index = self.stages.iter().position(|stage| *stage == Stage::Plan)?;
        let cut = self.stages.cut(index);
        Some(&self.record.turns.get(cut.turn)?.segments.get(cut.segment)?.text)
    }

    /// Returns the ranking of the final takes so far, the best first.
    pub fn ranking(&self) -> &[Ranked] {
        &self.ranking
    }

    /// Returns the positions read and written so far ([`TakeRunner::usage`]).
    pub fn usage(&self) -> Usage {
        self.takes.usage()
    }

    /// Returns the time spent so far ([`TakeRunner::seconds`]).
    pub fn seconds(&self) -> Seconds {
        self.takes.seconds()
    }

    /// Notes in the record that the last segment is in `file`, a path relative to that of the record.
    pub fn name_file(&mut self, file: impl Into<String>) {
        if let Some(segment) = self.record.turns.last_mut().and_then(|turn| turn.segments.last_mut()) {
            segment.file = Some(file.into());
        }
    }

    /// Sets the plan, in place of one that the model writes or has just written: the next [`advance`](Self::advance)
    /// makes a segment of it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when neither the next stage nor the last one is a plan.
    pub fn set_plan(&mut self, plan: impl Into<String>) -> Result<()> {
        let last = self.next.checked_sub(1).filter(|last| self.stages.get(*last) == Some(&Stage::Plan));
        match (self.stage(), last, self.opened.take()) {
            (Some(Stage::Plan), ..) => {}
            // by prompt, the turn that follows may have begun, and the plan's is restored
            (_, Some(last), opened) if opened.is_some() || self.chain.by_prompt => {
                self.record = self.record.before(self.stages.cut(last))?;
                self.checkpoint = opened;
                self.next = last;
                self.is_stopped = false;
            }
            _ => return Err(invalid("a plan is given, but neither the next segment nor the last one is a plan")),
        }
        self.options.plan = Some(plan.into());
        Ok(())
    }

    /// Answers the model's question with a message of the person's: words, or a recording.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no question awaits an answer; a prompt that does not fit the context;
    /// [`ErrorKind::Cancelled`].
    pub fn answer(&mut self, answer: Message) -> Result<()> {
        self.check_open()?;
        if self.stage() != Some(Stage::Answer) {
            return Err(invalid("an answer is given, but no question awaits one"));
        }
        if self.chain.by_prompt {
            return self.answer_by_prompt(&answer);
        }
        self.begin_turn(self.next + 1, &[answer])?;
        self.next += 1;
        Ok(())
    }

    /// Runs the next stage. `tell` is given the events of its takes.
    ///
    /// After a segment with a [`stop`](ChainSegment::stop) the chain cannot go on. After an error nothing of the stage was
    /// kept, and it can be run again.
    ///
    /// # Errors
    /// The error of `tell`, which stops the stage; the first failure, or [`ErrorKind::Cancelled`], when nothing was made;
    /// [`ErrorKind::Invalid`] after a stop.
    pub fn advance(&mut self, mut tell: impl FnMut(TakeEvent<'_>) -> Result<()>) -> Result<ChainStep> {
        self.check_open()?;
        let Some(stage) = self.stage() else { return Ok(ChainStep::Finished) };
        if let Some(cost) = self.cost() {
            tell(TakeEvent::StageStarted(cost))?;
        }
        let before = (self.usage(), self.seconds());
        let made = match stage {
            Stage::Answer => return Ok(ChainStep::Question),
            Stage::Listen => return self.listen().map(|()| ChainStep::Heard),
            Stage::Question | Stage::Plan | Stage::Description | Stage::Critique => self.text(stage, &mut tell),
            Stage::Draft | Stage::Final => self.sound(stage, &mut tell),
        }?;
        self.paces.add(&made.segment, before, (self.takes.usage(), self.takes.seconds()));
        self.next += 1;
        self.is_stopped = made.stop.is_some();
        Ok(ChainStep::Segment(Box::new(made)))
    }

    /// Runs stages until the chain is finished, awaits an answer, or cannot go on: the last segment with its stop is
    /// returned then.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn run(&mut self, mut tell: impl FnMut(TakeEvent<'_>) -> Result<()>) -> Result<ChainStep> {
        loop {
            match self.advance(&mut tell)? {
                ChainStep::Heard => {}
                ChainStep::Segment(made) if made.stop.is_none() => {}
                step => return Ok(step),
            }
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_stopped {
            return Err(invalid("the chain was cut at its last segment: resume it from its record"));
        }
        Ok(())
    }

    /// Runs the prompt of a turn whose first segment is the stage at `first`.
    fn begin_turn(&mut self, first: usize, messages: &[Message]) -> Result<()> {
        let config = self.turn_config(first);
        let session = self.takes.session_mut();
        let prompt = session.prompt_for(config.opens_with(), messages)?;
        self.checkpoint = Some(session.checkpoint(&prompt)?);
        self.record.begin_turn(messages, &prompt, &config);
        Ok(())
    }

    /// Gives the last sound to the audio encoder.
    fn listen(&mut self) -> Result<()> {
        let sound = self.sound.clone().ok_or_else(|| invalid("no sound was made that could be heard"))?;
        let words = self.model().reasoning().listen_prompt;
        let messages: Vec<_> = std::iter::once(Message::audio(sound)).chain(words.map(Message::text)).collect();
        self.begin_turn(self.next + 1, &messages)?;
        self.next += 1;
        Ok(())
    }

    fn text(&mut self, stage: Stage, tell: &mut Tell<'_>) -> Result<ChainSegment> {
        let opened = self.open()?;
        let mut config = self.segment_config(&opened, stage);
        let start = match self.given(stage) {
            Some(text) => with_text(opened.clone(), text, self.model(), &mut config)?,
            None => opened.clone(),
        };
        let number = self.stages.number(self.next);
        let start = TakeStart { checkpoint: &start, record: &self.record, stage: Some((number, stage)), before: 0 };
        let mut takes = self.takes.make_from(start, &config, 1, tell)?;
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

    fn sound(&mut self, stage: Stage, tell: &mut Tell<'_>) -> Result<ChainSegment> {
        let is_final = stage == Stage::Final;
        let count = self.takes_of(stage);
        let opened = self.open()?;
        let stream_audio = self.options.stream_audio;
        let config = GenerationConfig { stream_audio, ..self.segment_config(&opened, stage) };
        let number = self.stages.number(self.next);
        let start = TakeStart { checkpoint: &opened, record: &self.record, stage: Some((number, stage)), before: 0 };
        let mut takes = self.takes.make_from(start, &config, count, tell)?;
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
            let (ranking, failure) = self.takes.rank_sounds(&takes, Modality::Audio, &expected, tell)?;
            self.ranking = ranking;
            match failure {
                Some(error) => stop = Some(ChainStop::NotRanked(error)),
                None => best = self.ranking.first().map(|best| best.take),
            }
        }
        let chosen = takes.into_iter().find(|take| best.is_none_or(|best| take.index == best));
        self.keep(opened, stage, chosen, stop)
    }

    /// Puts the segment of `take` into the chain.
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
        let draws = self.draws.ok_or_else(|| invalid("nothing was said that could go on"))?;
        let checkpoint = self.takes.session_mut().go_on(segments, draws)?;
        self.checkpoint = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Returns the settings of the turn whose first segment is the stage at `first`: those of the turn before it in the
    /// record, or the package's, changed as the options say. All segments up to the next turn are forced.
    fn turn_config(&self, first: usize) -> GenerationConfig {
        let mut config = self.record.turns.last().map_or_else(|| self.model().config(), |turn| turn.config.clone());
        (self.options.settings)(&mut config);
        config.seed = self.seed;
        config.force = self.stages.iter().skip(first).map_while(|stage| stage.modality()).collect();
        config.max_segments = config.force.len().max(1);
        config.insist = true;
        config.stream_audio = false;
        config
    }

    /// Returns the settings of `stage`, which is not made yet, but for its place in the reply.
    pub(super) fn config_of(&self, stage: Stage) -> GenerationConfig {
        if self.chain.by_prompt { self.config_by_prompt(stage) } else { self.turn_config(0) }
    }

    /// Returns the number of takes of `stage`.
    pub(super) fn takes_of(&self, stage: Stage) -> usize {
        if stage == Stage::Final { self.options.takes } else { 1 }
    }

    /// Returns the text that is given in place of a segment of `stage`.
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

/// Returns `checkpoint` with `text` given in place of a segment that the model writes; `config` makes room for it.
fn with_text(checkpoint: Checkpoint, text: &str, model: &Model, config: &mut GenerationConfig) -> Result<Checkpoint> {
    let tokens = model.closed_text_tokens(text)?;
    config.text.max_steps = config.text.max_steps.max(tokens.len());
    Ok(checkpoint.with_kept(Modality::Text, tokens))
}

/// Checks whether anything of the last segment was made.
fn has_tokens(take: &Take) -> bool {
    take.segments.last().is_some_and(|segment| !segment.tokens.is_empty())
}

/// Returns why nothing can follow `take`.
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

pub(super) fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
