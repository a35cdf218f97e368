//! `POST /v1/chat/completions`.

mod parts;
mod streamed;
mod whole;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tokio::time::Instant;
use ualm::internal::counted;
use ualm::{Content, MOST_ROUNDS, Message, Modality, Role, TakeEvent};

use super::body::read_json;
use super::encode::Encoding;
use super::error::ApiError;
use super::job::{Job, Mode, Outcome, Start};
use super::recordings::RecordingDecoder;
use super::server::{Server, Worker, now, seed, unique};
use super::threads::parse_body;
use crate::wire::{ChatRequest, Refusal, RefusalCode, Settings, Sound, SoundFormat, Voice};
use streamed::Streamed;
use whole::Whole;

/// The maximum number of segments if neither the request nor a chain decides.
const MAX_FREE_SEGMENTS: usize = 8;

pub async fn complete(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let (chat, permit) = parse_body(read_json(&server, request).await?, |body| ChatRequest::from_json(&body)).await?;
    server.check_model(&chat.model)?;
    check(&server, &chat)?;
    let reply = server.start(arrived, permit, move |worker| work(worker, chat)).await?;
    Ok(reply.respond().await)
}

fn check(server: &Server, chat: &ChatRequest) -> Result<(), ApiError> {
    server.check_voice("audio.voice", chat.audio.as_ref().and_then(|audio| audio.voice.as_ref().map(Voice::name)))?;
    server.check_sound_steps("ualm.audio.max_steps", chat.ualm.audio.max_steps)?;
    if let (Mode::Converse, Some(2..)) = (mode(server, chat), chat.n) {
        return Err(Refusal::invalid("n", "a spoken conversation has one reply: leave n out").into());
    }
    let is_worded = chat.ualm.reasoning.as_ref().is_some_and(|settings| settings.prompts.is_some());
    if is_worded && !server.model.reasoning().by_prompt {
        let what = "this model generates a chain in one reply, without prompts for its stages: leave prompts out";
        return Err(Refusal::invalid("ualm.reasoning.prompts", what).into());
    }
    let rounds = chat.ualm.reasoning.as_ref().and_then(|settings| settings.rounds);
    if let Some(rounds) = rounds.filter(|rounds| !(1..=MOST_ROUNDS).contains(rounds)) {
        let message = format!("{}; expected 1..={MOST_ROUNDS}", counted(rounds, "round"));
        return Err(Refusal::invalid("ualm.reasoning.rounds", message).into());
    }
    let max = server.model.limits().segments;
    if let Some(segments) = chat.ualm.max_segments.filter(|segments| *segments > max) {
        let message = format!("{segments} segments were requested; the limit is {max}");
        return Err(Refusal { code: RefusalCode::Limit, param: Some("ualm.max_segments".into()), message }.into());
    }
    let max = server.limits.takes;
    if let Some(takes) = chat.n.filter(|takes| *takes > max) {
        let message = format!("{takes} takes were requested; the limit is {max}");
        return Err(Refusal { code: RefusalCode::Limit, param: Some("n".into()), message }.into());
    }
    Ok(())
}

/// The header of a response, and the options for its contents.
struct Answer {
    id: String,
    created: u64,
    model: String,
    takes: usize,
    encoding: Encoding,
    with_records: bool,
    with_thinking: bool,
    /// `true` if the sound speaks the text.
    is_spoken: bool,
    /// Warnings about the request.
    warnings: Vec<String>,
}

fn work(worker: &Worker, chat: ChatRequest) -> Result<(), ApiError> {
    let mut recordings = RecordingDecoder::new(&worker.server.model);
    let job = job(&worker.server, &chat, &mut recordings)?;
    let answer = Answer {
        id: unique("chatcmpl")?,
        created: now(),
        model: chat.model.clone(),
        takes: job.takes.into(),
        encoding: Encoding {
            format: chat.audio.as_ref().map_or(SoundFormat::Wav, |audio| audio.format),
            sample_rate: chat.ualm.sample_rate,
            take: chat.ualm.take.unwrap_or(true),
        },
        with_records: chat.ualm.record,
        with_thinking: chat.ualm.show_thinking,
        is_spoken: matches!(job.mode, Mode::Converse),
        warnings: recordings.warnings,
    };
    if chat.stream {
        let usage = chat.stream_options.as_ref().is_some_and(|options| options.include_usage);
        let mut streamed = Streamed::new(worker, answer, usage);
        let outcome = run(worker, job, &mut |event| streamed.on_event(event))?;
        streamed.finish(&outcome).map_err(|e| worker.api_error(&e, None))
    } else {
        let mut whole = Whole::new(worker, answer);
        let outcome = run(worker, job, &mut |event| whole.on_event(event))?;
        whole.finish(&outcome).map_err(|e| worker.api_error(&e, None))
    }
}

