//! `POST /v1/audio/speech`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;
use ualm::audio::Waveform;
use ualm::{Message, Modality, Record, Result as UalmResult, SegmentEnd, TakeEvent, Usage};

use super::body::read_json;
use super::encode::{Encoding, PcmStream, content_type};
use super::error::ApiError;
use super::job::{Job, Mode, Start};
use super::pieces::{Head, Piece, warnings_header};
use super::server::{Server, Worker, seed};
use super::threads::{make, parse_body};
use crate::wire::{Settings, SoundFormat, SpeechRequest, StreamFormat, Voice};

pub async fn speak(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let (speech, permit) =
        parse_body(read_json(&server, request).await?, |body| SpeechRequest::from_json(&body)).await?;
    server.check_model(&speech.model)?;
    server.check_voice("voice", speech.voice.as_ref().map(Voice::name))?;
    server.check_sound_steps("ualm.max_steps", speech.ualm.unwrap_or_default().settings().max_steps)?;
    let reply = server.start(arrived, permit, move |worker| work(worker, speech)).await?;
    Ok(reply.respond().await)
}

fn work(worker: &Worker, speech: SpeechRequest) -> Result<(), ApiError> {
    let own = speech.ualm.unwrap_or_default();
    let encoding = Encoding {
        format: speech.response_format.unwrap_or_default(),
        sample_rate: own.sample_rate,
        take: own.take.unwrap_or(true),
    };
    let seed = seed(own.seed)?;
    let job = Job {
        start: Start::Messages(vec![Message::text(speech.input.trim())]),
        mode: Mode::Free { force: vec![own.modality.unwrap_or(Modality::Speech)], max_segments: 1 },
        takes: 1,
        seed: Some(seed),
        text: Settings::default(),
        thinking: None,
        purpose: None,
        audio: own.settings(),
        max_sound_steps: worker.server.max_sound_steps(),
        best: false,
        stream: encoding.format == SoundFormat::Pcm,
    };
    let is_events = speech.stream_format == Some(StreamFormat::Sse);
    let mut spoken = Spoken { worker, encoding, is_events, seed, pcm: None, has_begun: false, warnings: Vec::new() };
    let outcome = make(worker, job, Some("input"), &mut |event| spoken.on_event(event))?;
    spoken.finish(outcome.usage).map_err(|e| worker.api_error(&e, None))
}

/// The response of a speech request.
struct Spoken<'a> {
    worker: &'a Worker,
    encoding: Encoding,
    is_events: bool,
    seed: u64,
    pcm: Option<PcmStream>,
    has_begun: bool,
    /// Warnings about the sound, for a header if the body is the sound, or for the last event of a stream.
    warnings: Vec<String>,
}

impl Spoken<'_> {
    fn on_event(&mut self, event: TakeEvent<'_>) -> UalmResult<()> {
        match event {
            TakeEvent::SegmentStarted(position) if self.encoding.format == SoundFormat::Pcm => {
                let rate = self.encoding.stream_rate();
                self.pcm = Some(PcmStream::new(self.worker.server.sample_rate(Some(position.modality)), rate)?);
                self.begin()
            }
            TakeEvent::AudioChunk(_, sound) => match &mut self.pcm {
                Some(pcm) => {
                    let bytes = pcm.push(sound.samples())?;
                    self.bytes(bytes)
                }
                None => Ok(()),
            },
            TakeEvent::SegmentEnded { segment, sound, record, .. } => {
                self.warnings = segment.doubts(self.worker.server.model.layout(segment.modality)?);
                match (self.pcm.take(), sound) {
                    (Some(pcm), _) => self.bytes(pcm.finish()?),
                    (None, Some(sound)) => self.whole(sound, record, segment.end),
                    (None, None) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Sends the head of a stream.
    fn begin(&mut self) -> UalmResult<()> {
        self.has_begun = true;
        let head = if self.is_events { Head::events() } else { Head::default() };
        let content_type = if self.is_events {
            head.content_type
        } else {
            content_type(self.encoding.format, self.encoding.stream_rate())
        };
        let headers = vec![("ualm-seed", self.seed.to_string())];
        self.worker.sender.send(Piece::Head(Head { content_type, headers, ..head }))
    }

    fn bytes(&self, bytes: Vec<u8>) -> UalmResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.worker.sound_started();
        if self.is_events {
            self.event(&json!({"type": "speech.audio.delta", "audio": STANDARD.encode(bytes)}))
        } else {
            self.worker.sender.bytes(bytes)
        }
    }

    /// Sends a whole sound, whose header has its length.
    fn whole(&mut self, sound: &Waveform, record: &Record, end: SegmentEnd) -> UalmResult<()> {
        let bytes = self.encoding.encode(sound, record)?;
        if self.is_events {
            self.begin()?;
            return self.bytes(bytes);
        }
        self.has_begun = true;
        self.worker.sound_started();
        let content_type = content_type(self.encoding.format, self.encoding.rate(sound.sample_rate()));
        let mut headers = vec![("ualm-seed", self.seed.to_string()), ("ualm-end", name(end))];
        headers.extend(warnings_header(&self.warnings));
        self.worker.sender.whole(&content_type, headers, bytes)
    }

    fn finish(mut self, usage: Usage) -> UalmResult<()> {
        if !self.has_begun {
            self.begin()?;
        }
        if !self.is_events {
            return Ok(());
        }
        let input_tokens = usage.prompt_positions;
        let output_tokens = usage.steps;
        let total_tokens = input_tokens + output_tokens;
        let usage = json!({"input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": total_tokens});
        let mut done = json!({"type": "speech.audio.done", "usage": usage});
        if !self.warnings.is_empty() {
            done["warnings"] = json!(self.warnings);
        }
        self.event(&done)
    }

    fn event(&self, event: &Value) -> UalmResult<()> {
        self.worker.sender.event(event)
    }
}

fn name(end: SegmentEnd) -> String {
    serde_json::to_value(end).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
