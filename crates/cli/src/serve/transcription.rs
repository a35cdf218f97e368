//! `POST /v1/audio/transcriptions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::time::Instant;
use ualm::audio::decode_reader;
use ualm::package::Purpose;
use ualm::{Message, Modality, Result as UalmResult, Segment, TakeEvent, Usage};

use super::body::read_form;
use super::error::ApiError;
use super::job::{Job, Start, Way};
use super::pieces::{Head, Piece};
use super::server::{Server, Worker, seed};
use super::threads::{make, parsed};
use crate::wire::{Refusal, Settings, TextFormat, TranscriptionRequest};

pub async fn transcribe(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let (received, boundary) = read_form(&server, request).await?;
    let parse = move |body| TranscriptionRequest::from_form(body, &boundary);
    let (transcription, permit) = parsed(received, parse).await?;
    server.check_model(&transcription.model)?;
    if transcription.stream && transcription.response_format == TextFormat::VerboseJson {
        return Err(Refusal::invalid("response_format", "what is streamed comes as json or text").into());
    }
    let reply = server.start(arrived, permit, move |worker| work(worker, transcription)).await?;
    Ok(reply.respond().await)
}

fn work(worker: &Worker, request: TranscriptionRequest) -> Result<(), ApiError> {
    let model = &worker.server.model;
    let decoded = decode_reader(&*request.file, "the recording", &model.decode_options());
    let recording = decoded.map_err(|e| ApiError::of(&e, Some("file")))?.waveform;
    let mut transcript = Transcript { worker, duration: recording.seconds(), segment: None, has_begun: false };
    let job = Job {
        start: Start::Messages(vec![Message::text(&*model.manifest().prompts.transcribe), Message::speech(recording)]),
        way: Way::Free { force: vec![Modality::Text], max_segments: 1 },
        takes: 1,
        seed: Some(seed(request.seed)?),
        text: Settings { temperature: request.temperature, ..Settings::default() },
        thinking: None,
        purpose: Some(Purpose::Transcribe),
        audio: Settings::default(),
        most_sound_steps: worker.server.most_sound_steps(),
        best: false,
        stream: false,
    };
    let outcome = make(worker, job, Some("file"), &mut |event| match (event, request.stream) {
        (TakeEvent::TextDelta(_, piece), true) if !transcript.is_wrapped() => transcript.delta(&piece),
        (TakeEvent::SegmentEnded { segment, .. }, _) => {
            transcript.segment = Some(segment.clone());
            Ok(())
        }
        _ => Ok(()),
    })?;
    let finished = if request.stream {
        transcript.end_stream(outcome.usage)
    } else {
        transcript.send(request.response_format, outcome.usage)
    };
    finished.map_err(|e| worker.failed(&e, None))
}

/// The transcript so far.
struct Transcript<'a> {
    worker: &'a Worker,
    /// Seconds of the recording.
    duration: f64,
    segment: Option<Segment>,
    has_begun: bool,
}

impl Transcript<'_> {
    fn text(&self) -> &str {
        let model = &self.worker.server.model;
        match &self.segment {
            Some(segment) if self.is_wrapped() => model.unwrap_transcript(&segment.text),
            Some(segment) => &segment.text,
            None => "",
        }
    }

    /// Returns whether the model puts a sentence around a transcript, which must be complete before it is taken out.
    fn is_wrapped(&self) -> bool {
        !self.worker.server.model.manifest().prompts.transcript.is_empty()
    }

    fn begin(&mut self) -> UalmResult<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            Ok(())
        } else {
            self.worker.sender.send(Piece::Head(Head::events()))
        }
    }

    fn delta(&mut self, piece: &str) -> UalmResult<()> {
        self.begin()?;
        self.worker.sender.event(&json!({"type": "transcript.text.delta", "delta": piece}))
    }

    fn end_stream(&mut self, usage: Usage) -> UalmResult<()> {
        self.begin()?;
        if self.is_wrapped() {
            self.worker.sender.event(&json!({"type": "transcript.text.delta", "delta": self.text()}))?;
        }
        let done = json!({"type": "transcript.text.done", "text": self.text(), "usage": tokens(usage)});
        self.worker.sender.event(&done)
    }

    fn send(&self, format: TextFormat, usage: Usage) -> UalmResult<()> {
        let sender = &self.worker.sender;
        let json = |body: Value| sender.whole("application/json", Vec::new(), body.to_string().into_bytes());
        match format {
            TextFormat::Text => {
                sender.whole("text/plain; charset=utf-8", Vec::new(), format!("{}\n", self.text()).into_bytes())
            }
            TextFormat::Json => json(json!({"text": self.text(), "usage": tokens(usage)})),
            TextFormat::VerboseJson => json(json!({
                "task": "transcribe", "language": "und", "duration": self.duration, "text": self.text(),
                "segments": self.segment.iter().map(|segment| self.describe(segment)).collect::<Vec<_>>(),
                "usage": tokens(usage),
            })),
        }
    }

    /// The one segment that there is.
    fn describe(&self, segment: &Segment) -> Value {
        let text = self.worker.server.model.manifest().tokens.text.ids;
        let ids = segment.tokens.iter().filter_map(|position| position.first().copied());
        let tokens: Vec<_> = ids.filter(|id| text.contains(*id)).collect();
        let temperature = segment.config.temperature;
        json!({"id": 0, "start": 0.0, "end": self.duration, "text": self.text(), "tokens": tokens, "temperature": temperature})
    }
}

fn tokens(usage: Usage) -> Value {
    let (input, output) = (usage.prompt_frames, usage.steps);
    json!({"type": "tokens", "input_tokens": input, "output_tokens": output, "total_tokens": input + output})
}
