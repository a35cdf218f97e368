//! A channel for a response, from the thread that generates the reply to the connection of the client.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use ualm::{Error, ErrorKind, Result};

use super::error::ApiError;
use super::stop::{StopReason, StopToken};

/// The capacity of the channel, in pieces.
const MAX_WAITING: usize = 64;
/// The interval of keep-alive comments in a stream of events.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A piece of the response.
pub enum Piece {
    /// The first piece.
    Head(Head),
    Bytes(Bytes),
    Failed(ApiError),
    /// The last piece.
    End,
}

/// A response's head.
#[derive(Default)]
pub struct Head {
    pub content_type: String,
    pub headers: Vec<(&'static str, String)>,
    /// The length of the body in bytes, if known.
    pub length: Option<usize>,
    /// `true` when server-sent events follow.
    pub is_events: bool,
}

impl Head {
    /// Returns the head of server-sent events.
    pub fn events() -> Self {
        Self { content_type: "text/event-stream".into(), is_events: true, ..Self::default() }
    }
}

/// The sending end, on the thread that generates the reply.
pub struct Sender {
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    client_timeout: Duration,
    pub stop: StopToken,
    /// The body of a whole response, until the reply has released all that it holds.
    body: Mutex<Option<Bytes>>,
}

impl Sender {
    /// Sends a piece.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the client has disconnected or does not read.
    pub fn send(&self, piece: Piece) -> Result<()> {
        let sent = self.runtime.block_on(timeout(self.client_timeout, self.pieces.send(piece)));
        if matches!(sent, Ok(Ok(()))) {
            return Ok(());
        }
        self.stop.stop(StopReason::Gone);
        Err(Error::new(ErrorKind::Cancelled, "the client disconnected"))
    }

    pub fn bytes(&self, bytes: impl Into<Bytes>) -> Result<()> {
        self.send(Piece::Bytes(bytes.into()))
    }

    /// Sends a server-sent event.
    pub fn event(&self, event: &impl Serialize) -> Result<()> {
        self.bytes(format!("data: {}\n\n", to_json(event)?))
    }

    /// Sends the head of a whole response. [`finish`](Self::finish) sends the body.
    pub fn whole(&self, content_type: &str, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Result<()> {
        let length = Some(body.len());
        self.send(Piece::Head(Head { content_type: content_type.into(), headers, length, is_events: false }))?;
        *self.body() = Some(body.into());
        Ok(())
    }

    /// Sends the last piece, which completes the response.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the client has disconnected or does not read.
    pub fn finish(&self, done: std::result::Result<(), ApiError>) -> Result<()> {
        let body = self.body().take();
        self.send(match done {
            Ok(()) => body.map_or(Piece::End, Piece::Bytes),
            Err(error) => Piece::Failed(error),
        })
    }

    fn body(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the header `ualm-warnings`, a JSON array in ASCII, if there are warnings.
pub fn warnings_header(warnings: &[String]) -> Option<(&'static str, String)> {
    let json = serde_json::to_string(warnings).ok().filter(|_| !warnings.is_empty())?;
    let mut units = [0; 2];
    let escaped = json.chars().map(|letter| match letter {
        ' '..='~' => letter.to_string(),
        _ => letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    });
    Some(("ualm-warnings", escaped.collect()))
}

/// Returns `value` as JSON.
pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Numeric, "the answer cannot be written as JSON").with_source(e))
}

/// The receiving end. If it is dropped before the last piece, the reply is stopped.
pub struct Receiver {
    pieces: mpsc::Receiver<Piece>,
    stop: StopToken,
    deadline: Instant,
    /// The time limit for the rest of the reply after the deadline.
    client_timeout: Duration,
    /// The number of remaining bytes, if known. The connection does not poll again after the last one.
    left: Option<usize>,
    is_over: bool,
}

/// Creates a channel.
pub fn channel(stop: StopToken, deadline: Instant, client_timeout: Duration) -> (Sender, Receiver) {
    let (to, from) = mpsc::channel(MAX_WAITING);
    let sender =
        Sender { pieces: to, runtime: Handle::current(), client_timeout, stop: stop.clone(), body: Mutex::default() };
    (sender, Receiver { pieces: from, stop, deadline, client_timeout, left: None, is_over: false })
}

impl Receiver {
    /// Returns the next piece; a failure if the sender is gone.
    async fn next(&mut self) -> Piece {
        let piece = tokio::select! {
            piece = self.pieces.recv() => piece,
            () = sleep_until(self.deadline) => {
                self.stop.stop(StopReason::Deadline);
                timeout_at(self.deadline + self.client_timeout, self.pieces.recv()).await.ok().flatten()
            }
        };
        let piece = piece.unwrap_or_else(|| match self.stop.reason() {
            Some(reason) => Piece::Failed(ApiError::stopped(reason)),
            None => {
                Piece::Failed(ApiError::internal(ErrorKind::Graph, "the reply ended without its last piece".into()))
            }
        });
        match &piece {
            Piece::Head(head) => self.left = head.length,
            Piece::Bytes(bytes) => self.left = self.left.map(|left| left.saturating_sub(bytes.len())),
            Piece::End | Piece::Failed(_) => self.left = Some(0),
        }
        self.is_over = self.left == Some(0);
        piece
    }

    /// Builds the response: waits for the head, and streams the body.
    pub async fn respond(mut self) -> Response {
        let head = match self.next().await {
            Piece::Head(head) => head,
            Piece::Failed(error) => return error.into_response(),
            Piece::Bytes(_) | Piece::End => {
                return ApiError::internal(ErrorKind::Graph, "the reply has no head".into()).into_response();
            }
        };
        let is_events = head.is_events;
        let body = unfold(Some(self), move |receiver| async move {
            let mut receiver = receiver?;
            match receiver.next_bytes(is_events).await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(receiver))),
                Ok(None) => None,
                // the last chunk is not sent, so that the client notices the incomplete response
                Err(error) => Some((Err(error), None)),
            }
        });
        let mut response = Body::from_stream(body).into_response();
        let headers = response.headers_mut();
        let mut insert = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        insert(header::CONTENT_TYPE, &head.content_type);
        insert(header::CACHE_CONTROL, "no-store");
        if let Some(length) = head.length {
            insert(header::CONTENT_LENGTH, &length.to_string());
        }
        for (name, value) in head.headers {
            insert(HeaderName::from_static(name), &value);
        }
        response
    }

    /// Returns the next bytes of the body; `None` at the end.
    async fn next_bytes(&mut self, is_events: bool) -> std::result::Result<Option<Bytes>, std::io::Error> {
        if self.is_over {
            return Ok(None);
        }
        let keep_alive = async { if is_events { sleep(KEEP_ALIVE).await } else { pending::<()>().await } };
        let piece = tokio::select! {
            piece = self.next() => piece,
            () = keep_alive => return Ok(Some(Bytes::from_static(b": waiting\n\n"))),
        };
        match piece {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::Failed(error) => {
                if let Some(cause) = &error.cause {
                    tracing::error!(cause, "failed");
                }
                if is_events {
                    Ok(Some(format!("data: {}\n\n", error.to_json()).into()))
                } else {
                    Err(std::io::Error::other("the reply failed"))
                }
            }
            Piece::End | Piece::Head(_) => Ok(None),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.is_over {
            self.stop.stop(StopReason::Gone);
        }
    }
}
