//! A reply on its way from the thread that makes it to the client that reads it, piece by piece.

use std::future::pending;
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
use super::stop::{Stop, Why};

/// Pieces that may lie between the two.
const MOST_WAITING: usize = 64;
/// Silence after which a stream of events shows that it is alive.
const SILENCE: Duration = Duration::from_secs(15);

/// A piece of the answer.
pub enum Piece {
    /// The first one.
    Head(Head),
    Bytes(Bytes),
    Failed(ApiError),
    /// The last one.
    End,
}

/// A response's head.
#[derive(Default)]
pub struct Head {
    pub content_type: String,
    pub headers: Vec<(&'static str, String)>,
    /// Bytes that will follow, where that is known.
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

/// The end that makes the reply, on a thread of its own.
pub struct Sender {
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    patience: Duration,
    pub stop: Stop,
}

impl Sender {
    /// Hands a piece over.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]: the client went away, or takes nothing.
    pub fn send(&self, piece: Piece) -> Result<()> {
        let sent = self.runtime.block_on(timeout(self.patience, self.pieces.send(piece)));
        if matches!(sent, Ok(Ok(()))) {
            return Ok(());
        }
        self.stop.stop(Why::Gone);
        Err(Error::new(ErrorKind::Cancelled, "the client went away"))
    }

    pub fn bytes(&self, bytes: impl Into<Bytes>) -> Result<()> {
        self.send(Piece::Bytes(bytes.into()))
    }

    /// A server-sent event.
    pub fn event(&self, event: &impl Serialize) -> Result<()> {
        self.bytes(format!("data: {}\n\n", to_json(event)?))
    }

    /// A whole answer.
    pub fn whole(&self, content_type: &str, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Result<()> {
        let length = Some(body.len());
        self.send(Piece::Head(Head { content_type: content_type.into(), headers, length, is_events: false }))?;
        self.bytes(body)
    }
}

/// Returns the header that tells of `warnings`, if there are some, as a JSON array in ASCII.
pub fn warnings_header(warnings: &[String]) -> Option<(&'static str, String)> {
    let json = serde_json::to_string(warnings).ok().filter(|_| !warnings.is_empty())?;
    let mut units = [0; 2];
    let escaped = json.chars().map(|letter| match letter {
        ' '..='~' => letter.to_string(),
        _ => letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    });
    Some(("ualm-warnings", escaped.collect()))
}

/// `value` as JSON.
pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Numeric, "the answer cannot be written as JSON").with_source(e))
}

/// The end that reads the reply. When it is dropped before the last piece, the reply is stopped.
pub struct Receiver {
    pieces: mpsc::Receiver<Piece>,
    stop: Stop,
    deadline: Instant,
    /// The time after the deadline in which the rest may be sent.
    patience: Duration,
    /// Bytes that are still to come, where that is known: whoever has all of them asks for nothing more.
    left: Option<usize>,
    is_over: bool,
}

/// Both ends.
pub fn channel(stop: Stop, deadline: Instant, patience: Duration) -> (Sender, Receiver) {
    let (to, from) = mpsc::channel(MOST_WAITING);
    let sender = Sender { pieces: to, runtime: Handle::current(), patience, stop: stop.clone() };
    (sender, Receiver { pieces: from, stop, deadline, patience, left: None, is_over: false })
}

impl Receiver {
    /// The next piece; a reply that breaks off has failed.
    async fn next(&mut self) -> Piece {
        let piece = tokio::select! {
            piece = self.pieces.recv() => piece,
            () = sleep_until(self.deadline) => {
                self.stop.stop(Why::Deadline);
                timeout_at(self.deadline + self.patience, self.pieces.recv()).await.ok().flatten()
            }
        };
        let piece = piece.unwrap_or_else(|| match self.stop.why() {
            Some(why) => Piece::Failed(ApiError::stopped(why)),
            None => Piece::Failed(ApiError::internal(ErrorKind::Graph, "the reply broke off".into())),
        });
        match &piece {
            Piece::Head(head) => self.left = head.length,
            Piece::Bytes(bytes) => self.left = self.left.map(|left| left.saturating_sub(bytes.len())),
            Piece::End | Piece::Failed(_) => self.left = Some(0),
        }
        self.is_over = self.left == Some(0);
        piece
    }

    /// The answer: its head when the first piece is there, the rest as it comes.
    pub async fn respond(mut self) -> Response {
        let head = match self.next().await {
            Piece::Head(head) => head,
            Piece::Failed(error) => return error.into_response(),
            Piece::Bytes(_) | Piece::End => {
                return ApiError::internal(ErrorKind::Graph, "no head".into()).into_response();
            }
        };
        let is_events = head.is_events;
        let body = unfold(Some(self), move |receiver| async move {
            let mut receiver = receiver?;
            match receiver.next_bytes(is_events).await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(receiver))),
                Ok(None) => None,
                // without its last chunk the client sees that the answer is torn
                Err(torn) => Some((Err(torn), None)),
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

    /// The next bytes of the body.
    async fn next_bytes(&mut self, is_events: bool) -> std::result::Result<Option<Bytes>, std::io::Error> {
        if self.is_over {
            return Ok(None);
        }
        let silence = async { if is_events { sleep(SILENCE).await } else { pending::<()>().await } };
        let piece = tokio::select! {
            piece = self.next() => piece,
            () = silence => return Ok(Some(Bytes::from_static(b": waiting\n\n"))),
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
            self.stop.stop(Why::Gone);
        }
    }
}
