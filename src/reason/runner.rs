//! Runs a chain stage by stage, and keeps its record.

use super::cost::Paces;
use super::event::TakeEvent;
use super::options::ChainOptions;
use super::ranking::Ranked;
use super::stages::Stages;
use super::step::ChainStep;
use super::takes::TakeRunner;
use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::chain::{Chain, ReasoningConfig, Stage};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Checkpoint, Seconds, Usage};
use crate::model::Model;
use crate::prompt::Message;
use crate::record::Record;

impl Model {
    /// Returns the reasoning that the package was trained for, or the defaults, with which every mode runs untrained.
    pub fn reasoning(&self) -> ReasoningConfig {
        ReasoningConfig {
            by_prompt: self.manifest().is_by_prompt(),
            ..self.manifest().reasoning.clone().unwrap_or_default()
        }
    }
}

/// A chain of reasoning in progress (UALM-Reason, arXiv 2510.12000): a conversation that is led through its stages.
///
/// Each [`advance`](Self::advance) runs one stage, emits events, and returns the stage's segment. [`record`](Self::record)
/// holds every segment as soon as it is complete, and a chain resumes from a record at any stage with the same tokens as
/// a chain that never stopped.
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
    pub(super) chain: Chain,
    pub(super) stages: Stages,
    pub(super) options: ChainOptions<'a>,
    pub(super) seed: u64,
    pub(super) record: Record,
    /// Index of the next stage.
    pub(super) next: usize,
    /// The checkpoint at which the next segment opens; `None` directly after a segment.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The checkpoint at which the last segment opened; `None` once the session has left it.
    pub(super) opened: Option<Checkpoint>,
    /// Random numbers drawn by the end of the last segment.
    pub(super) draws: Option<u64>,
    /// The last sound, enhanced if the package has an enhancer.
    pub(super) sound: Option<Waveform>,
    /// The user's answer, in a chain by prompt.
    pub(super) answer: Option<String>,
    pub(super) paces: Paces,
    pub(super) ranking: Vec<Ranked>,
    is_stopped: bool,
}

impl<'a> ChainRunner<'a> {
    /// Begins a chain about `words` and runs its prompt, in the session of `takes`, whose conversation is cleared.
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

    /// Resumes the chain of `record` before the stage at `index`, as `chain`: the stages before `index` must have the same
    /// modalities, later ones may differ. The session of `takes` is cleared.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a record without a chain, of another package or with other stages before `index`, for a
    /// stage beyond the record's end, and for a hearing; and the errors of [`begin`](Self::begin).
    pub fn resume(
        takes: TakeRunner,
        chain: Chain,
        record: &Record,
        index: usize,
        options: ChainOptions<'a>,
    ) -> Result<Self> {
        let saved = record.chain.ok_or_else(|| invalid("the record is not of a chain"))?.stages()?;
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
            return Err(invalid("a plan is given, but the first segment to make is not a plan"));
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

    /// Records that the last segment is in `file`, a path relative to the record's folder.
    pub fn name_file(&mut self, file: impl Into<String>) {
        if let Some(segment) = self.record.turns.last_mut().and_then(|turn| turn.segments.last_mut()) {
            segment.file = Some(file.into());
        }
    }

    /// Sets the plan, in place of one that the model writes or has just written; the next [`advance`](Self::advance) makes it
    /// a segment.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when neither the next stage nor the last one is a plan.
    pub fn set_plan(&mut self, plan: impl Into<String>) -> Result<()> {
        let last = self.next.checked_sub(1).filter(|last| self.stages.get(*last) == Some(&Stage::Plan));
        match (self.stage(), last, self.opened.take()) {
            (Some(Stage::Plan), ..) => {}
            // by prompt, the next turn may have begun; then the turn of the plan is restored
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

    /// Answers the model's question with `answer`, a text or a recording.
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

    /// Runs the next stage, and passes the events of its takes to `on_event`.
    ///
    /// After a segment with a [`stop`](crate::ChainSegment::stop) the chain cannot continue. After an error, nothing of the
    /// stage is kept, and the stage can be run again.
    ///
    /// # Errors
    /// The error of `on_event`, which stops the stage; the first failure, or [`ErrorKind::Cancelled`], when nothing was made;
    /// [`ErrorKind::Invalid`] after a stop.
    pub fn advance(&mut self, mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>) -> Result<ChainStep> {
        self.check_open()?;
        let Some(stage) = self.stage() else { return Ok(ChainStep::Finished) };
        if let Some(cost) = self.cost() {
            on_event(TakeEvent::StageStarted(cost))?;
        }
        let before = (self.usage(), self.seconds());
        let made = match stage {
            Stage::Answer => return Ok(ChainStep::Question),
            Stage::Listen => return self.listen().map(|()| ChainStep::Heard),
            Stage::Question | Stage::Plan | Stage::Description | Stage::Critique => self.text(stage, &mut on_event),
            Stage::Draft | Stage::Final => self.sound(stage, &mut on_event),
        }?;
        self.paces.add(&made.segment, before, (self.takes.usage(), self.takes.seconds()));
        self.next += 1;
        self.is_stopped = made.stop.is_some();
        Ok(ChainStep::Segment(Box::new(made)))
    }

    /// Runs stages until the chain is finished or awaits an answer, or until a segment has a
    /// [`stop`](crate::ChainSegment::stop), which is returned.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn run(&mut self, mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>) -> Result<ChainStep> {
        loop {
            match self.advance(&mut on_event)? {
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

    /// Runs the last sound through the audio encoder, as the beginning of the next turn.
    fn listen(&mut self) -> Result<()> {
        let sound = self.sound.clone().ok_or_else(|| invalid("there is no sound to listen to"))?;
        let words = self.model().reasoning().listen_prompt;
        let messages: Vec<_> = std::iter::once(Message::audio(sound)).chain(words.map(Message::text)).collect();
        self.begin_turn(self.next + 1, &messages)?;
        self.next += 1;
        Ok(())
    }
}

pub(super) fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
