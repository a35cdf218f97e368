//! The stages of a chain, pulled event by event.
//!
//! In Rust a [`ChainRunner`] is advanced step by step, and passes its events to a closure. C pulls events: a stage runs
//! on its own thread, which owns the runner for that time and passes on one event at a time.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use ualm::{Cancel, ChainRunner, ChainSegment, ChainStep, ChainStop, Engine, Error, ErrorKind, Stage};

use super::boundary::{Failure, Result};
use super::names::{ualm_stage, ualm_stop_reason};
use super::takes::{Head, TakeEventView, ualm_take_event_kind as Kind};
use super::view::{Samples, SegmentView, ualm_usage};

type Runner = ChainRunner<'static>;
type Outcome = (Runner, ualm::Result<ChainStep>);

/// A chain, pulled event by event.
pub(super) struct Stages {
    state: State,
    stop: Cancel,
    /// The segments of the chain so far, with the index of their stage; a replaced one is kept, since C may still read
    /// it.
    made: Vec<Made>,
    end: Option<End>,
    /// The engine that runs the steps, kept alive by the chain.
    _engine: Option<Engine>,
}

/// A segment of the chain that C may read.
pub(super) struct Made {
    pub(super) stage_index: usize,
    pub(super) segment: Arc<SegmentView>,
    pub(super) sound: Option<Arc<Samples>>,
}

enum State {
    Ready(Box<Runner>),
    Running(Running),
    /// A panic ended the thread, and the runner with it.
    Lost,
}

/// The end of the events.
enum End {
    /// The next call fails with this error.
    Error(Error),
    /// The next event is the last one.
    Last,
    /// The end was reported.
    Over,
}

impl Stages {
    pub(super) fn new(runner: Runner, stop: Cancel, engine: Option<Engine>) -> Self {
        Self { state: State::Ready(Box::new(runner)), stop, made: Vec::new(), end: None, _engine: engine }
    }

