//! `generate` and `speak`: sound from text, in one take or several.

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
use crate::sound::{numbered, present, warn_of_cut, warn_of_doubts};
use crate::stream::SoundStream;

/// `ualm generate`.
pub fn generate(common: &Common, args: &Generate) -> Result<()> {
    make(&SoundRequest { common, words: read_words(&args.prompt)?, modality: Modality::Audio, args: &args.make })
}

/// `ualm speak`.
pub fn speak(common: &Common, args: &Speak) -> Result<()> {
    make(&SoundRequest { common, words: read_words(&args.text)?, modality: Modality::Speech, args: &args.make })
}

/// A request for sound.
struct SoundRequest<'a> {
    common: &'a Common,
    words: String,
    modality: Modality,
    args: &'a Make,
}

/// The JSON of one take (`--json`).
#[derive(Serialize)]
struct TakeSummary<'a> {
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
struct Summary<'a> {
    takes: Vec<TakeSummary<'a>>,
    /// The ranking, best first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ranking: &'a [Ranked],
    /// The file of the best take.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
}

/// A take, and its file.
struct Take {
    path: PathBuf,
    /// The take's number, from 1.
    number: u16,
    segment: Segment,
    record: Record,
    sound: Waveform,
}

fn make(request: &SoundRequest) -> Result<()> {
    let common = request.common;
    let output = &request.args.output.file;
    let several = request.args.takes.takes > 1 || request.args.takes.best;
    request.args.output.check()?;
    common.limits.check_takes(request.args.takes.takes)?;
    request.args.pictures.check()?;
    if several && output.is_stdout() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "several takes cannot be written to standard output: name a file with -o",
        ));
    }
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    warn_of_unknown_words(&model, &request.words);
    let seed = seed(&request.args.sampling, common)?;
    let takes = all_takes(request, &model, seed)?;
    let ranking = if request.args.takes.best { rank(request, &model, &takes)? } else { Vec::new() };
    let played = match ranking.first() {
        Some(best) => takes.get(best.take..=best.take).unwrap_or_default(),
        None => &takes,
    };
    let mut player = Player::new(common, &request.args.playing);
    if common.json && !output.is_stdout() {
        print_made(request, &takes, &ranking, several)?;
    }
    played.iter().try_for_each(|take| player.offer(&take.sound, &cancel))
}

/// Prints the JSON of the takes.
fn print_made(request: &SoundRequest, takes: &[Take], ranking: &[Ranked], several: bool) -> Result<()> {
    let best = request.args.takes.best.then(|| request.args.output.file.output.display().to_string());
    let mut made: Vec<_> = takes.iter().map(|take| take.describe(&request.words)).collect();
    match (several, made.pop()) {
        (false, Some(made)) => print_json(&made),
        (_, last) => print_json(&Summary { takes: made.into_iter().chain(last).collect(), ranking, best }),
    }
}

/// Makes all takes, several at once, and writes them in order.
fn all_takes(request: &SoundRequest, model: &Model, seed: u64) -> Result<Vec<Take>> {
    let mut config = model.config().only(request.modality);
    request.args.sampling.overrides.apply(config.segment_mut(request.modality));
    config.seed = seed;
    config.validate()?;
    let messages = [Message::text(&*request.words)];
    let prompt = model.prompt_for(request.modality, &messages)?;
    let count = request.args.takes.takes.into();
    let mut runner = TakeRunner::for_prompt(model, count, &prompt, &config)?;
    let checkpoint = runner.session_mut().checkpoint(&prompt).map_err(nothing_made)?;
    let mut writer = TakeWriter {
        request,
        model,
        stream: request.args.output.stream(),
        order: InOrder::default(),
        kept: Vec::new(),
    };
    let is_final = model.manifest().enhancer(request.modality).is_none(); // an enhancer needs the whole sound
    config.stream_audio = writer.stream.is_some() && is_final;
    let mut record = Record::new(model.package());
    record.begin_turn(&messages, &prompt, &config);
    let progress = Progress::spinner(request.common, "making");
    let made = runner.make(&checkpoint, &record, &config, count, |event| match event {
        TakeEvent::AudioProgress(_, seconds) => {
            progress.show_sound(seconds);
            Ok(())
        }
        TakeEvent::AudioChunk(_, chunk) => match &mut writer.stream {
            Some(stream) if is_final => stream.push(&chunk),
            _ => Ok(()),
        },
        TakeEvent::SegmentEnded { position, segment, sound, record } => {
            progress.aside(|| writer.keep(position.take, segment, sound, record))
        }
        _ => Ok(()),
    });
    drop(progress);
    writer.finish(made.map_err(nothing_made)?)
}

