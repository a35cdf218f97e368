//! `POST /v1/chat/completions`.

mod shown;
mod streamed;
mod whole;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tokio::time::Instant;
use ualm::{Content, MOST_ROUNDS, Message, Modality, Role, TakeEvent};

use super::body::read_json;
use super::encode::Encoding;
use super::error::ApiError;
use super::hear::Hearer;
use super::job::{Job, Outcome, Start, Way};
use super::server::{Server, Worker, now, seed, unique};
use super::threads::parsed;
use crate::wire::{ChatRequest, Refusal, RefusalCode, Settings, Sound, SoundFormat, Voice};
use streamed::Streamed;
use whole::Whole;

/// The most segments that a model opens by itself.
const MOST_FREE_SEGMENTS: usize = 8;

pub async fn complete(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let (chat, permit) = parsed(read_json(&server, request).await?, |body| ChatRequest::from_json(&body)).await?;
    server.check_model(&chat.model)?;
    check(&server, &chat)?;
    let reply = server.start(arrived, permit, move |worker| work(worker, chat)).await?;
    Ok(reply.respond().await)
}

fn check(server: &Server, chat: &ChatRequest) -> Result<(), ApiError> {
    server.check_voice("audio.voice", chat.audio.as_ref().and_then(|audio| audio.voice.as_ref().map(Voice::name)))?;
    server.check_sound_steps("ualm.audio.max_steps", chat.ualm.audio.max_steps)?;
    if let (Way::Converse, Some(2..)) = (way(server, chat), chat.n) {
        return Err(Refusal::invalid("n", "a spoken conversation has one answer: leave n out").into());
    }
    let is_worded = chat.ualm.reasoning.as_ref().is_some_and(|wish| wish.prompts.is_some());
    if is_worded && !server.model.reasoning().by_prompt {
        let what = "this model makes its chains in one reply, without prompts for their stages: leave them out";
        return Err(Refusal::invalid("ualm.reasoning.prompts", what).into());
    }
    let rounds = chat.ualm.reasoning.as_ref().and_then(|wish| wish.rounds);
    if rounds.is_some_and(|rounds| !(1..=MOST_ROUNDS).contains(&rounds)) {
        return Err(Refusal::invalid("ualm.reasoning.rounds", format!("expected 1 to {MOST_ROUNDS}")).into());
    }
    let most = server.model.limits().segments;
    if chat.ualm.max_segments.is_some_and(|segments| segments > most) {
        let (param, message) =
            ("ualm.max_segments".to_owned(), format!("too many segments are asked for; at most {most}"));
        return Err(Refusal { code: RefusalCode::Limit, param: Some(param), message }.into());
    }
    let most = server.limits.takes;
    if chat.n.is_some_and(|takes| takes > most) {
        let (param, message) = (Some("n".to_owned()), format!("too many takes are asked for; at most {most}"));
        return Err(Refusal { code: RefusalCode::Limit, param, message }.into());
    }
    Ok(())
}

/// The names of an answer, and the form of its parts.
struct Answer {
    id: String,
    created: u64,
    model: String,
    takes: usize,
    encoding: Encoding,
    with_records: bool,
    with_thinking: bool,
    /// `true` if the sound says the text.
    is_spoken: bool,
    /// Defects of what was sent, in sentences for a person.
    warnings: Vec<String>,
}

fn work(worker: &Worker, chat: ChatRequest) -> Result<(), ApiError> {
    let mut hearer = Hearer::new(&worker.server.model);
    let job = job(&worker.server, &chat, &mut hearer)?;
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
        is_spoken: matches!(job.way, Way::Converse),
        warnings: hearer.warnings,
    };
    if chat.stream {
        let usage = chat.stream_options.as_ref().is_some_and(|options| options.include_usage);
        let mut streamed = Streamed::new(worker, answer, usage);
        let outcome = run(worker, job, &mut |event| streamed.made(event))?;
        streamed.finish(&outcome).map_err(|e| worker.failed(&e, None))
    } else {
        let mut whole = Whole::new(worker, answer);
        let outcome = run(worker, job, &mut |event| whole.made(event))?;
        whole.finish(&outcome).map_err(|e| worker.failed(&e, None))
    }
}

