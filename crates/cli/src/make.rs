//! `generate` and `speak`: words to sound, in one take or several.

use std::path::PathBuf;

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::{
    Error, ErrorKind, Expected, Message, Modality, Model, Ranked, Record, Result, Segment, SegmentEnd, TakeEvent,
    TakeRunner,
};

use crate::args::{Common, Generate, Make, Speak};
use crate::in_order::InOrder;
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{note, print_json, warn};
use crate::player::Player;
use crate::progress::Progress;
use crate::setup::{load_model, read_words, seed};
use crate::sound::{numbered, present, warn_of_doubts};
use crate::stream::SoundStream;
use crate::system::stdout_is_file;

/// `ualm generate`.
pub fn generate(common: &Common, args: &Generate) -> Result<()> {
    make(&Making { common, words: read_words(&args.prompt)?, modality: Modality::Audio, args: &args.make })
}

/// `ualm speak`.
pub fn speak(common: &Common, args: &Speak) -> Result<()> {
    make(&Making { common, words: read_words(&args.text)?, modality: Modality::Speech, args: &args.make })
}

/// A request for a sound.
struct Making<'a> {
    common: &'a Common,
    words: String,
    modality: Modality,
    args: &'a Make,
}

/// The JSON of one take (`--json`).
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

/// The JSON of several takes (`--json`).
#[derive(Serialize)]
struct AllMade<'a> {
    takes: Vec<Made<'a>>,
    /// The best first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ranking: &'a [Ranked],
    /// The best one's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
}

/// A sound that was written.
struct Take {
    path: PathBuf,
    /// The take's number, from 1.
    number: u16,
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
    let model = load_model(common)?.with_cancel(&cancel);
    warn_outside_small_world(&model, &making.words);
    let seed = seed(&making.args.sampling, common)?;
    let takes = all_takes(making, &model, seed)?;
    let ranking = if making.args.takes.best { rank(making, &model, &takes)? } else { Vec::new() };
    let played = match ranking.first() {
        Some(best) => takes.get(best.take..=best.take).unwrap_or_default(),
        None => &takes,
    };
    let mut player = Player::new(common, &making.args.playing);
    if common.json && !output.is_stdout() {
        print_made(making, &takes, &ranking, several)?;
    }
    played.iter().try_for_each(|take| player.offer(&take.sound, &cancel))
}

/// Prints the JSON of the takes.
fn print_made(making: &Making, takes: &[Take], ranking: &[Ranked], several: bool) -> Result<()> {
    let best = making.args.takes.best.then(|| making.args.output.output.display().to_string());
    let mut made: Vec<_> = takes.iter().map(|take| take.describe(&making.words)).collect();
    match (several, made.pop()) {
        (false, Some(made)) => print_json(&made),
        (_, last) => print_json(&AllMade { takes: made.into_iter().chain(last).collect(), ranking, best }),
    }
}

/// Makes all takes, several at once; each is written as soon as it and those before it are there.
fn all_takes(making: &Making, model: &Model, seed: u64) -> Result<Vec<Take>> {
    let mut config = model.config().only(making.modality);
    making.args.sampling.overrides.apply(config.segment_mut(making.modality));
    config.seed = seed;
    config.validate()?;
    let messages = [Message::text(&*making.words)];
    let prompt = model.prompt_for(making.modality, &messages)?;
    let count = making.args.takes.takes.into();
    let mut runner = TakeRunner::for_prompt(model, count, &prompt, &config)?;
    let checkpoint = runner.session_mut().checkpoint(&prompt).map_err(nothing_made)?;
    let mut shelf = Shelf { making, model, stream: making.stream(), order: InOrder::default(), kept: Vec::new() };
    let is_final = model.manifest().enhancer(making.modality).is_none(); // an enhancer works on the whole sound
    config.stream_audio = shelf.stream.is_some() && is_final;
    let mut record = Record::new(model.package());
    record.begin_turn(&messages, &prompt, &config);
    let progress = Progress::spinner(making.common, "making");
    let made = runner.make(&checkpoint, &record, &config, count, |event| match event {
        TakeEvent::AudioProgress(_, seconds) => {
            progress.show_sound(seconds);
            Ok(())
        }
        TakeEvent::AudioChunk(_, chunk) => match &mut shelf.stream {
            Some(stream) if is_final => stream.push(&chunk),
            _ => Ok(()),
        },
        TakeEvent::SegmentEnded { position, segment, sound, record } => {
            progress.aside(|| shelf.keep(position.take, segment, sound, record))
        }
        _ => Ok(()),
    });
    drop(progress);
    shelf.finish(made.map_err(nothing_made)?)
}

/// The error of takes of which nothing was made.
fn nothing_made(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted("nothing was made yet"),
        _ => error,
    }
}

