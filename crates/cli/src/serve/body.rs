//! Reads the bodies of requests within the limits of size, time and memory.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::BodyPermit;
use super::error::ApiError;
use super::server::Server;

/// A body, with the permit for its memory.
pub struct Received {
    pub bytes: Bytes,
    pub permit: BodyPermit,
}

/// Reads a JSON body.
pub async fn read_json(server: &Server, request: Request) -> Result<Received, ApiError> {
    const JSON: &str = "application/json";
    let is_json =
        content_type(request.headers()).split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case(JSON));
    if is_json { read(server, request).await } else { Err(ApiError::content_type(JSON)) }
}

/// Reads a form; returns its body and boundary.
pub async fn read_form(server: &Server, request: Request) -> Result<(Received, String), ApiError> {
    let boundary = multer::parse_boundary(content_type(request.headers()));
    let boundary = boundary.map_err(|_| ApiError::content_type("multipart/form-data; boundary=…"))?;
    Ok((read(server, request).await?, boundary))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn read(server: &Server, request: Request) -> Result<Received, ApiError> {
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.is_empty() && !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::content_encoding());
    }
    let max = server.limits.body;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > max) {
        return Err(ApiError::too_large(max));
    }
    let permit = server.admission.body(length.unwrap_or(max))?;
    let body = Limited::new(request.into_body(), usize::try_from(max).unwrap_or(usize::MAX));
    let all = timeout_at(Instant::now() + server.deadline, collect(body, max, server.client_timeout));
    let bytes = all.await.unwrap_or_else(|_| Err(ApiError::too_slow()))?;
    Ok(Received { bytes, permit })
}

/// Collects a body of at most `max` bytes; each piece must arrive within `limit`.
async fn collect(mut body: Limited<Body>, max: u64, limit: Duration) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    loop {
        match timeout(limit, body.frame()).await {
            Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(ApiError::too_large(max)),
            Ok(Some(Err(_))) => return Err(ApiError::incomplete()),
            Ok(None) => return Ok(bytes.freeze()),
            Err(_) => return Err(ApiError::too_slow()),
        }
    }
}
