//! `take`: shows, repeats and extends a generated sound, from the record in its WAV file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use ualm::audio::{DecodeOptions, WavFormat, Waveform, decode_file};
use ualm::internal::counted;
use ualm::record::{PackageId, RecordedMessage, holds_samples, wav_format};
use ualm::{
    Cancel, Cut, Error, ErrorKind, GenerationConfig, Modality, Model, Record, Result, Segment, SegmentConfig,
    SegmentEnd, TakeEvent, TakeRunner,
};

use crate::args::{Common, Output, Samples, Take};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{check_writable, note, print, print_json};
use crate::player::Player;
use crate::progress::Progress;
use crate::setup::load_model;
use crate::sound::{present, warn_of_doubts};

/// `ualm take`.
pub fn run(common: &Common, args: &Take) -> Result<()> {
    let record = Record::read_wav(&args.file)?;
    let named = |error: Error| error.context(args.file.display());
    let take = RecordedTake::of(&record).map_err(named)?;
    if let Some(output) = &args.output {
        check_writable(output)?;
    }
    args.pictures.check()?;
    let cancel = cancel_on_signal()?;
    let offer = |sound: Waveform| Player::new(common, &args.playing).offer(&sound, &cancel);
    match args.extend {
        Some(seconds) => offer(extend(common, args, &take, seconds, &cancel).map_err(named)?),
        None if args.again => offer(again(common, args, &take, &cancel).map_err(named)?),
        None if args.output.is_some() => Err(Error::new(ErrorKind::Invalid, "-o needs --again or --extend")),
        None => {
            let sound = decode_file(&args.file, &DecodeOptions::default())?.waveform;
            args.pictures.draw(&sound)?;
            show(common, &take)?;
            offer(sound)
        }
    }
}

/// A record whose last segment is the sound in the file.
struct RecordedTake<'a> {
    record: &'a Record,
    segment: &'a Segment,
    /// The point before the first generated position.
    cut: Cut,
    config: GenerationConfig,
}

impl<'a> RecordedTake<'a> {
    fn of(record: &'a Record) -> Result<Self> {
        match record.last_segment() {
            Some((segment, cut)) if segment.modality.is_sound() => {
                let mut config = record.turns[cut.turn].config.clone();
                config.seed = segment.draws.seed;
                config.force.truncate(cut.segment);
                config.force.resize(cut.segment + 1, segment.modality);
                config.max_segments = cut.segment + 1;
                let settings = config.segment_mut(segment.modality);
                *settings = segment.config;
                if matches!(segment.end, SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed) {
                    settings.max_steps = segment.tokens.len().max(1);
                    settings.min_steps = settings.min_steps.min(settings.max_steps);
                }
                Ok(Self { record, segment, cut, config })
            }
            _ => Err(Error::new(ErrorKind::Invalid, "its record is damaged: it does not end with a sound")),
        }
    }

    /// Regenerates the segment from `cut` on.
    fn make(&self, common: &Common, model: &Model, cut: Cut, config: &GenerationConfig) -> Result<Regenerated> {
        let mut runner = TakeRunner::in_session(model.session(), 1);
        let checkpoint = runner.session_mut().restore(self.record, cut)?;
        let before = self.record.before(self.cut)?;
        let progress = Progress::spinner(common, "making");
        let made = runner.make(&checkpoint, &before, config, 1, |event| {
            if let TakeEvent::AudioProgress(_, seconds) = event {
                progress.show_sound(seconds);
            }
            Ok(())
        });
        drop(progress);
        let nothing = || interrupted("nothing was made yet");
        let made = made.map_err(|error| if error.kind() == ErrorKind::Cancelled { nothing() } else { error })?;
        let mut take = made.into_iter().next().ok_or_else(nothing)?;
        let segment = take.segments.pop().filter(|segment| !segment.tokens.is_empty());
        let Some(segment) = segment else { return Err(take.failure.unwrap_or_else(nothing)) };
        Ok(Regenerated { segment, sound: present(take.sound)?, record: take.record, failure: take.failure })
    }
}

/// A regenerated sound, or the part of it before `failure`.
struct Regenerated {
    segment: Segment,
    sound: Waveform,
    record: Record,
    failure: Option<Error>,
}

/// The JSON of a take (`--json`).
#[derive(Serialize)]
struct Summary<'a> {
    producer: &'a str,
    package: &'a PackageId,
    turns: Vec<TurnSummary<'a>>,
    seed: u64,
    modality: Modality,
    end: SegmentEnd,
    frames: usize,
    kept: usize,
    config: SegmentConfig,
}

#[derive(Serialize)]
struct TurnSummary<'a> {
    messages: &'a [RecordedMessage],
    /// The texts of the segments; `None` for sounds.
    segments: Vec<Option<&'a str>>,
}

fn show(common: &Common, take: &RecordedTake) -> Result<()> {
    let text = |s: &'_ Segment| !s.modality.is_sound();
    let turns = take.record.turns.iter().map(|turn| TurnSummary {
        messages: &turn.messages,
        segments: turn.segments.iter().map(|segment| text(segment).then_some(segment.text.as_str())).collect(),
    });
    let summary = Summary {
        producer: &take.record.producer,
        package: &take.record.package,
        turns: turns.collect(),
        seed: take.segment.draws.seed,
        modality: take.segment.modality,
        end: take.segment.end,
        frames: take.segment.tokens.len(),
        kept: take.segment.kept,
        config: take.segment.config,
    };
    if common.json { print_json(&summary) } else { print(&describe(&summary)) }
}

