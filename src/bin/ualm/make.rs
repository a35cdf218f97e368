//! `generate` and `speak`: words to sound.

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::{Cancel, Error, ErrorKind, Event, Message, Modality, Model, Result, Segment, SegmentEnd};

use crate::args::{Common, Generate, Output, Sampling, Speak};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{complain, print_json, remark};
use crate::progress::Progress;
use crate::setup::{load_model, read_words, seed};

/// `ualm generate`.
pub fn generate(common: &Common, args: &Generate) -> Result<()> {
    make(common, &args.prompt, Modality::Audio, &args.output, &args.sampling)
}

/// `ualm speak`.
pub fn speak(common: &Common, args: &Speak) -> Result<()> {
    make(common, &args.text, Modality::Speech, &args.output, &args.sampling)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Made<'a> {
    prompt: &'a str,
    audio: String,
    seconds: f64,
    sample_rate: u32,
    end: SegmentEnd,
    steps: usize,
    seed: u64,
}

fn make(common: &Common, words: &str, modality: Modality, output: &Output, sampling: &Sampling) -> Result<()> {
    let words = read_words(words)?;
    output.check()?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?;
    warn_outside_small_world(&model, &words);
    let seed = seed(sampling, common)?;
    let (segment, failure) = run(&model, &words, modality, sampling, seed, &cancel, common)?;
    let sound = sound_of(&model, &segment)?;
    output.write(&sound)?;
    let path = output.output.display().to_string();
    let kept = format!("the first {:.2} s are in {path}", sound.seconds());
    if let Some(error) = failure {
        return Err(error.context(kept));
    }
    if segment.end == SegmentEnd::Cancelled {
        return Err(interrupted(&kept));
    }
    if common.json && path != "-" {
        return print_json(&Made {
            prompt: &words,
            audio: path,
            seconds: sound.seconds(),
            sample_rate: sound.sample_rate(),
            end: segment.end,
            steps: segment.frames.len(),
            seed,
        });
    }
    remark(common, &format!("{path}: {:.2} s", sound.seconds()));
    Ok(())
}

/// Makes one segment of `modality` from `words`; after an error, what had been made until then comes with it.
fn run(
    model: &Model,
    words: &str,
    modality: Modality,
    sampling: &Sampling,
    seed: u64,
    cancel: &Cancel,
    common: &Common,
) -> Result<(Segment, Option<Error>)> {
    let mut config = model.config();
    sampling.overrides.apply(config.segment_mut(modality));
    config.seed = seed;
    config.force = vec![modality];
    config.max_segments = 1;
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text(words)])?;
    let progress = Progress::spinner(common, "making");
    let (mut made, mut failure) = (None, None);
    for event in session.generate(prompt, &config, cancel)? {
        match event {
            Ok(Event::AudioProgress { seconds }) => progress.seconds(seconds),
            Ok(Event::SegmentEnded { segment, .. }) => made = Some(segment),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    match (made, failure) {
        (Some(segment), failure) => Ok((segment, failure)),
        (None, Some(error)) => Err(error),
        (None, None) => Err(interrupted("nothing was made yet")),
    }
}

/// The segment's sound, enhanced when the package can. A segment that is too short to hold sound is an empty clip, and is
/// said to be one.
fn sound_of(model: &Model, segment: &Segment) -> Result<Waveform> {
    match &segment.audio {
        Some(sound) if !sound.is_empty() => Ok(model.enhance(sound)?.unwrap_or_else(|| sound.clone())),
        Some(empty) => {
            let (steps, streams) = (segment.frames.len(), segment.frames.streams());
            let why = format!("the model ended after {steps} steps, and it takes {streams} to make the first frame");
            complain(&format!("warning: the clip is empty: {why}; try another seed or prompt"));
            Ok(empty.clone())
        }
        None => Err(Error::new(ErrorKind::Graph, "the segment has no sound")),
    }
}

/// A small model that knows none of the words makes something, but not what was asked for: say so.
fn warn_outside_small_world(model: &Model, words: &str) {
    let known = &model.manifest().known_words;
    let words = words.to_lowercase();
    let mut said = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    if !known.is_empty() && !said.any(|word| known.iter().any(|k| k == word)) {
        complain(&format!(
            "warning: {:?} was trained on a small world and knows none of these words; \
             `ualm inspect` lists those it knows",
            model.manifest().name
        ));
    }
}