    /// Returns the next event; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<TakeEventView>> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Lost => Err(lost()),
            State::Running(running) => self.follow(running),
            State::Ready(runner) => match self.end.take() {
                None => self.begin(*runner),
                Some(end) => {
                    let usage = ualm_usage::new(runner.usage(), runner.seconds());
                    self.state = State::Ready(runner);
                    self.end = Some(End::Over);
                    match end {
                        End::Error(error) => Err(error.into()),
                        End::Last => Ok(Some(TakeEventView::of_usage(Head::of(Kind::Finished), usage))),
                        End::Over => Ok(None),
                    }
                }
            },
        }
    }

    /// Begins the next stage, unless the chain awaits an answer or is finished.
    fn begin(&mut self, runner: Runner) -> Result<Option<TakeEventView>> {
        match runner.stage() {
            Some(Stage::Answer) => {
                let head = head(Kind::Question, &runner, runner.next_index());
                self.state = State::Ready(Box::new(runner));
                Ok(Some(TakeEventView::of_segment(head, None, None)))
            }
            None => {
                self.state = State::Ready(Box::new(runner));
                self.end = Some(End::Last);
                self.next()
            }
            Some(_) => {
                let running = Running::start(runner, self.stop.clone())?;
                self.follow(running)
            }
        }
    }

    /// Returns the next event of a stage, or the one that ends it.
    fn follow(&mut self, mut running: Running) -> Result<Option<TakeEventView>> {
        if let Some(event) = running.next() {
            self.state = State::Running(running);
            return Ok(Some(event));
        }
        let stage_index = running.stage_index;
        let (runner, step) = running.finish();
        let ended = head(Kind::StageEnded, &runner, stage_index);
        self.state = State::Ready(Box::new(runner));
        match step {
            Ok(ChainStep::Segment(made)) => Ok(Some(self.keep(ended, *made))),
            Ok(ChainStep::Heard) => Ok(Some(TakeEventView::of_segment(ended, None, None))),
            Ok(_) => self.next(),
            Err(error) if error.kind() == ErrorKind::Cancelled && self.stop.is_cancelled() => {
                self.end = Some(End::Last);
                self.next()
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a segment of the chain, and returns the event of its stage's end.
    fn keep(&mut self, ended: Head, made: ChainSegment) -> TakeEventView {
        let ChainSegment { position, segment, sound, stop, .. } = made;
        let (stop, end) = match stop {
            None => (ualm_stop_reason::None, None),
            Some(ChainStop::Context) => (ualm_stop_reason::Context, Some(End::Last)),
            Some(ChainStop::Failed(error)) => (ualm_stop_reason::Failed, Some(End::Error(error))),
            Some(ChainStop::NotRanked(error)) => (ualm_stop_reason::NotRanked, Some(End::Error(error))),
            // an unknown reason is reported as a cancellation
            Some(_) => (ualm_stop_reason::Cancelled, Some(End::Last)),
        };
        self.end = end;
        let head = Head { stop, take: position.take, modality: position.modality.into(), ..ended };
        let segment = SegmentView::new(segment);
        let sound = sound.as_ref().map(Samples::new);
        let view = TakeEventView::of_segment(head, Some(Arc::clone(&segment)), sound.clone());
        self.made.push(Made { stage_index: ended.segment_index, segment, sound });
        view
    }

    /// Returns the segment of the stage at `index`, as it is in the chain.
    pub(super) fn made(&self, index: usize) -> Option<&Made> {
        self.made.iter().rev().find(|made| made.stage_index == index)
    }

    /// Returns the runner, between two stages.
    pub(super) fn runner(&mut self) -> Result<&mut Runner> {
        match &mut self.state {
            State::Ready(runner) => Ok(runner),
            State::Running(_) => Err(Failure::busy("a stage of the chain is running: read its events first")),
            State::Lost => Err(lost()),
        }
    }

    /// Sets the plan, and reopens a chain that had ended with one.
    pub(super) fn set_plan(&mut self, plan: &str) -> Result<()> {
        self.runner()?.set_plan(plan)?;
        self.end = None;
        Ok(())
    }
}

fn head(kind: Kind, runner: &Runner, stage_index: usize) -> Head {
    let stage = runner.stages().get(stage_index).copied().map_or(ualm_stage::None, ualm_stage::from);
    Head { stage, segment_index: stage_index, ..Head::of(kind) }
}

fn lost() -> Failure {
    Failure::invalid("this chain was lost by an earlier failure: resume it from its record")
}

/// A running stage.
struct Running {
    stage_index: usize,
    /// `None` once the events have ended, or are not needed any more.
    events: Option<Receiver<TakeEventView>>,
    thread: Option<JoinHandle<Outcome>>,
    stop: Cancel,
}

impl Running {
    fn start(mut runner: Runner, stop: Cancel) -> Result<Self> {
        // the channel has no buffer, so the stage is never ahead by more than one event
        let (sender, events) = sync_channel(0);
        let stage_index = runner.next_index();
        let run = move || {
            let gone = |_| Error::new(ErrorKind::Cancelled, "the chain was freed");
            let step = runner.advance(|event| {
                TakeEventView::of(event, Some(stage_index)).map_or(Ok(()), |view| sender.send(view).map_err(gone))
            });
            (runner, step)
        };
        let thread = std::thread::Builder::new().name("ualm-chain".to_owned()).spawn(run);
        let thread = thread
            .map_err(|e| Error::new(ErrorKind::Limit, "the thread of a stage cannot be started").with_source(e))?;
        Ok(Self { stage_index, events: Some(events), thread: Some(thread), stop })
    }

    /// Waits for the next event; `None` when the stage is done.
    fn next(&mut self) -> Option<TakeEventView> {
        self.events.as_ref()?.recv().ok()
    }

    /// Waits for the thread; its panic resumes in the caller's thread.
    fn finish(mut self) -> Outcome {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(payload)) => resume_unwind(payload),
            None => resume_unwind(Box::new("the thread of a stage was joined twice")),
        }
    }
}

/// A stage that is dropped before its end stops after its current step.
impl Drop for Running {
    fn drop(&mut self) {
        self.events = None;
        if let Some(thread) = self.thread.take() {
            self.stop.cancel();
            // drop cannot report the panic
            let _ = thread.join();
        }
    }
}
