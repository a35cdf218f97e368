//! Accepts connections, and drains them at shutdown.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use ualm::{Error, ErrorKind, Result};

use super::notify;
use super::router::router;
use super::server::Server;
use crate::args::Serve;
use crate::output::warn;
use crate::system::{Stop, stop_signal};

/// The time limit for sending cut-off replies after the drain timeout.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves until a signal arrives, then drains: replies in progress may finish within `--grace`.
///
/// # Errors
/// [`ErrorKind::Io`] if the address is in use, or the signal handler cannot be installed.
pub async fn serve(server: Arc<Server>, args: &Serve, quiet: bool) -> Result<()> {
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot listen on {}", args.listen)).with_source(e);
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut stopped = Box::pin(stop_signal()?);
    if !quiet {
        warn(&format!("listening on http://{address}"));
    }
    notify::ready();
    let connections = Arc::new(Semaphore::new(args.limit_connections.into()));
    let router = router(Arc::clone(&server));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(server.client_timeout);
    let stop = loop {
        let accepted = async {
            // the semaphore is never closed
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => (permit, stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            stop = &mut stopped => break stop,
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(low_latency(stream, server.client_timeout)), service));
        tokio::spawn(async move {
            // the error of a client that disconnects is ignored
            let _ = connection.await;
            drop(permit);
        });
    };
    drop(listener);
    notify::stopping();
    drain(&server, graceful, drain_timeout(Duration::from_secs_f64(args.grace), stop)).await;
    Ok(())
}

/// Returns the time limit for draining: `wanted`, or less if the system kills the program before that.
fn drain_timeout(wanted: Duration, stop: Stop) -> Duration {
    stop.time_left().map_or(wanted, |left| wanted.min(left.saturating_sub(FLUSH_TIMEOUT)))
}

/// Waits until all replies are finished; after `limit`, cuts off the remaining replies and sends their beginnings.
async fn drain(server: &Server, graceful: GracefulShutdown, limit: Duration) {
    tracing::info!(seconds = limit.as_secs_f64(), "draining");
    server.phase.drain();
    let deadline = Instant::now() + limit;
    let mut drained = Box::pin(graceful.shutdown());
    if timeout_at(deadline, &mut drained).await.is_err() {
        server.phase.cut_off();
        if timeout_at(deadline + FLUSH_TIMEOUT, &mut drained).await.is_err() {
            tracing::warn!("some connections were closed before their replies were sent");
        }
    }
    tracing::info!("stopped");
}

/// Prepares a connection: small writes are sent at once, and a write fails if the client reads nothing for `limit`.
fn low_latency(stream: TcpStream, limit: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small writes may be delayed");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limit));
    Box::pin(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_ends_before_the_system_kills_the_program() {
        let hour = Duration::from_secs(3600);
        assert_eq!(drain_timeout(hour, Stop::Asked), hour);
        assert_eq!(drain_timeout(Duration::ZERO, Stop::Ending), Duration::ZERO);
        assert!(
            drain_timeout(hour, Stop::Ending) + FLUSH_TIMEOUT < Duration::from_secs(5),
            "Windows kills the program then"
        );
    }
}
