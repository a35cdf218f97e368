//! `take`: how a sound was made, from the record in its WAV file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use ualm::audio::{DecodeOptions, WavFormat, Waveform, decode_file};
use ualm::record::{PackageId, RecordedMessage, RecordedSegment, holds_samples, wav_format};
use ualm::{
    Cancel, Cut, Error, ErrorKind, GenerationConfig, Modality, Model, Record, Result, Segment, SegmentConfig,
    SegmentEnd, TakeEvent, TakeRunner,
};

use crate::args::{Common, Output, Take};
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
    let taken = Taken::of(&record).map_err(named)?;
    if let Some(output) = &args.output {
        check_writable(output)?;
    }
    args.pictures.check()?;
    let cancel = cancel_on_signal()?;
    let offer = |sound: Waveform| Player::new(common, &args.playing).offer(&sound, &cancel);
    match args.extend {
        Some(seconds) => offer(extend(common, args, &taken, seconds, &cancel).map_err(named)?),
        None if args.again => offer(again(common, args, &taken, &cancel).map_err(named)?),
        None if args.output.is_some() => {
            Err(Error::new(ErrorKind::Invalid, "-o says where to write, but not what: add --again or --extend"))
        }
        None => {
            let sound = decode_file(&args.file, &DecodeOptions::default())?.waveform;
            args.pictures.draw(&sound)?;
            show(common, &taken)?;
            offer(sound)
        }
    }
}

/// A record whose last segment is the sound of the file.
struct Taken<'a> {
    record: &'a Record,
    segment: &'a RecordedSegment,
    /// Before the first frame that was drawn.
    cut: Cut,
    config: GenerationConfig,
}

impl<'a> Taken<'a> {
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
            _ => Err(Error::new(ErrorKind::Invalid, "its take is damaged: it does not end with a sound")),
        }
    }

    /// Makes the segment again, from `cut` on.
    fn make(&self, common: &Common, model: &Model, cut: Cut, config: &GenerationConfig) -> Result<Made> {
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
        Ok(Made { segment, sound: present(take.sound)?, record: take.record, failure: take.failure })
    }
}

/// A sound that was made again, or as much of it as there is before the error that comes with it.
struct Made {
    segment: Segment,
    sound: Waveform,
    record: Record,
    failure: Option<Error>,
}

/// The JSON of a take (`--json`).
#[derive(Serialize)]
struct Shown<'a> {
    producer: &'a str,
    package: &'a PackageId,
    turns: Vec<ShownTurn<'a>>,
    seed: u64,
    modality: Modality,
    end: SegmentEnd,
    frames: usize,
    kept: usize,
    config: SegmentConfig,
}

#[derive(Serialize)]
struct ShownTurn<'a> {
    messages: &'a [RecordedMessage],
    /// Texts of the segments; none for sound.
    segments: Vec<Option<&'a str>>,
}

fn show(common: &Common, taken: &Taken) -> Result<()> {
    let text = |s: &'_ RecordedSegment| !s.modality.is_sound();
    let turns = taken.record.turns.iter().map(|turn| ShownTurn {
        messages: &turn.messages,
        segments: turn.segments.iter().map(|segment| text(segment).then_some(segment.text.as_str())).collect(),
    });
    let shown = Shown {
        producer: &taken.record.producer,
        package: &taken.record.package,
        turns: turns.collect(),
        seed: taken.segment.draws.seed,
        modality: taken.segment.modality,
        end: taken.segment.end,
        frames: taken.segment.tokens.len(),
        kept: taken.segment.kept,
        config: taken.segment.config,
    };
    if common.json { print_json(&shown) } else { print(&describe(&shown)) }
}

/// A page for a person.
fn describe(shown: &Shown) -> String {
    let mut page = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(page, "{name:<12} {what}");
    };
    for turn in &shown.turns {
        for message in turn.messages {
            let seconds = || format!("({} of {:.1} s)", message.modality, message.seconds.unwrap_or_default());
            line(&message.role, message.text.clone().unwrap_or_else(seconds));
        }
        for text in &turn.segments {
            line("assistant", text.map_or_else(|| "(sound)".to_owned(), str::to_owned));
        }
    }
    let c = &shown.config;
    line("package", format!("{} ({})", shown.package.name, shown.package.sha256));
    line("producer", shown.producer.to_owned());
    line("seed", shown.seed.to_string());
    let sampling = format!("temperature {}, top-k {}, top-p {}", c.temperature, c.top_k, c.top_p);
    line(shown.modality.name(), format!("{sampling}, guidance {}, at most {} steps", c.guidance, c.max_steps));
    line("frames", format!("{}, of which {} were given", shown.frames, shown.kept));
    page
}

