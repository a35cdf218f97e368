//! A sound segment in the making, and the sound that it becomes.

use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Event, Generation, Model, Result, Segment, SegmentEnd};

use crate::interrupt::interrupted;
use crate::output::complain;
use crate::progress::Progress;

/// Runs a generation of one segment; what [`kept`] gives of it.
pub fn run(progress: &Progress, generation: Generation) -> Result<(Segment, Option<Error>)> {
    run_streamed(progress, generation, |_| Ok(()))
}

/// [`run`], with `heard` given every piece of the sound as it comes; an error of it stops the generation.
pub fn run_streamed(
    progress: &Progress,
    generation: Generation,
    mut heard: impl FnMut(&Waveform) -> Result<()>,
) -> Result<(Segment, Option<Error>)> {
    let (mut made, mut failure) = (None, None);
    for event in generation {
        match event {
            Ok(Event::AudioProgress { seconds }) => progress.seconds(seconds),
            Ok(Event::AudioChunk(sound)) => heard(&sound)?,
            Ok(Event::SegmentEnded { segment, .. }) => made = Some(segment),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    kept(made, failure)
}

/// The segment that was made, or as much of it as there is before the error that comes with it; an error alone if there is
/// nothing of it.
pub fn kept(made: Option<Segment>, failure: Option<Error>) -> Result<(Segment, Option<Error>)> {
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
