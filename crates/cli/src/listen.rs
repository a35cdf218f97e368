//! `ask` and `transcribe`: a recording to words.

use serde::Serialize;
use ualm::{ErrorKind, Event, Message, Modality, Model, Result, SegmentEnd, Usage};

use crate::args::{Ask, Common, Sampling, Transcribe};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{print, print_json};
use crate::progress::Progress;
use crate::setup::{load_model, read_recording, read_words, seed};

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
    answer(common, &model, &[Message::audio(recording), Message::text(question)], &args.sampling)
}

/// `ualm transcribe`.
pub fn transcribe(common: &Common, args: &Transcribe) -> Result<()> {
    args.pictures.check()?;
    let model = load_model(common)?;
    let instruction = model.manifest().prompts.transcribe.clone();
    let recording = read_recording(&args.audio, &model)?;
    args.pictures.draw(&recording)?;
    answer(common, &model, &[Message::text(instruction), Message::speech(recording)], &args.sampling)
}

/// The output of `--json`.
#[derive(Serialize)]
struct Answer {
    text: String,
    end: SegmentEnd,
    usage: Usage,
}

fn answer(common: &Common, model: &Model, messages: &[Message], sampling: &Sampling) -> Result<()> {
    let cancel = cancel_on_signal()?;
    let mut config = model.config().only(Modality::Text);
    sampling.overrides.apply(&mut config.text);
    if config.text.temperature > 0.0 {
        config.seed = seed(sampling, common)?;
    }
    let progress = Progress::spinner(common, "listening");
    let mut session = model.session();
    let prompt = session.prompt_until(messages, &cancel).map_err(|error| match error.kind() {
        ErrorKind::Cancelled => interrupted("nothing was answered yet"),
        _ => error,
    })?;
    let mut ended = None;
    for event in session.generate(prompt, &config, &cancel)? {
        match event? {
            Event::TextDelta(piece) if !common.json => {
                progress.clear();
                print(&piece)?;
            }
            Event::SegmentEnded { segment, .. } => ended = Some((segment.text, segment.end)),
            Event::Finished { usage, .. } => {
                progress.clear();
                let Some((text, end)) = ended else { return Err(interrupted("nothing was answered yet")) };
                if common.json {
                    print_json(&Answer { text, end, usage })?;
                } else {
                    print("\n")?;
                }
                return if end == SegmentEnd::Cancelled { Err(interrupted("the answer is cut")) } else { Ok(()) };
            }
            _ => {}
        }
    }
    Ok(())
}
