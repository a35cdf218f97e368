//! `generate` and `speak`: words to sound, in one take or several.

use std::path::PathBuf;

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::{
    Cancel, Error, ErrorKind, Event, Expected, Message, Modality, Model, Ranked, Record, Result, Segment, SegmentEnd,
};

use crate::args::{Common, Generate, Make, Speak};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{complain, print_json, remark};
use crate::progress::Progress;
use crate::setup::{load_model, read_words, seed};
use crate::sound::{numbered, sound_of};
use crate::stream::{SoundStream, stdout_is_file};
use crate::takes::{Studio, make_takes, take_configs};

/// `ualm generate`.
pub fn generate(common: &Common, args: &Generate) -> Result<()> {
    make(&Making { common, words: read_words(&args.prompt)?, modality: Modality::Audio, args: &args.make })
}

/// `ualm speak`.
pub fn speak(common: &Common, args: &Speak) -> Result<()> {
    make(&Making { common, words: read_words(&args.text)?, modality: Modality::Speech, args: &args.make })
}

/// What is to be made.
struct Making<'a> {
    common: &'a Common,
    words: String,
    modality: Modality,
    args: &'a Make,
}

/// What `--json` prints of one take.
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

/// What `--json` prints of several.
#[derive(Serialize)]
struct AllMade<'a> {
    takes: Vec<Made<'a>>,
    /// The best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranking: Vec<Ranked>,
    /// The best one's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
}

/// A sound that was written.
struct Take {
    path: PathBuf,
    segment: Segment,
    record: Record,
    sound: Waveform,
}

fn make(making: &Making) -> Result<()> {
    let (common, output) = (making.common, &making.args.output);
    let several = making.args.takes.takes > 1 || making.args.takes.best;
    output.check()?;
    common.limits.check_takes(making.args.takes.takes)?;
    making.args.pictures.check()?;
    if several && output.is_stdout() {
        return Err(Error::new(ErrorKind::Invalid, "several takes cannot go to standard output: name a file with -o"));
    }
    if making.args.raw && !output.is_stdout() {
        return Err(Error::new(ErrorKind::Invalid, "--raw is for standard output: give it with -o -"));
    }
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?;
    warn_outside_small_world(&model, &making.words);
    let seed = seed(&making.args.sampling, common)?;
    let takes = all_takes(making, &model, seed, &cancel)?;
    let ranking = match making.args.takes.best {
        true => rank(making, &model, &takes, &cancel)?,
        false => Vec::new(),
    };
    if common.json && !output.is_stdout() {
        let best = making.args.takes.best.then(|| output.output.display().to_string());
        let mut made: Vec<_> = takes.iter().map(|take| take.describe(&making.words)).collect();
        return match (several, made.pop()) {
            (false, Some(made)) => print_json(&made),
            (_, last) => print_json(&AllMade { takes: made.into_iter().chain(last).collect(), ranking, best }),
        };
    }
    Ok(())
}

/// All takes, from one run of the prompt, several at once; each is written as soon as they are there.
fn all_takes(making: &Making, model: &Model, seed: u64, cancel: &Cancel) -> Result<Vec<Take>> {
    let mut config = model.config();
    making.args.sampling.overrides.apply(config.segment_mut(making.modality));
    config.force = vec![making.modality];
    config.max_segments = 1;
    config.seed = seed;
    config.validate()?;
    let messages = [Message::text(&*making.words)];
    let prompt = model.prompt(&messages)?;
    // `[assistant]` and the modality token stand between them
    let positions = prompt.frames.len().saturating_add(config.segment(making.modality).max_steps).saturating_add(2);
    let studio = Studio::new(model, making.args.takes.takes, positions, Some(&config))?;
    let mut session = studio.session(Some(&config))?;
    let checkpoint = session.checkpoint(&prompt, cancel).map_err(|error| match error.kind() {
        ErrorKind::Cancelled => interrupted("nothing was made yet"),
        _ => error,
    })?;
    let mut stream = making.stream();
    let is_final = model.manifest().enhancer.is_none(); // what an enhancer gives comes whole, at the end
    config.stream_audio = stream.is_some() && is_final;
    let mut takes = Vec::new();
    let numbers: Vec<_> = (1..=making.args.takes.takes).collect();
    for numbers in numbers.chunks(studio.at_once) {
        let configs = take_configs(&config, numbers.iter().map(|number| number - 1));
        let progress = Progress::spinner(making.common, "making");
        let made = make_takes(&mut session, &checkpoint, &configs, cancel, |event| {
            progress.show(&event);
            match (event, &mut stream) {
                (Event::AudioChunk(sound), Some(stream)) if is_final => stream.push(&sound),
                _ => Ok(()),
            }
        })?;
        drop(progress);
        // all of them are kept before the error of one is told
        let kept: Vec<_> = numbers
            .iter()
            .zip(&configs)
            .zip(made)
            .map(|((number, config), made)| {
                let made = made?;
                let mut record = Record::new(model.package());
                record.begin_turn(&messages, &prompt, config);
                record.push(&made.0);
                keep(making, model, *number, made, record, stream.take())
            })
            .collect();
        for take in kept {
            takes.push(take?);
        }
    }
    Ok(takes)
}

