//! A sound segment in the making, and the sound that it becomes.

use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Event, Generation, Model, Result, Segment};

use crate::args::Common;
use crate::interrupt::interrupted;
use crate::output::complain;
use crate::progress::Progress;

/// Runs a generation of one segment; after an error, what had been made until then comes with it.
pub fn run(common: &Common, what: &str, generation: Generation) -> Result<(Segment, Option<Error>)> {
    let progress = Progress::spinner(common, what);
    let (mut made, mut failure) = (None, None);
    for event in generation {
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
            let why = format!("the model ended after {steps} steps, and it takes {streams} to make the first frame");
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