/// Makes the sound again and holds it against the file.
fn again(common: &Common, args: &Take, taken: &Taken, cancel: &Cancel) -> Result<Waveform> {
    let format = wav_format(&args.file)?;
    let model = load_model(common)?.with_cancel(cancel);
    let Made { segment, sound, failure, .. } = taken.make(common, &model, taken.cut, &taken.config)?;
    if failure.is_some() || segment.end == SegmentEnd::Cancelled {
        return Err(failure.unwrap_or_else(|| interrupted("nothing was compared")));
    }
    warn_of_doubts(&model, &segment);
    if let Some(output) = &args.output {
        write(output, &sound, format, taken.record)?;
    }
    if segment.tokens != taken.segment.tokens {
        let same = segment.tokens.iter().zip(taken.segment.tokens.iter()).take_while(|(a, b)| a == b).count();
        let what = format!(
            "made again, it differs from frame {same} on: another machine, version, library, number of threads or form of \
             the graphs (--low-memory, cpu:vnni=0)?"
        );
        return Err(Error::new(ErrorKind::Numeric, what));
    }
    if !holds_samples(&args.file, &sound, format)? {
        let what = "made again, its frames are the same and its samples differ: the file was changed, or another \
                    machine, version, library or number of threads?";
        return Err(Error::new(ErrorKind::Numeric, what));
    }
    note(common, &format!("the same {} samples", sound.len()));
    args.pictures.draw(&sound)?;
    Ok(sound)
}

/// Makes the sound longer: the frames that are there, but for those in which it runs out, and new ones.
fn extend(common: &Common, args: &Take, taken: &Taken, seconds: f64, cancel: &Cancel) -> Result<Waveform> {
    let Some(output) = args.output.clone() else {
        return Err(Error::new(ErrorKind::Invalid, "--extend needs -o OUT.wav"));
    };
    let model = load_model(common)?.with_cancel(cancel);
    let modality = taken.segment.modality;
    let Some((_, codec)) = model.manifest().codec(modality) else {
        return Err(Error::new(ErrorKind::Invalid, format!("the package has no codec for {modality}")));
    };
    let layout = model.layout(modality)?;
    let kept = taken.segment.sounding_len(layout);
    let frames = layout.frames(&taken.segment.tokens).max(1);
    let more = (seconds * codec.frames_per_second()).round() as usize;
    let more = layout.steps_for(frames + more) - layout.steps_for(frames);
    let mut config = taken.config.clone();
    config.seed = args.seed.unwrap_or(config.seed);
    let settings = config.segment_mut(taken.segment.modality);
    args.overrides.apply(settings);
    settings.min_steps = taken.segment.content_len() + more;
    settings.max_steps = settings.min_steps;
    let made = taken.make(common, &model, Cut { position: kept, ..taken.cut }, &config)?;
    let Made { segment, sound, record, failure } = made;
    warn_of_doubts(&model, &segment);
    write(&output, &sound, wav_format(&args.file)?, &record)?;
    note(common, &format!("{}: {:.2} s", output.display(), sound.seconds()));
    args.pictures.draw(&sound)?;
    let cut = format!("the first {:.2} s are in {}", sound.seconds(), output.display());
    match (failure, segment.end) {
        (Some(error), _) => Err(error.context(cut)),
        (None, SegmentEnd::Context) => Err(Error::new(ErrorKind::Limit, format!("the model's context is full; {cut}"))),
        (None, SegmentEnd::Cancelled) => Err(interrupted(&cut)),
        (None, _) => Ok(sound),
    }
}

fn write(path: &Path, sound: &Waveform, format: WavFormat, record: &Record) -> Result<()> {
    let output = Output { output: PathBuf::from(path), float: format == WavFormat::Float32 };
    output.write_take(path, sound, Some(record))
}