impl Making<'_> {
    /// Where the sound goes while it is being made, if that is wanted.
    fn stream(&self) -> Option<SoundStream> {
        let streams = self.args.output.is_stdout() && (self.args.raw || !stdout_is_file());
        streams.then(|| SoundStream::new(self.args.output.format(), self.args.raw))
    }
}

/// Writes a take, or what `stream` lacks of it; the error that ended it, or an interrupt, says where it is.
fn keep(
    making: &Making,
    model: &Model,
    number: u16,
    (segment, failure): (Segment, Option<Error>),
    record: Record,
    stream: Option<SoundStream>,
) -> Result<Take> {
    let sound = sound_of(model, &segment)?;
    let path = match making.args.takes.takes {
        1 => making.args.output.output.clone(),
        _ => numbered(&making.args.output.output, number),
    };
    match stream {
        Some(stream) => stream.finish(&sound)?,
        None => making.args.output.write_take(&path, &sound, Some(&record).filter(|_| !making.args.takes.no_take))?,
    }
    let kept = format!("the first {:.2} s are in {}", sound.seconds(), path.display());
    if let Some(error) = failure {
        return Err(error.context(kept));
    }
    if segment.end == SegmentEnd::Cancelled {
        return Err(interrupted(&kept));
    }
    remark(making.common, &format!("{}: {:.2} s", path.display(), sound.seconds()));
    match making.args.takes.takes {
        1 => making.args.pictures.draw(&sound)?,
        _ => making.args.pictures.named(|picture| numbered(picture, number)).draw(&sound)?,
    }
    Ok(Take { path, segment, record, sound })
}

/// Ranks the takes, shows the scores, and writes the best one to the file that was named.
fn rank(making: &Making, model: &Model, takes: &[Take], cancel: &Cancel) -> Result<Vec<Ranked>> {
    let sounds: Vec<_> = takes.iter().map(|take| take.sound.clone()).collect();
    let expected = Expected::asked(&making.words, making.modality);
    let names: Vec<_> = takes.iter().map(|take| take.path.display().to_string()).collect();
    let ranking =
        crate::rank::rank(making.common, &mut model.session(), &sounds, &names, making.modality, &expected, cancel)?;
    if let (Some(best), true) = (ranking.first(), takes.len() > 1) {
        let best = &takes[best.take];
        let record = Some(&best.record).filter(|_| !making.args.takes.no_take);
        making.args.output.write_take(&making.args.output.output, &best.sound, record)?;
        remark(making.common, &format!("{}: the best, {}", making.args.output.output.display(), best.path.display()));
    }
    Ok(ranking)
}

impl Take {
    fn describe<'a>(&self, prompt: &'a str) -> Made<'a> {
        Made {
            prompt,
            audio: self.path.display().to_string(),
            seconds: self.sound.seconds(),
            sample_rate: self.sound.sample_rate(),
            end: self.segment.end,
            steps: self.segment.frames.len(),
            seed: self.segment.draws.seed,
        }
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
