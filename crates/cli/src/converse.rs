//! `converse`: answers a spoken question with a spoken answer, by way of text.

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::{
    ConverseOptions, Converser, Error, ErrorKind, Message, Modality, Model, Record, Result, SegmentEnd, Spoken,
    TakeEvent, TakeRunner,
};

use crate::args::{Common, Converse};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{note, print, print_json};
use crate::player::Player;
use crate::progress::Progress;
use crate::setup::{load_model, read_recording, seed};
use crate::sound::{warn_of_cut, warn_of_doubts};
use crate::stream::SoundStream;

/// The JSON of a spoken answer (`--json`).
#[derive(Serialize)]
struct Summary {
    question: String,
    answer: String,
    audio: String,
    seconds: f64,
    sample_rate: u32,
    end: SegmentEnd,
    steps: usize,
    seed: u64,
}

/// `ualm converse`.
pub fn run(common: &Common, args: &Converse) -> Result<()> {
    args.output.check()?;
    args.pictures.check()?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let seed = seed(&args.sampling, common)?;
    let mut stream = args.output.stream();
    // an enhancer works on the whole sound
    let streams = stream.is_some() && model.manifest().enhancer(Modality::Speech).is_none();
    let options = ConverseOptions::default().seed(seed).stream_audio(streams).settings(|config| {
        config.text.max_steps = args.text_steps.map_or(config.text.max_steps, |steps| steps.get() as usize);
        args.sampling.overrides.apply(&mut config.speech);
    });
    let mut converser = Converser::new(TakeRunner::in_session(model.session(), 1), options)?;
    let recording = read_recording(&args.question, &model)?;

    let lines = Lines { common, args };
    let progress = Progress::spinner(common, "listening");
    let question = converser.hear(recording, |_| Ok(())).map_err(stopped)?;
    drop(progress);
    lines.line("question", &question)?;
    let answer = answer(&mut converser, &question, &lines)?;
    let progress = Progress::spinner(common, "speaking");
    let spoken = converser.speak(&answer, |event| match event {
        TakeEvent::AudioProgress(_, seconds) => {
            progress.show_sound(seconds);
            Ok(())
        }
        TakeEvent::AudioChunk(_, chunk) => stream.as_mut().map_or(Ok(()), |stream| stream.push(&chunk)),
        _ => Ok(()),
    });
    drop(progress);
    let spoken = spoken.map_err(stopped)?;
    write(args, converser.record(), &spoken.sound, stream)?;
    let sound = spoken.sound.clone();
    finish(common, args, &model, spoken, (question, answer), seed)?;
    Player::new(common, &args.playing).offer(&sound, &cancel)
}

/// Generates the answer, and shows it as it is generated.
fn answer(converser: &mut Converser, question: &str, lines: &Lines) -> Result<String> {
    let mut progress = Some(Progress::spinner(lines.common, "answering"));
    let answer = converser.answer(&[Message::text(question)], |event| match event {
        TakeEvent::TextDelta(_, piece) if lines.is_live() => match progress.take() {
            Some(_) => print(&format!("answer: {}", piece.trim_start())),
            None => print(&piece),
        },
        _ => Ok(()),
    });
    let is_begun = progress.take().is_none();
    if lines.is_live() && is_begun {
        print("\n")?;
    }
    let answer = answer.map_err(stopped)?;
    if !lines.is_live() {
        lines.line("answer", &answer)?;
    }
    Ok(answer)
}

/// Writes the speech, or the part of it that `stream` has not written yet.
fn write(args: &Converse, record: &Record, sound: &Waveform, stream: Option<SoundStream>) -> Result<()> {
    match stream {
        Some(stream) => stream.finish(sound),
        None => args.output.file.write_take(&args.output.file.output, sound, args.record.of(record)),
    }
}

/// Reports the result.
fn finish(
    common: &Common,
    args: &Converse,
    model: &Model,
    spoken: Spoken,
    (question, answer): (String, String),
    seed: u64,
) -> Result<()> {
    let Spoken { segment, sound, .. } = spoken;
    let path = args.output.file.output.display().to_string();
    warn_of_doubts(model, &segment);
    if segment.end == SegmentEnd::Cancelled {
        return Err(interrupted(&format!("the first {:.2} s are in {path}", sound.seconds())));
    }
    warn_of_cut(&path, &segment, "--max-steps");
    note(common, &format!("{path}: {:.2} s", sound.seconds()));
    args.pictures.draw(&sound)?;
    if !common.json || args.output.file.is_stdout() {
        return Ok(());
    }
    print_json(&Summary {
        question,
        answer,
        audio: path,
        seconds: sound.seconds(),
        sample_rate: sound.sample_rate(),
        end: segment.end,
        steps: segment.tokens.len(),
        seed,
    })
}

/// Output of the question and the answer as text.
struct Lines<'a> {
    common: &'a Common,
    args: &'a Converse,
}

impl Lines<'_> {
    /// Returns whether text is streamed to standard output.
    fn is_live(&self) -> bool {
        !self.args.output.file.is_stdout() && !self.common.json
    }

    /// Shows a text on standard output, or on standard error if sound goes to standard output.
    fn line(&self, name: &str, text: &str) -> Result<()> {
        if self.args.output.file.is_stdout() {
            note(self.common, &format!("{name}: {text}"));
            Ok(())
        } else if self.common.json {
            Ok(())
        } else {
            print(&format!("{name}: {text}\n"))
        }
    }
}

/// Converts the error of a step before speech began.
fn stopped(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => interrupted("nothing was spoken yet"),
        _ => error,
    }
}
