//! Bodies of requests: within their size, their time and their memory.

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::admission::BodyPermit;
use super::error::ApiError;
use super::server::Server;

/// A body, with the memory it takes.
pub struct Received {
    pub bytes: Bytes,
    pub permit: BodyPermit,
}

/// Reads a body of JSON.
pub async fn read_json(server: &Server, request: Request) -> Result<Received, ApiError> {
    const JSON: &str = "application/json";
    let is_json =
        content_type(request.headers()).split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case(JSON));
    if is_json { read(server, request).await } else { Err(ApiError::content_type(JSON)) }
}

/// Reads a form, and what divides its fields.
pub async fn read_form(server: &Server, request: Request) -> Result<(Received, String), ApiError> {
    let boundary = multer::parse_boundary(content_type(request.headers()));
    let boundary = boundary.map_err(|_| ApiError::content_type("multipart/form-data; boundary=…"))?;
    Ok((read(server, request).await?, boundary))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn read(server: &Server, request: Request) -> Result<Received, ApiError> {
    let most = server.limits.body;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > most) {
        return Err(ApiError::too_large(most));
    }
    let permit = server.admission.body(length.unwrap_or(most))?;
    let most_bytes = usize::try_from(most).unwrap_or(usize::MAX);
    match timeout(server.patience, to_bytes(request.into_body(), most_bytes)).await {
        Ok(Ok(bytes)) => Ok(Received { bytes, permit }),
        Ok(Err(error)) => Err(match std::error::Error::source(&error) {
            Some(source) if source.is::<LengthLimitError>() => ApiError::too_large(most),
            _ => ApiError::torn(),
        }),
        Err(_) => Err(ApiError::too_slow()),
    }
}
