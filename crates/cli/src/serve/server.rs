//! The state of the server that all requests share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use ualm::package::CodecConfig;
use ualm::{Cancel, Engine, Error, ErrorKind, Modality, Model, Result, Session};

use super::admission::{Admission, BodyPermit, Slot};
use super::error::ApiError;
use super::keys::Keys;
use super::metrics::Metrics;
use super::origin::Origins;
use super::pieces::{Receiver, Sender, channel};
use super::stop::{StopReason, StopToken};
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
    pub client_timeout: Duration,
    /// The start time, in seconds since 1970.
    pub started: u64,
    pub phase: Phases,
}

/// The server's limits on a request.
#[derive(Clone, Copy)]
pub struct Limits {
    pub body: u64,
    pub output_seconds: f64,
    pub takes: u16,
}

/// The phases of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// New requests are refused, and replies in progress may finish.
    Draining,
    /// Unfinished replies are cut off.
    Ended,
}

/// The current phase, and the token that cancels all replies.
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

    pub fn drain(&self) {
        self.now.send_replace(Phase::Draining);
    }

    /// Cancels all replies.
    pub fn cut_off(&self) {
        self.now.send_replace(Phase::Ended);
        self.all.cancel();
    }

    async fn ended(&self) {
        let mut now = self.now.subscribe();
        // the sender lives as long as the server
        let _ = now.wait_for(|phase| *phase == Phase::Ended).await;
    }
}

/// The context of a reply on its thread.
pub struct Worker {
    pub server: Arc<Server>,
    pub sender: Sender,
    arrived: Instant,
    first_sound: std::sync::Once,
}

impl Worker {
    pub fn stop(&self) -> &StopToken {
        &self.sender.stop
    }

    /// Records the time to the first sound in the metrics, once.
    pub fn sound_started(&self) {
        self.first_sound.call_once(|| self.server.metrics.first_sound(self.arrived.elapsed()));
    }

    /// Converts the error of a reply to an error response.
    pub fn api_error(&self, error: &Error, param: Option<&str>) -> ApiError {
        match (error.kind(), self.stop().reason()) {
            (ErrorKind::Cancelled, Some(reason)) => ApiError::stopped(reason),
            _ => ApiError::of(error, param),
        }
    }
}

impl Server {
    /// Creates a session, whose steps are batched with those of other sessions.
    ///
    /// # Errors
    /// None while the caller has a slot: the engine has room for all slots.
    pub fn session(&self) -> Result<Session> {
        self.engine.session()
    }

    /// Refuses any name but those of the loaded model.
    pub fn check_model(&self, name: &str) -> Result<(), ApiError> {
        if self.names.iter().any(|known| known == name) {
            return Ok(());
        }
        let message =
            format!("the model {name:?} is not available; this server has {} (--alias adds names)", list(&self.names));
        Err(Refusal { code: RefusalCode::ModelNotFound, param: Some("model".into()), message }.into())
    }

