//! Connections: taken while the server is open, and ended in good order.

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

/// The time in which cut-off replies may be sent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Serves until a signal comes; then replies have their grace.
///
/// # Errors
/// [`ErrorKind::Io`]: the address is taken, or the signals cannot be handled.
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
    let (router, graceful) = (router(Arc::clone(&server)), GracefulShutdown::new());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(server.patience);
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
                    tracing::warn!(%error, "a connection was not taken");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            stop = &mut stopped => break stop,
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(quick(stream, server.patience)), service));
        tokio::spawn(async move {
            // a client that goes away is no fault
            let _ = connection.await;
            drop(permit);
        });
    };
    drop(listener);
    notify::stopping();
    end(&server, graceful, grace(Duration::from_secs_f64(args.grace), stop)).await;
    Ok(())
}

/// The time that replies have to come to their end, of the `wanted` one: what the system leaves, less that of the last words.
fn grace(wanted: Duration, stop: Stop) -> Duration {
    stop.time_left().map_or(wanted, |left| wanted.min(left.saturating_sub(LAST_WORDS)))
}

/// Lets replies come to their end; what is not ready after the grace is cut, and sent as far as it is.
async fn end(server: &Server, graceful: GracefulShutdown, grace: Duration) {
    tracing::info!(grace = grace.as_secs_f64(), "closing");
    server.phase.close();
    let over = Instant::now() + grace;
    let mut ended = Box::pin(graceful.shutdown());
    if timeout_at(over, &mut ended).await.is_err() {
        server.phase.end();
        if timeout_at(over + LAST_WORDS, &mut ended).await.is_err() {
            tracing::warn!("some connections were cut");
        }
    }
    tracing::info!("closed");
}

/// A connection on which small pieces are sent at once, and that ends when the client takes nothing for so long.
fn quick(stream: TcpStream, patience: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small pieces may be late");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience));
    Box::pin(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_time_that_the_system_leaves() {
        let hour = Duration::from_secs(3600);
        assert_eq!(grace(hour, Stop::Asked), hour);
        assert_eq!(grace(Duration::ZERO, Stop::Ending), Duration::ZERO);
        assert!(grace(hour, Stop::Ending) + LAST_WORDS < Duration::from_secs(5), "Windows ends the program then");
    }
}
