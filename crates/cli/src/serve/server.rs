//! The state that all requests share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use ualm::package::CodecConfig;
use ualm::{Cancel, Engine, Error, ErrorKind, Modality, Model, Result, Session};

use super::admission::{Admission, BodyPermit, Seat};
use super::error::ApiError;
use super::keys::Keys;
use super::metrics::Metrics;
use super::origin::Origins;
use super::pieces::{Piece, Receiver, Sender, channel};
use super::stop::{Stop, Why};
use crate::wire::{Refusal, RefusalCode};

/// The server.
pub struct Server {
    pub model: Model,
    pub engine: Engine,
    /// The model's names, its own first.
    pub names: Vec<String>,
    /// The voice's names, its own first.
    pub voices: Vec<String>,
    pub limits: Limits,
    pub admission: Admission,
    pub metrics: Metrics,
    pub keys: Option<Keys>,
    pub origins: Origins,
    pub deadline: Duration,
    pub patience: Duration,
    /// When it began, in seconds since 1970.
    pub began: u64,
    pub phase: Phases,
}

/// The limits of a request.
#[derive(Clone, Copy)]
pub struct Limits {
    pub body: u64,
    pub output_seconds: f64,
    pub takes: u16,
}

/// The phase of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// New requests are refused.
    Closing,
    /// Unfinished replies are cut off.
    Over,
}

/// The phase, and what stops with it.
pub struct Phases {
    now: watch::Sender<Phase>,
    all: Cancel,
}

impl Phases {
    pub fn open() -> Self {
        Self { now: watch::Sender::new(Phase::Open), all: Cancel::new() }
    }

    pub fn now(&self) -> Phase {
        *self.now.borrow()
    }

    pub fn close(&self) {
        self.now.send_replace(Phase::Closing);
    }

    /// Stops every reply.
    pub fn end(&self) {
        self.now.send_replace(Phase::Over);
        self.all.cancel();
    }

    async fn over(&self) {
        let mut now = self.now.subscribe();
        // the sender lives as long as the server
        let _ = now.wait_for(|phase| *phase == Phase::Over).await;
    }
}

/// One reply as its thread sees it.
pub struct Worker {
    pub server: Arc<Server>,
    pub sender: Sender,
    arrived: Instant,
    heard: std::sync::Once,
}

impl Worker {
    pub fn stop(&self) -> &Stop {
        &self.sender.stop
    }

    /// The first sound is on its way.
    pub fn sounds(&self) {
        self.heard.call_once(|| self.server.metrics.first_sound(self.arrived.elapsed()));
    }

    /// The error of a reply that came to nothing.
    pub fn failed(&self, error: &Error, param: Option<&str>) -> ApiError {
        match (error.kind(), self.stop().why()) {
            (ErrorKind::Cancelled, Some(why)) => ApiError::stopped(why),
            _ => ApiError::of(error, param),
        }
    }
}

impl Server {
    /// A conversation whose steps are run together with those of the others.
    ///
    /// # Errors
    /// Never while the caller has a seat: there is room for as many as there are seats.
    pub fn session(&self) -> Result<Session> {
        self.engine.session()
    }

    /// Refuses another model than the one that is loaded.
    pub fn check_model(&self, name: &str) -> Result<(), ApiError> {
        if self.names.iter().any(|known| known == name) {
            return Ok(());
        }
        let message =
            format!("the model {name:?} is not here; this is {} (--alias gives it other names)", list(&self.names));
        Err(Refusal { code: RefusalCode::ModelNotFound, param: Some("model".into()), message }.into())
    }