impl Making<'_> {
    /// Returns the stream that takes the sound while it is being made, if one is wanted.
    fn stream(&self) -> Option<SoundStream> {
        let streams = self.args.output.is_stdout() && (self.args.raw || !stdout_is_file());
        streams.then(|| SoundStream::new(self.args.output.format(), self.args.raw))
    }
}

/// The takes that were written.
struct Shelf<'a> {
    making: &'a Making<'a>,
    model: &'a Model,
    /// The rest of a sound that goes out while it is made.
    stream: Option<SoundStream>,
    order: InOrder<Take>,
    /// Takes by index, with the error of writing.
    kept: Vec<(usize, Result<Take>)>,
}

impl Shelf<'_> {
    /// Writes the take, once those before it are written.
    fn keep(&mut self, index: usize, segment: &Segment, sound: Option<&Waveform>, record: &Record) -> Result<()> {
        if segment.tokens.is_empty() {
            return Ok(());
        }
        let sound = present(sound.cloned())?;
        let take = Take::new(self.making, index, segment.clone(), sound, record.clone());
        for (index, take) in self.order.push(index, take) {
            self.write(index, take);
        }
        Ok(())
    }

    fn write(&mut self, index: usize, take: Take) {
        let written = take.write(self.making, self.model, self.stream.take());
        self.kept.push((index, written.map(|()| take)));
    }

    /// Returns all takes, after those that waited are written; the first error of writing or making one comes first.
    fn finish(mut self, made: Vec<ualm::Take>) -> Result<Vec<Take>> {
        for (index, take) in self.order.rest() {
            self.write(index, take);
        }
        let mut takes = Vec::new();
        for made in made {
            let at = self.kept.iter().position(|(index, _)| *index == made.index);
            let Some(at) = at else { return Err(made.failure.unwrap_or_else(|| interrupted("nothing was made yet"))) };
            let take = self.kept.swap_remove(at).1?;
            let kept = format!("the first {:.2} s are in {}", take.sound.seconds(), take.path.display());
            match made.failure {
                Some(error) => return Err(error.context(kept)),
                None if take.segment.end == SegmentEnd::Cancelled => return Err(interrupted(&kept)),
                None => takes.push(take),
            }
        }
        Ok(takes)
    }
}

/// Ranks the takes, shows the scores, and writes the best one to the file that was named.
fn rank(making: &Making, model: &Model, takes: &[Take]) -> Result<Vec<Ranked>> {
    let sounds: Vec<_> = takes.iter().map(|take| take.sound.clone()).collect();
    let expected = Expected::asked(&making.words, making.modality);
    let names: Vec<_> = takes.iter().map(|take| take.path.display().to_string()).collect();
    let ranking = crate::rank::rank(making.common, &mut model.session(), &sounds, &names, making.modality, &expected)?;
    if let (Some(best), true) = (ranking.first(), takes.len() > 1) {
        let best = &takes[best.take];
        let record = Some(&best.record).filter(|_| !making.args.takes.no_take);
        making.args.output.write_take(&making.args.output.output, &best.sound, record)?;
        note(making.common, &format!("{}: the best, {}", making.args.output.output.display(), best.path.display()));
    }
    Ok(ranking)
}

impl Take {
    fn new(making: &Making, index: usize, segment: Segment, sound: Waveform, mut record: Record) -> Self {
        let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
        let path = match making.args.takes.takes {
            1 => making.args.output.output.clone(),
            _ => numbered(&making.args.output.output, number),
        };
        if let Some(turn) = record.turns.last_mut() {
            turn.config.seed = segment.draws.seed; // a take says how it is made alone
        }
        Self { path, number, segment, record, sound }
    }

    /// Writes the sound, or what `stream` lacks of it, and shows it if it was made to its end.
    fn write(&self, making: &Making, model: &Model, stream: Option<SoundStream>) -> Result<()> {
        warn_of_doubts(model, &self.segment);
        match stream {
            Some(stream) => stream.finish(&self.sound)?,
            None => {
                let record = Some(&self.record).filter(|_| !making.args.takes.no_take);
                making.args.output.write_take(&self.path, &self.sound, record)?;
            }
        }
        if matches!(self.segment.end, SegmentEnd::Cancelled | SegmentEnd::Failed) {
            return Ok(());
        }
        note(making.common, &format!("{}: {:.2} s", self.path.display(), self.sound.seconds()));
        match making.args.takes.takes {
            1 => making.args.pictures.draw(&self.sound),
            _ => making.args.pictures.named(|picture| numbered(picture, self.number)).draw(&self.sound),
        }
    }

    fn describe<'a>(&self, prompt: &'a str) -> Made<'a> {
        Made {
            prompt,
            audio: self.path.display().to_string(),
            seconds: self.sound.seconds(),
            sample_rate: self.sound.sample_rate(),
            end: self.segment.end,
            steps: self.segment.tokens.len(),
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
        warn(&format!(
            "warning: {:?} was trained on a small world and knows none of these words; \
             `ualm inspect` lists those it knows",
            model.manifest().name
        ));
    }
}
