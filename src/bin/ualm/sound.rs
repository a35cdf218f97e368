//! A sound segment in the making, and the sound that it becomes.

use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Event, Generation, Model, Result, Segment, SegmentEnd};

use crate::interrupt::interrupted;
use crate::output::complain;

/// A segment that was made, or as much of it as there is before the error that comes with it.
pub type Made = (Segment, Option<Error>);

/// A segment in the making.
#[derive(Default)]
pub struct Pending {
    segment: Option<Segment>,
    failure: Option<Error>,
}

impl Pending {
    /// Keeps the segment and the error that come at its end, and gives back whatever else happened.
    pub fn keep(&mut self, event: Result<Event>) -> Option<Event> {
        match event {
            Ok(Event::SegmentEnded { segment, .. }) => self.segment = Some(segment),
            Ok(event) => return Some(event),
            Err(error) => self.failure = Some(error),
        }
        None
    }

    /// What was made.
    ///
    /// # Errors
    /// That of the generation, if there is nothing of the segment; interrupted before there was.
    pub fn finish(self) -> Result<Made> {
        match (self.segment.filter(|segment| !segment.frames.is_empty()), self.failure) {
            (Some(segment), failure) => Ok((segment, failure)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(interrupted("nothing was made yet")),
        }
    }
}

/// Runs a generation of one segment; `tell` is given everything that happens before its end, and an error of it stops the
/// generation.
///
/// # Errors
/// As [`Pending::finish`].
pub fn run(generation: Generation, mut tell: impl FnMut(Event) -> Result<()>) -> Result<Made> {
    let mut made = Pending::default();
    for event in generation {
        if let Some(event) = made.keep(event) {
            tell(event)?;
        }
    }
    made.finish()
}

/// Returns the segment's sound, through the package's enhancer if it has one; `None` for a segment of text.
pub fn enhanced(model: &Model, segment: &Segment) -> Result<Option<Waveform>> {
    match &segment.audio {
        Some(sound) if !sound.is_empty() => Ok(Some(model.enhance(sound)?.unwrap_or_else(|| sound.clone()))),
        other => Ok(other.clone()),
    }
}

/// The segment's sound, enhanced when the package can. A segment that is too short to hold sound is an empty clip, and
/// is said to be one.
pub fn sound_of(model: &Model, segment: &Segment) -> Result<Waveform> {
    for doubt in segment.doubts(&model.manifest().vocabulary) {
        complain(&format!("warning: {doubt}"));
    }
    match enhanced(model, segment)? {
        Some(sound) if !sound.is_empty() => Ok(sound),
        Some(empty) => {
            let (steps, streams) = (segment.frames.len(), segment.frames.streams());
            let why = match segment.end {
                SegmentEnd::Eos | SegmentEnd::Eot | SegmentEnd::Limit if steps <= streams => {
                    format!("the model ended after {steps} steps, and it takes {streams} to make the first frame")
                }
                _ => format!("its {steps} steps were not decoded"),
            };
            complain(&format!("warning: the clip is empty: {why}; try another seed or prompt"));
            Ok(empty)
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
