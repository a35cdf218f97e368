//! Work on blocking threads: parsing requests and generating replies.

use axum::body::Bytes;
use ualm::{ErrorKind, MOST_AT_ONCE, TakeEvent, TakeRunner};

use super::admission::BodyPermit;
use super::body::Received;
use super::error::ApiError;
use super::job::{Job, Outcome, Tools};
use super::server::Worker;
use crate::wire::Refusal;

/// Parses a request from its body. The permit for the body's memory is returned with it.
pub async fn parse_body<T: Send + 'static>(
    received: Received,
    parse: impl FnOnce(Bytes) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, BodyPermit), ApiError> {
    let Received { bytes, permit } = received;
    let request = tokio::task::spawn_blocking(move || parse(bytes)).await;
    let request = request.map_err(|e| ApiError::internal(ErrorKind::Invalid, e.to_string()))??;
    Ok((request, permit))
}

/// Generates a reply on the thread of `worker`; errors of the request name the field `param`.
pub fn make(
    worker: &Worker,
    job: Job,
    param: Option<&str>,
    on_event: &mut dyn FnMut(TakeEvent<'_>) -> ualm::Result<()>,
) -> Result<Outcome, ApiError> {
    let mut session = worker.server.session().map_err(|e| worker.api_error(&e, None))?;
    session.set_cancel(worker.stop().cancel());
    let extra_slots = worker.server.admission.extra_slots(MOST_AT_ONCE.min(job.takes.into()).saturating_sub(1));
    let takes = TakeRunner::in_session(session, 1 + extra_slots.len());
    let outcome = job.run(Tools { takes, on_event });
    drop(extra_slots);
    let outcome = outcome.map_err(|e| worker.api_error(&e, param))?;
    let metrics = &worker.server.metrics;
    metrics.steps.inc_by(outcome.usage.steps as u64);
    metrics.prompt_frames.inc_by(outcome.usage.prompt_positions as u64);
    Ok(outcome)
}
