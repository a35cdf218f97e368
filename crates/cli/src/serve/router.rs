//! The routes and the access checks.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use ualm::ErrorKind;

use super::error::ApiError;
use super::server::{Phase, Server, unique};
use super::stop::StopReason;
use super::{chat, metrics, models, page, speech, transcription};

/// Returns all routes, with their checks and the request log.
pub fn router(server: Arc<Server>) -> Router {
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/audio/speech", post(speech::speak))
        .route("/v1/audio/transcriptions", post(transcription::transcribe))
        .route("/v1/audio/translations", post(transcription::translate))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::one))
        .route("/metrics", get(show_metrics))
        .route_layer(from_fn_with_state(Arc::clone(&server), check_key));
    Router::new()
        .merge(guarded)
        .merge(page::routes())
        .route("/health", get(health))
        .fallback(|request: Request| async move { ApiError::not_found(request.uri().path()) })
        .method_not_allowed_fallback(|| async { ApiError::method() })
        .layer(from_fn_with_state(Arc::clone(&server), check_origin))
        .layer(server.origins.layer())
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal(ErrorKind::Graph, "a request handler panicked".into()).into_response()
        }))
        .layer(from_fn_with_state(Arc::clone(&server), observe))
        .with_state(server)
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    match server.phase.now() {
        Phase::Open => match server.model.runtime().lost_devices().first_key_value() {
            None => Json(json!({"status": "ok"})).into_response(),
            Some((provider, _)) => {
                let lost = json!({"status": "device_lost", "provider": provider});
                (StatusCode::SERVICE_UNAVAILABLE, Json(lost)).into_response()
            }
        },
        Phase::Draining | Phase::Ended => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "stopping"}))).into_response()
        }
    }
}

async fn show_metrics(State(server): State<Arc<Server>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], server.metrics.page(&server.admission, &server.engine.stats()))
        .into_response()
}

/// Refuses requests without a valid key, if there are keys, and all requests during shutdown.
async fn check_key(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match &server.keys {
        Some(keys) if !keys.admit(shown) => ApiError::unauthorized().into_response(),
        _ if server.phase.now() != Phase::Open => ApiError::stopped(StopReason::Shutdown).into_response(),
        _ => next.run(request).await,
    }
}

async fn check_origin(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match server.origins.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Gives each request an id, and counts and logs it, without its contents.
async fn observe(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let id = unique("req").unwrap_or_default();
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", id, %method, path);
    let start = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    server.metrics.answered(&path, status);
    span.in_scope(|| tracing::info!(status, seconds = start.elapsed().as_secs_f64(), "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}
