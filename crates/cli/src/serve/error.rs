//! Error responses, in OpenAI's format.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use ualm::{Error, ErrorKind};

use super::stop::StopReason;
use crate::wire::{Refusal, RefusalCode};

/// An error response.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    kind: &'static str,
    code: &'static str,
    param: Option<String>,
    message: String,
    /// The value of `Retry-After`, in seconds.
    retry_after: Option<u32>,
    /// The cause, shown only in the log.
    pub cause: Option<String>,
}

const INVALID: &str = "invalid_request_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), retry_after: None, cause: None }
    }

    pub fn unauthorized() -> Self {
        let message = "a valid API key is required in the header `Authorization: Bearer KEY`; the request has none, or an invalid one";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", "origin", message)
    }

    pub fn not_found(path: &str) -> Self {
        let message = format!("there is no endpoint {path:?}; docs/server.md lists the endpoints");
        Self::new(StatusCode::NOT_FOUND, INVALID, "not_found", message)
    }

    pub fn method() -> Self {
        let message = "this endpoint does not support the method; docs/server.md lists the endpoints and methods";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method", message)
    }

    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, "too_slow", "the request's body did not arrive in time")
    }

    pub fn too_large(max: u64) -> Self {
        let message = format!("the request's body is too large; the limit is {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "too_large", message)
    }

    pub fn incomplete() -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid", "the request's body is incomplete")
    }

    pub fn content_type(expected: &str) -> Self {
        let message = format!("expected the header `Content-Type: {expected}`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, "content_type", message)
    }

    pub fn content_encoding() -> Self {
        let message = "compressed bodies are not supported: leave the header `Content-Encoding` out";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, "content_encoding", message)
    }

    pub fn queue_full(retry_after: u32) -> Self {
        let message = format!("the request queue is full: try again in {retry_after} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "queue_full", message);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub fn bodies_full(retry_after: u32) -> Self {
        let message = format!(
            "the requests in progress take all memory for bodies (--limit-bodies): try again in {retry_after} s"
        );
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "bodies_full", message);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub fn stopped(reason: StopReason) -> Self {
        match reason {
            StopReason::Deadline => {
                let message = "the deadline passed before the reply was complete";
                Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "deadline", message)
            }
            StopReason::Shutdown | StopReason::Gone => {
                let message = "the server is shutting down: try again later";
                let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "stopping", message);
                Self { retry_after: Some(1), ..error }
            }
        }
    }

    /// Converts `error`, which concerns the field `param`, to an error response.
    pub fn of(error: &Error, param: Option<&str>) -> Self {
        match Refusal::of(error, param) {
            Some(refusal) => refusal.into(),
            // a numeric error is about the model and the request, and may be shown
            None if error.kind() == ErrorKind::Numeric => {
                let message = error.full_message();
                Self { message: message.clone(), ..Self::internal(error.kind(), message) }
            }
            // providers are resolved before the server listens: an error now means a lost device
            None if error.kind() == ErrorKind::Provider => Self::device_lost(error.full_message()),
            None => Self::internal(error.kind(), error.full_message()),
        }
    }

    fn device_lost(cause: String) -> Self {
        let message = "the model's device is lost, and the server must be restarted; its log has more \
                       under the id in the header x-request-id";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "device_lost", message);
        Self { cause: Some(cause), ..error }
    }

    pub fn internal(kind: ErrorKind, cause: String) -> Self {
        let message = "the reply failed; the server's log has more under the id in the header x-request-id";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", kind.name(), message);
        Self { cause: Some(cause), ..error }
    }

    /// Returns the body, `{"error": {…}}`.
    pub fn to_json(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            RefusalCode::ModelNotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        let code = match refusal.code {
            RefusalCode::UnsupportedField => "unsupported_field",
            RefusalCode::Invalid => "invalid",
            RefusalCode::Audio => "audio",
            RefusalCode::Limit => "limit",
            RefusalCode::ModelNotFound => "model_not_found",
        };
        Self { param: refusal.param, ..Self::new(status, INVALID, code, refusal.message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(cause, "failed");
        }
        let mut response = (self.status, Json(self.to_json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
