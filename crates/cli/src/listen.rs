//! `ask` and `transcribe`: answers about recordings, and transcripts.

use serde::Serialize;
use ualm::package::Purpose;
use ualm::{ErrorKind, Event, Message, Model, Result, SegmentEnd, Usage};

use crate::args::{Ask, Common, Sampling, Transcribe};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{print, print_json};
use crate::progress::Progress;
use crate::setup::{load_model, read_recording, read_words, seed};
use crate::sound::warn_of_cut;

/// `ualm ask`.
pub fn ask(common: &Common, args: &Ask) -> Result<()> {
    args.pictures.check()?;
    let model = load_model(common)?;
    let question = match &args.question {
        Some(question) => read_words(question)?,
        None => model.manifest().prompts.ask.clone(),
    };
    let recording = read_recording(&args.audio, &model)?;
    args.pictures.draw(&recording)?;
    let messages = [Message::audio(recording), Message::text(question)];
    answer(common, &model, &Listening { messages, purpose: Purpose::Ask, unwraps: false }, &args.sampling)
}

/// `ualm transcribe`.
pub fn transcribe(common: &Common, args: &Transcribe) -> Result<()> {
    args.pictures.check()?;
    let model = load_model(common)?;
    let prompts = &model.manifest().prompts;
    let words = if args.translate { model.translation()? } else { &prompts.transcribe };
    let instruction = words.to_owned();
    let unwraps = !args.raw && !prompts.transcript.is_empty();
    let recording = read_recording(&args.audio, &model)?;
    args.pictures.draw(&recording)?;
    let messages = [Message::text(instruction), Message::speech(recording)];
    answer(common, &model, &Listening { messages, purpose: Purpose::Transcribe, unwraps }, &args.sampling)
}

/// A request for text about a recording.
struct Listening {
    messages: [Message; 2],
    purpose: Purpose,
    /// `true` if the transcript is extracted from the sentence around it, which must be complete first.
    unwraps: bool,
}

/// The JSON of an answer (`--json`).
#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    end: SegmentEnd,
    usage: Usage,
}

fn answer(common: &Common, model: &Model, listening: &Listening, sampling: &Sampling) -> Result<()> {
    let cancel = cancel_on_signal()?;
    let mut config = model.config_for(listening.purpose);
    sampling.overrides.apply(&mut config.text);
    if config.text.temperature > 0.0 {
        config.seed = seed(sampling, common)?;
    }
    let progress = Progress::spinner(common, "listening");
    let mut session = model.with_cancel(&cancel).session();
    let prompt = session.prompt(&listening.messages).map_err(|error| match error.kind() {
        ErrorKind::Cancelled => interrupted("there is no answer yet"),
        _ => error,
    })?;
    let mut ended = None;
    for event in session.generate(prompt, &config)? {
        match event? {
            Event::TextDelta(piece) if !common.json && !listening.unwraps => {
                progress.clear();
                print(&piece)?;
            }
            Event::SegmentEnded { segment, .. } => ended = Some(segment),
            Event::Finished { usage, .. } => {
                progress.clear();
                let Some(segment) = ended else { return Err(interrupted("there is no answer yet")) };
                let text = &segment.text;
                let text = if listening.unwraps { model.unwrap_transcript(text) } else { text };
                if common.json {
                    print_json(&Answer { text, end: segment.end, usage })?;
                } else if listening.unwraps {
                    print(&format!("{text}\n"))?;
                } else {
                    print("\n")?;
                }
                warn_of_cut("the answer", &segment, "--max-steps");
                return match segment.end {
                    SegmentEnd::Cancelled => Err(interrupted("the answer is incomplete")),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
    }
    Ok(())
}
