//! A sound segment in the making, and the sound that it becomes.

use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Event, Generation, Model, Result, Segment, SegmentEnd};

use crate::interrupt::interrupted;
use crate::output::complain;
use crate::progress::Progress;

/// A segment that was made, or as much of it as there is before the error that comes with it.
pub type Made = (Segment, Option<Error>);

/// Runs a generation of one segment.
pub fn run(progress: &Progress, generation: Generation) -> Result<Made> {
    run_streamed(progress, generation, |_| Ok(()))
}

/// [`run`], with `heard` given every piece of the sound as it comes; an error of it stops the generation.
pub fn run_streamed(
    progress: &Progress,
    generation: Generation,
    mut heard: impl FnMut(&Waveform) -> Result<()>,
) -> Result<Made> {
    run_told(generation, |event| match event {
        Event::AudioProgress { seconds } => {
            progress.seconds(seconds);
            Ok(())
        }
        Event::AudioChunk(sound) => heard(&sound),
        _ => Ok(()),
    })
}

/// [`run`], with `tell` given everything that happens before the segment's end; an error of it stops the generation.
///
/// # Errors
/// That of the generation, if there is nothing of the segment; interrupted before there was.
pub fn run_told(generation: Generation, mut tell: impl FnMut(Event) -> Result<()>) -> Result<Made> {
    let (mut made, mut failure) = (None, None);
    for event in generation {
        match event {
            Ok(Event::SegmentEnded { segment, .. }) => made = Some(segment),
            Ok(event) => tell(event)?,
            Err(error) => failure = Some(error),
        }
    }
    match (made.filter(|segment| !segment.frames.is_empty()), failure) {
        (Some(segment), failure) => Ok((segment, failure)),
        (None, Some(error)) => Err(error),
        (None, None) => Err(interrupted("nothing was made yet")),
    }
}

/// The segment's sound, enhanced when the package can. A segment that is too short to hold sound is an empty clip, and
/// is said to be one.
pub fn sound_of(model: &Model, segment: &Segment) -> Result<Waveform> {
    for doubt in segment.doubts(&model.manifest().vocabulary) {
        complain(&format!("warning: {doubt}"));
    }
    match &segment.audio {
        Some(sound) if !sound.is_empty() => Ok(model.enhance(sound)?.unwrap_or_else(|| sound.clone())),
        Some(empty) => {
            let (steps, streams) = (segment.frames.len(), segment.frames.streams());
            let why = match segment.end {
                SegmentEnd::Eos | SegmentEnd::Eot | SegmentEnd::Limit if steps <= streams => {
                    format!("the model ended after {steps} steps, and it takes {streams} to make the first frame")
                }
                _ => format!("its {steps} steps were not decoded"),
            };
            complain(&format!("warning: the clip is empty: {why}; try another seed or prompt"));
            Ok(empty.clone())
        }
        None => Err(Error::new(ErrorKind::Graph, "the segment has no sound")),
    }
}

/// `out.wav` with a number: `out.2.wav`.
pub fn numbered(path: &Path, number: u16) -> PathBuf {
    match path.extension() {
        Some(extension) => path.with_extension(format!("{number}.{}", extension.to_string_lossy())),
        None => path.with_extension(number.to_string()),
    }
}