fn run(
    worker: &Worker,
    job: Job,
    tell: &mut dyn FnMut(TakeEvent<'_>) -> ualm::Result<()>,
) -> Result<Outcome, ApiError> {
    // what is wrong with a plain question is in its messages; a chain and a record have other parts
    let is_plain = matches!((&job.way, &job.start), (Way::Free { .. }, Start::Messages(_)));
    super::threads::make(worker, job, is_plain.then_some("messages"), tell)
}

fn job(server: &Server, chat: &ChatRequest, hearer: &mut Hearer) -> Result<Job, ApiError> {
    let (start, seed) = match &chat.ualm.from {
        None => (Start::Messages(messages(server, chat, hearer)?), Some(seed(chat.seed)?)),
        Some(from) => {
            let (record, segment) = (Box::new(from.record()?), from.segment);
            record.check(server.model.package()).map_err(|e| ApiError::of(&e, Some("ualm.from.record")))?;
            (Start::Record { record, segment, said: messages(server, chat, hearer)? }, chat.seed)
        }
    };
    let way = way(server, chat);
    if let (Way::Chain(_), Start::Messages(said)) = (&way, &start)
        && !matches!(said[..], [Message { content: Content::Text(_), .. }])
    {
        let what = "a chain of reasoning is about one user message, a text: send no others with it";
        return Err(Refusal::invalid("messages", what).into());
    }
    let (text, audio) = settings(chat);
    let own = chat.ualm.text.max_steps.map(|_| "ualm.text.max_steps");
    server.check_text_steps(own.unwrap_or("max_completion_tokens"), text.max_steps)?;
    server.check_sound_steps("max_completion_tokens", audio.max_steps.filter(|_| chat.wants_sound()))?;
    Ok(Job {
        start,
        way,
        takes: chat.n.unwrap_or(1),
        seed,
        text,
        thinking: chat.thinking(),
        purpose: None,
        audio,
        most_sound_steps: server.most_sound_steps(),
        best: chat.ualm.best,
        stream: chat.stream && chat.wants_sound(),
    })
}

/// Returns the content that `modalities` and the field `ualm` ask for.
fn way(server: &Server, chat: &ChatRequest) -> Way {
    let own = &chat.ualm;
    if let Some(wish) = &own.reasoning {
        return Way::Chain(wish.clone());
    }
    if own.force.is_some() || own.max_segments.is_some() {
        let usual = if own.from.is_none() && chat.modalities.len() == 1 { chat.modalities.clone() } else { Vec::new() };
        let force = own.force.clone().unwrap_or(usual);
        let max_segments = own.max_segments.unwrap_or(force.len().max(1));
        return Way::Free { force, max_segments };
    }
    if own.from.is_some() {
        return Way::AsRecorded;
    }
    let is_trained = server.model.manifest().reasoning.as_ref().is_some_and(|config| !config.modes.is_empty());
    match chat.modalities[..] {
        [modality] => Way::Free { force: vec![modality], max_segments: 1 },
        _ if server.model.reasoning().by_prompt => Way::Converse,
        _ if is_trained => Way::Chain(Default::default()),
        _ => Way::Free { force: Vec::new(), max_segments: MOST_FREE_SEGMENTS },
    }
}

/// Settings of text, and of sound.
fn settings(chat: &ChatRequest) -> (Settings, Settings) {
    let usual = Settings { temperature: chat.temperature, top_p: chat.top_p, ..Settings::default() };
    let limit = Settings { max_steps: chat.max_tokens(), ..Settings::default() };
    let is_sound_alone = chat.modalities == [Modality::Audio];
    let (text, audio) = if is_sound_alone { (Settings::default(), usual) } else { (usual, Settings::default()) };
    (chat.ualm.text.or(text).or(limit), chat.ualm.audio.or(audio).or(limit))
}

/// Each part becomes one message.
fn messages(server: &Server, chat: &ChatRequest, hearer: &mut Hearer) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    for (index, message) in chat.messages.iter().enumerate() {
        if let Some(what) = message.left_out() {
            hearer.warnings.push(format!("messages[{index}]: {what}"));
        }
        let mut begins_turn = true;
        for said in message.said() {
            let param = format!("messages[{index}].{}", said.place);
            if message.role == Role::Assistant && said.what.modality().is_some_and(|made| !server.takes_own(made)) {
                let what = "this package cannot encode its own sounds: the model does not know this one";
                hearer.warnings.push(format!("{param}: {what}"));
                continue;
            }
            let (modality, sound) = match said.what {
                Sound::Text(text) => (Modality::Text, Content::Text(text.to_owned())),
                Sound::Recording(modality, bytes) => (modality, Content::Audio(hearer.recording(bytes, &param)?)),
                Sound::Samples(modality, bytes, rate) => {
                    (modality, Content::Audio(hearer.samples(bytes, rate, &param)?))
                }
            };
            let content = match (modality, sound) {
                (Modality::Speech, Content::Audio(sound)) => Content::Speech(sound),
                (_, content) => content,
            };
            let part = Message::new(message.role, content);
            messages.push(if std::mem::take(&mut begins_turn) { part.in_new_turn() } else { part });
        }
    }
    match messages.last() {
        Some(last) if last.role != Role::User => {
            Err(Refusal::invalid("messages", "the last message is not the user's: nothing is to be answered").into())
        }
        _ => Ok(messages),
    }
}