/// Formats the take as text.
fn describe(summary: &Summary) -> String {
    let mut page = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(page, "{name:<12} {what}");
    };
    for turn in &summary.turns {
        for message in turn.messages {
            let seconds = || format!("({} of {:.1} s)", message.modality, message.seconds.unwrap_or_default());
            line(&message.role, message.text.clone().unwrap_or_else(seconds));
        }
        for text in &turn.segments {
            line("assistant", text.map_or_else(|| "(sound)".to_owned(), str::to_owned));
        }
    }
    let c = &summary.config;
    line("package", format!("{} ({})", summary.package.name, summary.package.sha256));
    line("producer", summary.producer.to_owned());
    line("seed", summary.seed.to_string());
    let sampling = format!("temperature {}, top-k {}, top-p {}", c.temperature, c.top_k, c.top_p);
    let max = counted(c.max_steps, "step");
    line(summary.modality.name(), format!("{sampling}, guidance {}, at most {max}", c.guidance));
    line("positions", format!("{}, of which {} from an earlier take", summary.frames, summary.kept));
    page
}

/// Regenerates the sound and compares it with the file.
fn again(common: &Common, args: &Take, take: &RecordedTake, cancel: &Cancel) -> Result<Waveform> {
    let format = wav_format(&args.file)?;
    let model = load_model(common)?.with_cancel(cancel);
    let Regenerated { segment, sound, failure, .. } = take.make(common, &model, take.cut, &take.config)?;
    if failure.is_some() || segment.end == SegmentEnd::Cancelled {
        return Err(failure.unwrap_or_else(|| interrupted("the sound was not compared")));
    }
    warn_of_doubts(&model, &segment);
    if let Some(output) = &args.output {
        write(output, &sound, format, take.record)?;
    }
    if segment.tokens != take.segment.tokens {
        let same = segment.tokens.iter().zip(take.segment.tokens.iter()).take_while(|(a, b)| a == b).count();
        let what = format!(
            "the sound differs from position {same} on: was it made by another machine, version, library, number of threads or \
             variant of the graphs (--low-memory, cpu:vnni=0)?"
        );
        return Err(Error::new(ErrorKind::Numeric, what));
    }
    if !holds_samples(&args.file, &sound, format)? {
        let what = "the tokens are the same, but the samples differ: was the file changed, or made by another \
                    machine, version, library or number of threads?";
        return Err(Error::new(ErrorKind::Numeric, what));
    }
    note(common, &format!("the same in all {}", counted(sound.len(), "sample")));
    args.pictures.draw(&sound)?;
    Ok(sound)
}

/// Extends the sound: keeps its tokens, except for the last ones in which it fades out, and generates more.
fn extend(common: &Common, args: &Take, take: &RecordedTake, seconds: f64, cancel: &Cancel) -> Result<Waveform> {
    let Some(output) = args.output.clone() else {
        return Err(Error::new(ErrorKind::Invalid, "--extend needs -o OUT.wav"));
    };
    let model = load_model(common)?.with_cancel(cancel);
    let modality = take.segment.modality;
    let Some((_, codec)) = model.manifest().codec(modality) else {
        return Err(Error::new(ErrorKind::Invalid, format!("the package has no codec for {modality}")));
    };
    let layout = model.layout(modality)?;
    let kept = take.segment.sounding_len(layout);
    let frames = layout.frames(&take.segment.tokens).max(1);
    let more = (seconds * codec.frames_per_second()).round() as usize;
    let more = layout.steps_for(frames + more) - layout.steps_for(frames);
    let mut config = take.config.clone();
    config.seed = args.seed.unwrap_or(config.seed);
    let settings = config.segment_mut(take.segment.modality);
    args.overrides.apply(settings);
    settings.min_steps = take.segment.content_len() + more;
    settings.max_steps = settings.min_steps;
    let least = settings.min_steps;
    let made = take.make(common, &model, Cut { position: kept, ..take.cut }, &config)?;
    let Regenerated { segment, sound, record, failure } = made;
    warn_of_doubts(&model, &segment);
    write(&output, &sound, wav_format(&args.file)?, &record)?;
    note(common, &format!("{}: {:.2} s", output.display(), sound.seconds()));
    args.pictures.draw(&sound)?;
    let cut = format!("the first {:.2} s are in {}", sound.seconds(), output.display());
    match (failure, segment.end) {
        (Some(error), _) => Err(error.context(cut)),
        (None, SegmentEnd::Context) => Err(Error::new(ErrorKind::Limit, format!("the model's context is full; {cut}"))),
        (None, SegmentEnd::Cancelled) => Err(interrupted(&cut)),
        (None, _) if segment.content_len() < least => {
            let found = counted(segment.content_len(), "position");
            let what = format!("a sound of this package ends after {found}; --extend needs {least}; {cut}");
            Err(Error::new(ErrorKind::Limit, what))
        }
        (None, _) => Ok(sound),
    }
}

fn write(path: &Path, sound: &Waveform, format: WavFormat, record: &Record) -> Result<()> {
    let output = Output { output: PathBuf::from(path), samples: Samples { float: format == WavFormat::Float32 } };
    output.write_take(path, sound, Some(record))
}