/// Converts the error of a request without any take.
fn nothing_made(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted("nothing was made yet"),
        _ => error,
    }
}

/// A writer of takes.
struct TakeWriter<'a> {
    request: &'a SoundRequest<'a>,
    model: &'a Model,
    /// The stream to standard output, if the sound is streamed.
    stream: Option<SoundStream>,
    order: InOrder<Take>,
    /// Takes by index, or the errors of writing them.
    kept: Vec<(usize, Result<Take>)>,
}

impl TakeWriter<'_> {
    /// Writes a take as soon as all earlier takes are written.
    fn keep(&mut self, index: usize, segment: &Segment, sound: Option<&Waveform>, record: &Record) -> Result<()> {
        if segment.tokens.is_empty() {
            return Ok(());
        }
        let sound = present(sound.cloned())?;
        let take = Take::new(self.request, index, segment.clone(), sound, record.clone());
        for (index, take) in self.order.push(index, take) {
            self.write(index, take);
        }
        Ok(())
    }

    fn write(&mut self, index: usize, take: Take) {
        let written = take.write(self.request, self.model, self.stream.take());
        self.kept.push((index, written.map(|()| take)));
    }

    /// Writes the takes that still wait and returns all takes, or the first error of making or writing one.
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

/// Ranks the takes, shows their scores, and writes the best one to the output file.
fn rank(request: &SoundRequest, model: &Model, takes: &[Take]) -> Result<Vec<Ranked>> {
    let sounds: Vec<_> = takes.iter().map(|take| take.sound.clone()).collect();
    let expected = Expected::asked(&request.words, request.modality);
    let names: Vec<_> = takes.iter().map(|take| take.path.display().to_string()).collect();
    let ranking =
        crate::rank::rank(request.common, &mut model.session(), &sounds, &names, request.modality, &expected)?;
    if let (Some(best), true) = (ranking.first(), takes.len() > 1) {
        let best = &takes[best.take];
        let record = request.args.takes.record.of(&best.record);
        request.args.output.file.write_take(&request.args.output.file.output, &best.sound, record)?;
        note(
            request.common,
            &format!("{}: the best take, {}", request.args.output.file.output.display(), best.path.display()),
        );
    }
    Ok(ranking)
}

impl Take {
    fn new(request: &SoundRequest, index: usize, segment: Segment, sound: Waveform, mut record: Record) -> Self {
        let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
        let path = match request.args.takes.takes {
            1 => request.args.output.file.output.clone(),
            _ => numbered(&request.args.output.file.output, number),
        };
        if let Some(turn) = record.turns.last_mut() {
            turn.config.seed = segment.draws.seed; // the record of a take describes it alone
        }
        Self { path, number, segment, record, sound }
    }

    /// Writes the sound, or the part of it that `stream` has not written yet, and shows it if it is complete.
    fn write(&self, request: &SoundRequest, model: &Model, stream: Option<SoundStream>) -> Result<()> {
        warn_of_doubts(model, &self.segment);
        match stream {
            Some(stream) => stream.finish(&self.sound)?,
            None => {
                let record = request.args.takes.record.of(&self.record);
                request.args.output.file.write_take(&self.path, &self.sound, record)?;
            }
        }
        if matches!(self.segment.end, SegmentEnd::Cancelled | SegmentEnd::Failed) {
            return Ok(());
        }
        warn_of_cut(&self.path.display().to_string(), &self.segment, "--max-steps");
        note(request.common, &format!("{}: {:.2} s", self.path.display(), self.sound.seconds()));
        match request.args.takes.takes {
            1 => request.args.pictures.draw(&self.sound),
            _ => request.args.pictures.named(|picture| numbered(picture, self.number)).draw(&self.sound),
        }
    }

    fn describe<'a>(&self, prompt: &'a str) -> TakeSummary<'a> {
        TakeSummary {
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

/// Warns if a model with a small vocabulary knows none of the words, since its sound will not match the prompt.
fn warn_of_unknown_words(model: &Model, words: &str) {
    let known = &model.manifest().known_words;
    let words = words.to_lowercase();
    let mut said = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    if !known.is_empty() && !said.any(|word| known.iter().any(|k| k == word)) {
        warn(&format!(
            "warning: {:?} was trained on few words and knows none of these; \
             `ualm inspect` lists the words it knows",
            model.manifest().name
        ));
    }
}