fn run(
    worker: &Worker,
    job: Job,
    on_event: &mut dyn FnMut(TakeEvent<'_>) -> ualm::Result<()>,
) -> Result<Outcome, ApiError> {
    // errors of a plain request are about its messages; a chain and a record have other fields
    let is_plain = matches!((&job.mode, &job.start), (Mode::Free { .. }, Start::Messages(_)));
    super::threads::make(worker, job, is_plain.then_some("messages"), on_event)
}

fn job(server: &Server, chat: &ChatRequest, recordings: &mut RecordingDecoder) -> Result<Job, ApiError> {
    let (start, seed) = match &chat.ualm.from {
        None => (Start::Messages(messages(server, chat, recordings)?), Some(seed(chat.seed)?)),
        Some(from) => {
            let record = Box::new(from.record()?);
            let segment = from.segment;
            record.check(server.model.package()).map_err(|e| ApiError::of(&e, Some("ualm.from.record")))?;
            (Start::Record { record, segment, said: messages(server, chat, recordings)? }, chat.seed)
        }
    };
    let mode = mode(server, chat);
    if let (Mode::Chain(_), Start::Messages(said)) = (&mode, &start)
        && !matches!(said[..], [Message { content: Content::Text(_), .. }])
    {
        let what = "a chain of reasoning takes exactly one user message with text";
        return Err(Refusal::invalid("messages", what).into());
    }
    let (text, audio) = settings(chat);
    let own = chat.ualm.text.max_steps.map(|_| "ualm.text.max_steps");
    server.check_text_steps(own.unwrap_or("max_completion_tokens"), text.max_steps)?;
    server.check_sound_steps("max_completion_tokens", audio.max_steps.filter(|_| chat.wants_sound()))?;
    Ok(Job {
        start,
        mode,
        takes: chat.n.unwrap_or(1),
        seed,
        text,
        thinking: chat.thinking(),
        purpose: None,
        audio,
        max_sound_steps: server.max_sound_steps(),
        best: chat.ualm.best,
        stream: chat.stream && chat.wants_sound(),
    })
}

/// Returns the mode that `modalities` and the field `ualm` select.
fn mode(server: &Server, chat: &ChatRequest) -> Mode {
    let own = &chat.ualm;
    if let Some(settings) = &own.reasoning {
        return Mode::Chain(settings.clone());
    }
    if own.force.is_some() || own.max_segments.is_some() {
        let default =
            if own.from.is_none() && chat.modalities.len() == 1 { chat.modalities.clone() } else { Vec::new() };
        let force = own.force.clone().unwrap_or(default);
        let max_segments = own.max_segments.unwrap_or(force.len().max(1));
        return Mode::Free { force, max_segments };
    }
    if own.from.is_some() {
        return Mode::AsRecorded;
    }
    let is_trained = server.model.manifest().reasoning.as_ref().is_some_and(|config| !config.modes.is_empty());
    match chat.modalities[..] {
        [modality] => Mode::Free { force: vec![modality], max_segments: 1 },
        _ if server.model.reasoning().by_prompt => Mode::Converse,
        _ if is_trained => Mode::Chain(Default::default()),
        _ => Mode::Free { force: Vec::new(), max_segments: MAX_FREE_SEGMENTS },
    }
}

/// Returns the settings of text and of sound.
fn settings(chat: &ChatRequest) -> (Settings, Settings) {
    let sampling = Settings { temperature: chat.temperature, top_p: chat.top_p, ..Settings::default() };
    let limit = Settings { max_steps: chat.max_tokens(), ..Settings::default() };
    let is_sound_alone = chat.modalities == [Modality::Audio];
    let (text, audio) = if is_sound_alone { (Settings::default(), sampling) } else { (sampling, Settings::default()) };
    (chat.ualm.text.or(text).or(limit), chat.ualm.audio.or(audio).or(limit))
}

/// Converts each content part to a message.
fn messages(server: &Server, chat: &ChatRequest, recordings: &mut RecordingDecoder) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    for (index, message) in chat.messages.iter().enumerate() {
        if let Some(what) = message.omission() {
            recordings.warnings.push(format!("messages[{index}]: {what}"));
        }
        let mut begins_turn = true;
        for part in message.contents() {
            let param = format!("messages[{index}].{}", part.path);
            if message.role == Role::Assistant && part.content.modality().is_some_and(|made| !server.encodes_own(made))
            {
                let what = "this package cannot encode generated sounds: the model does not hear this one";
                recordings.warnings.push(format!("{param}: {what}"));
                continue;
            }
            let (modality, sound) = match part.content {
                Sound::Text(text) => (Modality::Text, Content::Text(text.to_owned())),
                Sound::Recording(modality, bytes) => (modality, Content::Audio(recordings.recording(bytes, &param)?)),
                Sound::Samples(modality, bytes, rate) => {
                    (modality, Content::Audio(recordings.samples(bytes, rate, &param)?))
                }
            };
            let content = match (modality, sound) {
                (Modality::Speech, Content::Audio(sound)) => Content::Speech(sound),
                (_, content) => content,
            };
            let converted = Message::new(message.role, content);
            messages.push(if std::mem::take(&mut begins_turn) { converted.in_new_turn() } else { converted });
        }
    }
    match messages.last() {
        Some(last) if last.role != Role::User => {
            Err(Refusal::invalid("messages", "the last message is not from the user: there is nothing to answer")
                .into())
        }
        _ => Ok(messages),
    }
}