    /// Refuses a voice that the package does not have.
    pub fn check_voice(&self, param: &str, name: Option<&str>) -> Result<(), ApiError> {
        match name {
            // an empty name is no name
            Some(name) if !name.is_empty() && !self.voices.iter().any(|known| known == name) => {
                let message = format!(
                    "the voice {name:?} is not here; the package has one, named {} (--voice gives it other names)",
                    list(&self.voices)
                );
                Err(Refusal::invalid(param, message).into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses more frames of sound than are allowed.
    pub fn check_sound_steps(&self, param: &str, steps: Option<usize>) -> Result<(), ApiError> {
        let most = self.most_steps();
        match steps {
            Some(steps) if steps > most => {
                let message =
                    format!("{steps} frames of sound are asked for; at most {most}, {} s", self.limits.output_seconds);
                Err(Refusal { code: RefusalCode::Limit, param: Some(param.into()), message }.into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses more steps of a text than are allowed.
    pub fn check_text_steps(&self, param: &str, steps: Option<usize>) -> Result<(), ApiError> {
        let most = self.model.limits().steps;
        match steps {
            Some(steps) if steps > most => {
                let message = format!("{steps} steps are asked for; the limit is {most}");
                Err(Refusal { code: RefusalCode::Limit, param: Some(param.into()), message }.into())
            }
            _ => Ok(()),
        }
    }

    /// The most steps of a sound of each modality, its end included: those of as many seconds as a reply may have.
    pub fn most_sound_steps(&self) -> BTreeMap<Modality, usize> {
        let steps = |(modality, codec): (_, &CodecConfig)| {
            let frames = (self.limits.output_seconds * codec.frames_per_second()).ceil() as usize;
            (modality, self.model.layout(modality).map_or(0, |layout| layout.steps_for(frames)) + 1)
        };
        self.model.sounds().map(steps).collect()
    }

    /// The most steps of any sound.
    pub fn most_steps(&self) -> usize {
        self.most_sound_steps().into_values().max().unwrap_or(1)
    }

    /// Steps of a second of sound of each modality.
    pub fn steps_per_second(&self) -> BTreeMap<Modality, f64> {
        let steps = |(modality, codec): (_, &CodecConfig)| {
            let each = self.model.layout(modality).map_or(1, |layout| layout.steps_for(2) - layout.steps_for(1));
            (modality, codec.frames_per_second() * each as f64)
        };
        self.model.sounds().map(steps).collect()
    }

    /// Codec frames of a second of sound.
    pub fn frames_per_second(&self) -> f64 {
        self.model.sounds().next().map_or(1.0, |(_, codec)| codec.frames_per_second())
    }

    /// Returns whether a sound of `modality` that the model has made can be part of a prompt.
    pub fn takes_own(&self, modality: Modality) -> bool {
        self.model.sounds().any(|(made, codec)| made == modality && codec.encoder.is_some())
    }

    /// The sample rate of the model's sound of `modality`, or of any that it makes.
    pub fn sample_rate(&self, modality: Option<Modality>) -> u32 {
        let mut sounds = self.model.sounds().filter(|(made, _)| modality.is_none_or(|modality| modality == *made));
        sounds.next().map_or(super::encode::PCM_RATE, |(_, codec)| codec.sampling_rate)
    }

    /// Waits for a seat and begins `work` on a thread of its own.
    ///
    /// # Errors
    /// Too many wait; the server shuts down; it took too long until a seat was free.
    pub async fn start(
        self: &Arc<Self>,
        arrived: Instant,
        body: BodyPermit,
        work: impl FnOnce(&Worker) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Receiver, ApiError> {
        let deadline = arrived + self.deadline;
        let seat = tokio::select! {
            seat = self.admission.seat() => seat?,
            () = sleep_until(deadline) => return Err(ApiError::stopped(Why::Deadline)),
            () = self.phase.over() => return Err(ApiError::stopped(Why::Shutdown)),
        };
        self.metrics.waited(arrived.elapsed());
        let (sender, receiver) = channel(Stop::child_of(&self.phase.all), deadline, self.patience);
        let worker = Worker { server: Arc::clone(self), sender, arrived, heard: std::sync::Once::new() };
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| run(worker, seat, body, work)));
        Ok(receiver)
    }
}

fn run(worker: Worker, seat: Seat, body: BodyPermit, work: impl FnOnce(&Worker) -> Result<(), ApiError>) {
    let began = Instant::now();
    let done = work(&worker);
    let server = &worker.server;
    server.admission.took(began.elapsed());
    server.metrics.took(began.elapsed());
    let why = worker.stop().why();
    if why == Some(Why::Gone) {
        server.metrics.gone.inc();
    }
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(seconds, stopped = why.map(Why::name), failed = done.is_err(), "reply");
    // the seat is free before the client knows that its answer is complete
    drop((seat, body));
    let last = done.map_or_else(Piece::Failed, |()| Piece::End);
    // nobody may be there to hear it
    let _ = worker.sender.send(last);
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "answers say when they were made, as OpenAI's do")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A name that nothing else has.
pub fn unique(prefix: &str) -> Result<String, ApiError> {
    let random = getrandom::u64().map_err(|e| ApiError::internal(ErrorKind::Io, e.to_string()))?;
    Ok(format!("{prefix}-{random:016x}"))
}

/// The seed that was asked for, or one that is drawn.
pub fn seed(asked: Option<u64>) -> Result<u64, ApiError> {
    let draw = || getrandom::u32().map(u64::from).map_err(|e| ApiError::internal(ErrorKind::Io, e.to_string()));
    asked.map_or_else(draw, Ok)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or ")
}
