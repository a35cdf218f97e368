//! `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::time::Instant;
use ualm::package::Purpose;
use ualm::{Message, Modality, Result as UalmResult, Segment, TakeEvent, Usage};

use super::body::read_form;
use super::error::ApiError;
use super::job::{Job, Mode, Start};
use super::pieces::{Head, Piece, warnings_header};
use super::recordings::RecordingDecoder;
use super::server::{Server, Worker, seed};
use super::threads::{make, parse_body};
use crate::wire::{Refusal, RefusalCode, Settings, TextFormat, TranscriptionRequest};

/// The task of a request with a recording.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Transcription in the spoken language.
    Transcribe,
    /// Translation into English.
    Translate,
}

pub async fn transcribe(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    answer(server, request, Task::Transcribe).await
}

pub async fn translate(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    answer(server, request, Task::Translate).await
}

async fn answer(server: Arc<Server>, request: Request, task: Task) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let (received, boundary) = read_form(&server, request).await?;
    let parse = move |body| TranscriptionRequest::from_form(body, &boundary);
    let (transcription, permit) = parse_body(received, parse).await?;
    server.check_model(&transcription.model)?;
    check(&server, &transcription, task)?;
    if transcription.stream && transcription.response_format == TextFormat::VerboseJson {
        return Err(
            Refusal::invalid("response_format", "verbose_json cannot be streamed; expected json or text").into()
        );
    }
    let reply = server.start(arrived, permit, move |worker| work(worker, transcription, task)).await?;
    Ok(reply.respond().await)
}

/// Refuses a translation by a model that does not translate, and an unknown language.
fn check(server: &Server, request: &TranscriptionRequest, task: Task) -> Result<(), Refusal> {
    let manifest = server.model.manifest();
    if let (Task::Translate, Err(error)) = (task, server.model.translation()) {
        let unsupported = Refusal::invalid("model", error.message());
        return Err(Refusal { code: RefusalCode::UnsupportedField, ..unsupported });
    }
    let Some(asked) = &request.language else { return Ok(()) };
    let code = asked.split(['-', '_']).next().unwrap_or_default();
    let known = &manifest.languages;
    match &known[..] {
        _ if asked.eq_ignore_ascii_case("auto") => Ok(()),
        [only] if only.eq_ignore_ascii_case(code) => Ok(()),
        [only] => Err(Refusal::invalid("language", format!("{asked:?}; the model only knows {only:?}: leave it out"))),
        _ => {
            let what = format!("the model detects the language, one of {known:?}: leave it out");
            Err(Refusal { code: RefusalCode::UnsupportedField, ..Refusal::invalid("language", what) })
        }
    }
}

fn work(worker: &Worker, request: TranscriptionRequest, task: Task) -> Result<(), ApiError> {
    let model = &worker.server.model;
    let mut recordings = RecordingDecoder::new(model);
    let recording = recordings.recording(&request.file, "file")?;
    let duration = recording.seconds();
    let warnings = recordings.warnings;
    let mut transcript = Transcript { worker, task, duration, warnings, segment: None, has_begun: false };
    let prompts = &model.manifest().prompts;
    let words = if task == Task::Translate { &prompts.translate } else { &prompts.transcribe };
    let job = Job {
        start: Start::Messages(vec![Message::text(&**words), Message::speech(recording)]),
        mode: Mode::Free { force: vec![Modality::Text], max_segments: 1 },
        takes: 1,
        seed: Some(seed(request.seed)?),
        text: request.settings(),
        thinking: None,
        purpose: Some(Purpose::Transcribe),
        audio: Settings::default(),
        max_sound_steps: worker.server.max_sound_steps(),
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
    finished.map_err(|e| worker.api_error(&e, None))
}

/// The transcript so far, and its response.
struct Transcript<'a> {
    worker: &'a Worker,
    task: Task,
    /// The length of the recording in seconds.
    duration: f64,
    /// Warnings about the recording.
    warnings: Vec<String>,
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

    /// Returns whether the model puts a sentence around a transcript. Such a sentence must be complete before the
    /// transcript is extracted.
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
        self.worker.sender.event(&self.with_warnings(done))
    }

    fn with_warnings(&self, mut answer: Value) -> Value {
        if !self.warnings.is_empty() {
            answer["warnings"] = json!(self.warnings);
        }
        answer
    }

    fn send(&self, format: TextFormat, usage: Usage) -> UalmResult<()> {
        let sender = &self.worker.sender;
        let json = |body: Value| {
            let body = self.with_warnings(body).to_string();
            sender.whole("application/json", Vec::new(), body.into_bytes())
        };
        match format {
            TextFormat::Text => {
                let headers = warnings_header(&self.warnings).into_iter().collect();
                sender.whole("text/plain; charset=utf-8", headers, format!("{}\n", self.text()).into_bytes())
            }
            TextFormat::Json => json(json!({"text": self.text(), "usage": tokens(usage)})),
            TextFormat::VerboseJson => json(json!({
                "task": self.task.name(), "language": self.language(), "duration": self.duration, "text": self.text(),
                "segments": self.segment.iter().map(|segment| self.describe(segment)).collect::<Vec<_>>(),
                "usage": tokens(usage),
            })),
        }
    }

    /// Returns the language of the text, or `und` if unknown.
    fn language(&self) -> &str {
        match &self.worker.server.model.manifest().languages[..] {
            _ if self.task == Task::Translate => "en",
            [only] => only,
            _ => "und",
        }
    }

    /// Describes the transcript as its only segment.
    fn describe(&self, segment: &Segment) -> Value {
        let text = self.worker.server.model.manifest().tokens.text.ids;
        let ids = segment.tokens.iter().filter_map(|position| position.first().copied());
        let tokens: Vec<_> = ids.filter(|id| text.contains(*id)).collect();
        let temperature = segment.config.temperature;
        json!({"id": 0, "start": 0.0, "end": self.duration, "text": self.text(), "tokens": tokens, "temperature": temperature})
    }
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Translate => "translate",
        }
    }
}

fn tokens(usage: Usage) -> Value {
    let input = usage.prompt_positions;
    let output = usage.steps;
    json!({"type": "tokens", "input_tokens": input, "output_tokens": output, "total_tokens": input + output})
}