    /// Refuses an unknown voice.
    pub fn check_voice(&self, param: &str, name: Option<&str>) -> Result<(), ApiError> {
        match name {
            // an empty name means none
            Some(name) if !name.is_empty() && !self.voices.iter().any(|known| known == name) => {
                let message = format!(
                    "the voice {name:?} is not available; the package has one voice, {} (--voice adds names)",
                    list(&self.voices)
                );
                Err(Refusal::invalid(param, message).into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses more steps of sound than the limit.
    pub fn check_sound_steps(&self, param: &str, steps: Option<usize>) -> Result<(), ApiError> {
        let max = self.max_steps();
        match steps {
            Some(steps) if steps > max => {
                let message = format!(
                    "{steps} steps of sound were requested; the limit is {max} ({} s)",
                    self.limits.output_seconds
                );
                Err(Refusal { code: RefusalCode::Limit, param: Some(param.into()), message }.into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses more steps of text than the limit.
    pub fn check_text_steps(&self, param: &str, steps: Option<usize>) -> Result<(), ApiError> {
        let max = self.model.limits().steps;
        match steps {
            Some(steps) if steps > max => {
                let message = format!("{steps} steps were requested; the limit is {max}");
                Err(Refusal { code: RefusalCode::Limit, param: Some(param.into()), message }.into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the maximum number of steps of a sound of each modality, by the limit on its seconds; the end token is
    /// included.
    pub fn max_sound_steps(&self) -> BTreeMap<Modality, usize> {
        let steps = |(modality, codec): (_, &CodecConfig)| {
            let frames = (self.limits.output_seconds * codec.frames_per_second()).ceil() as usize;
            (modality, self.model.layout(modality).map_or(0, |layout| layout.steps_for(frames)) + 1)
        };
        self.model.sounds().map(steps).collect()
    }

    /// Returns the maximum number of steps of any sound.
    pub fn max_steps(&self) -> usize {
        self.max_sound_steps().into_values().max().unwrap_or(1)
    }

    /// Returns the steps per second of sound of each modality.
    pub fn steps_per_second(&self) -> BTreeMap<Modality, f64> {
        let steps = |(modality, codec): (_, &CodecConfig)| {
            let each = self.model.layout(modality).map_or(1, |layout| layout.steps_for(2) - layout.steps_for(1));
            (modality, codec.frames_per_second() * each as f64)
        };
        self.model.sounds().map(steps).collect()
    }

    /// Returns the codec frames per second of sound.
    pub fn frames_per_second(&self) -> f64 {
        self.model.sounds().next().map_or(1.0, |(_, codec)| codec.frames_per_second())
    }

    /// Returns whether a generated sound of `modality` can be part of a prompt.
    pub fn encodes_own(&self, modality: Modality) -> bool {
        self.model.sounds().any(|(made, codec)| made == modality && codec.encoder.is_some())
    }

    /// Returns the sample rate of sound of `modality`, by default of the first sound modality.
    pub fn sample_rate(&self, modality: Option<Modality>) -> u32 {
        let mut sounds = self.model.sounds().filter(|(made, _)| modality.is_none_or(|modality| modality == *made));
        sounds.next().map_or(super::encode::PCM_RATE, |(_, codec)| codec.sampling_rate)
    }

    /// Waits for a slot and starts `work` on a thread of its own.
    ///
    /// # Errors
    /// The queue is full, the deadline passed in the queue, or the server is shutting down.
    pub async fn start(
        self: &Arc<Self>,
        arrived: Instant,
        body: BodyPermit,
        work: impl FnOnce(&Worker) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Receiver, ApiError> {
        let deadline = arrived + self.deadline;
        let slot = tokio::select! {
            slot = self.admission.slot() => slot?,
            () = sleep_until(deadline) => return Err(ApiError::stopped(StopReason::Deadline)),
            () = self.phase.ended() => return Err(ApiError::stopped(StopReason::Shutdown)),
        };
        self.metrics.waited(arrived.elapsed());
        let (sender, receiver) = channel(StopToken::new(&self.phase.all), deadline, self.client_timeout);
        let worker = Worker { server: Arc::clone(self), sender, arrived, first_sound: std::sync::Once::new() };
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| run(worker, slot, body, work)));
        Ok(receiver)
    }
}

fn run(worker: Worker, slot: Slot, body: BodyPermit, work: impl FnOnce(&Worker) -> Result<(), ApiError>) {
    let start = Instant::now();
    let done = work(&worker);
    let server = &worker.server;
    server.admission.record_reply(start.elapsed());
    server.metrics.took(start.elapsed());
    let reason = worker.stop().reason();
    if reason == Some(StopReason::Gone) {
        server.metrics.gone.inc();
    }
    let seconds = start.elapsed().as_secs_f64();
    tracing::info!(seconds, stopped = reason.map(StopReason::name), failed = done.is_err(), "reply");
    // released before the client knows that its response is complete
    drop((slot, body));
    // fails if the client has disconnected
    let _ = worker.sender.finish(done);
}

/// Returns the seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "responses have a creation time, as OpenAI's do")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Creates a unique id.
pub fn unique(prefix: &str) -> Result<String, ApiError> {
    let random = getrandom::u64().map_err(|e| ApiError::internal(ErrorKind::Io, e.to_string()))?;
    Ok(format!("{prefix}-{random:016x}"))
}

/// Returns the requested seed, or draws one.
pub fn seed(asked: Option<u64>) -> Result<u64, ApiError> {
    let draw = || getrandom::u32().map(u64::from).map_err(|e| ApiError::internal(ErrorKind::Io, e.to_string()));
    asked.map_or_else(draw, Ok)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or ")
}
