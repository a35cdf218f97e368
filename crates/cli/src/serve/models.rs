//! `GET /v1/models`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use ualm::record::PackageId;
use ualm::{MOST_ROUNDS, Modality};

use super::error::ApiError;
use super::server::Server;
use crate::wire::SoundFormat;

pub async fn list(State(server): State<Arc<Server>>) -> Json<Value> {
    let models: Vec<_> = server.names.iter().map(|name| describe(&server, name)).collect();
    Json(json!({"object": "list", "data": models}))
}

pub async fn one(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    server.check_model(&name)?;
    Ok(Json(describe(&server, &name)))
}

fn describe(server: &Server, name: &str) -> Value {
    let manifest = server.model.manifest();
    let config = server.model.config();
    let settings = |modality: &Modality| (modality.name().to_owned(), json!(config.segment(*modality)));
    let seconds = server.model.limits().input_seconds.unwrap_or(manifest.limits.input_seconds);
    json!({
        "id": name, "object": "model", "created": server.started, "owned_by": "ualm",
        "ualm": {
            "package": PackageId::of(server.model.package()),
            "license": manifest.license,
            "modalities": manifest.modalities.keys().map(settings).collect::<Map<_, _>>(),
            "listens": manifest.audio_encoder.is_some(),
            "prompts": {"ask": manifest.prompts.ask, "transcribe": manifest.prompts.transcribe},
            "reasoning": manifest.reasoning.as_ref().map(|reasoning| json!({
                "default": reasoning.default, "modes": reasoning.modes, "listen": reasoning.listen,
            })),
            "sample_rate": server.sample_rate(None),
            "frames_per_second": server.frames_per_second(),
            "steps_per_second": server.steps_per_second(),
            "voices": server.voices,
            "formats": SoundFormat::ALL,
            "known_words": manifest.known_words,
            "limits": {
                "input_seconds": seconds,
                "output_seconds": server.limits.output_seconds,
                "steps": server.max_steps(),
                "takes": server.limits.takes,
                "rounds": MOST_ROUNDS,
                "body_bytes": server.limits.body,
            },
        },
    })
}
