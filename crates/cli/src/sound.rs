//! Generated sounds: warnings about them, and numbered file names.

use std::path::{Path, PathBuf};

use ualm::audio::Waveform;
use ualm::internal::counted;
use ualm::{Error, ErrorKind, Model, Result, Segment, SegmentEnd};

use crate::output::warn;

/// Returns the sound of `segment`, enhanced if the package has an enhancer, after printing warnings about it.
pub fn sound_of(model: &Model, segment: &Segment) -> Result<Waveform> {
    warn_of_doubts(model, segment);
    present(model.heard(segment)?)
}

/// Returns the sound, or an error if the segment has none.
pub fn present(sound: Option<Waveform>) -> Result<Waveform> {
    sound.ok_or_else(|| Error::new(ErrorKind::Graph, "the segment has no sound"))
}

/// Prints warnings about the sound of `segment`.
pub fn warn_of_doubts(model: &Model, segment: &Segment) {
    let Ok(layout) = model.layout(segment.modality) else { return };
    for doubt in segment.doubts(layout) {
        warn(&format!("warning: {doubt}"));
    }
    let max = model.manifest().codec(segment.modality).and_then(|(_, codec)| codec.most_frames);
    let frames = layout.frames(&segment.tokens);
    if let Some(max) = max.filter(|max| frames > *max) {
        warn(&format!(
            "warning: {frames} frames were made, but only the first {max} can be decoded, the codec's limit"
        ));
    }
}

/// Warns if the segment called `name` was cut off: by the limit that `flag` sets, or because the context is full.
pub fn warn_of_cut(name: &str, segment: &Segment, flag: &str) {
    match segment.end {
        SegmentEnd::Limit => {
            let max = counted(segment.config.max_steps, "step");
            warn(&format!("warning: {name}: cut off at the limit of {max} ({flag})"));
        }
        SegmentEnd::Context => warn(&format!("warning: {name}: cut off: the model's context is full")),
        _ => {}
    }
}

/// Inserts a number into a file name: `out.wav` becomes `out.2.wav`.
pub fn numbered(path: &Path, number: u16) -> PathBuf {
    match path.extension() {
        Some(extension) => path.with_extension(format!("{number}.{}", extension.to_string_lossy())),
        None => path.with_extension(number.to_string()),
    }
}
