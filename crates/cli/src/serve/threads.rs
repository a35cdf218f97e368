//! Work that is too long for the threads that answer the network.

use axum::body::Bytes;
use ualm::{ErrorKind, MOST_AT_ONCE, TakeEvent, TakeRunner};

use super::admission::BodyPermit;
use super::body::Received;
use super::error::ApiError;
use super::job::{Job, Outcome, Tools};
use super::server::Worker;
use crate::wire::Refusal;

/// Reads a request out of its body; the body's memory counts until the permit is dropped.
pub async fn parsed<T: Send + 'static>(
    received: Received,
    parse: impl FnOnce(Bytes) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, BodyPermit), ApiError> {
    let Received { bytes, permit } = received;
    let request = tokio::task::spawn_blocking(move || parse(bytes)).await;
    let request = request.map_err(|e| ApiError::internal(ErrorKind::Invalid, e.to_string()))??;
    Ok((request, permit))
}

/// Makes a reply on the thread of `worker`; an error of the request is about `param`.
pub fn make(
    worker: &Worker,
    job: Job,
    param: Option<&str>,
    tell: &mut dyn FnMut(TakeEvent<'_>) -> ualm::Result<()>,
) -> Result<Outcome, ApiError> {
    let mut session = worker.server.session().map_err(|e| worker.failed(&e, None))?;
    session.set_cancel(worker.stop().cancel());
    let company = worker.server.admission.company(MOST_AT_ONCE.min(job.takes.into()).saturating_sub(1));
    let takes = TakeRunner::in_session(session, 1 + company.len());
    let outcome = job.run(Tools { takes, tell });
    drop(company);
    let outcome = outcome.map_err(|e| worker.failed(&e, param))?;
    let metrics = &worker.server.metrics;
    metrics.steps.inc_by(outcome.usage.steps as u64);
    metrics.prompt_frames.inc_by(outcome.usage.prompt_positions as u64);
    Ok(outcome)
}
