//! Whether a record can be run on a package.

#![expect(clippy::indexing_slicing, reason = "a frame has at least one id")]

use super::{PackageId, Record, RecordedSegment, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::SegmentEnd;
use crate::modality::Modality;
use crate::package::Package;
use crate::prompt::Prompt;
use crate::token::{TokenId, Vocabulary};

impl Record {
    /// Refuses a record that another package made, and one whose frames no package can have made.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`].
    pub fn check(&self, package: &Package) -> Result<()> {
        let found = PackageId::of(package);
        if self.package.sha256 != found.sha256 {
            let (made, loaded) = (&self.package, &found);
            let what = format!(
                "made by the package {:?} ({}), but {:?} ({}) is loaded: load the package that made it",
                made.name,
                brief(&made.sha256),
                loaded.name,
                brief(&loaded.sha256)
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let manifest = package.manifest();
        for (number, turn) in self.turns.iter().enumerate() {
            let is_last = number + 1 == self.turns.len();
            check_turn(turn, is_last, &manifest.vocabulary, manifest.language_model.hidden_size)
                .map_err(|what| Error::new(ErrorKind::Invalid, format!("a damaged record: turn {number}: {what}")))?;
        }
        Ok(())
    }
}

/// The first digits of a sum.
fn brief(sum: &str) -> String {
    sum.chars().take(12).collect()
}

fn check_turn(turn: &Turn, is_last: bool, vocabulary: &Vocabulary, hidden: usize) -> Result<(), String> {
    check_prompt(&turn.prompt, vocabulary, hidden)?;
    if turn.segments.is_empty() && !is_last {
        return Err("it has no segments, and another turn follows".into());
    }
    let named = |(number, segment)| check_segment(segment, vocabulary).map_err(|e| format!("segment {number}: {e}"));
    turn.segments.iter().enumerate().try_for_each(named)
}

fn check_prompt(prompt: &Prompt, vocabulary: &Vocabulary, hidden: usize) -> Result<(), String> {
    let frames = &prompt.frames;
    if frames.is_empty() || frames.streams() != vocabulary.streams {
        let (count, streams) = (frames.len(), frames.streams());
        return Err(format!("{count} prompt frames of {streams} ids; expected some of {}", vocabulary.streams));
    }
    check_ids(frames.ids(), vocabulary)?;
    for slot in &prompt.features {
        let (rows, columns) = slot.features.dim();
        if columns != hidden || slot.start.checked_add(rows).is_none_or(|end| end > frames.len()) {
            let what = format!("features {rows} × {columns} at frame {} of {}", slot.start, frames.len());
            return Err(format!("{what}; expected rows of {hidden} within the prompt"));
        }
    }
    Ok(())
}

fn check_ids(ids: &[TokenId], vocabulary: &Vocabulary) -> Result<(), String> {
    match ids.iter().find(|id| **id as usize >= vocabulary.size) {
        Some(id) => Err(format!("the id {id}; expected ids below {}", vocabulary.size)),
        None => Ok(()),
    }
}

fn check_segment(segment: &RecordedSegment, vocabulary: &Vocabulary) -> Result<(), String> {
    let frames = &segment.frames;
    if frames.streams() != vocabulary.streams {
        return Err(format!("frames of {} ids; expected {}", frames.streams(), vocabulary.streams));
    }
    segment.config.validate(segment.modality).map_err(|e| e.to_string())?;
    if segment.kept > frames.len() {
        return Err(format!("{} of its {} frames are said to be given", segment.kept, frames.len()));
    }
    let closing = match segment.end {
        SegmentEnd::Eos => Some(vocabulary.special.eos),
        SegmentEnd::Eot => Some(vocabulary.special.eot),
        SegmentEnd::Limit | SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed => None,
    };
    if closing.is_some() && frames.last().map(|frame| frame[0]) != closing {
        return Err("its last frame does not close it".into());
    }
    let open = frames.len() - usize::from(closing.is_some());
    frames.iter().take(open).try_for_each(|frame| check_frame(frame, segment.modality, vocabulary))
}

/// Whether `id` can be text: the tokenizer's id 0 goes in as pad where text is given.
fn is_text(id: TokenId, vocabulary: &Vocabulary) -> bool {
    vocabulary.text.contains(id) || id == vocabulary.special.pad
}

/// A frame that is not the closing one.
pub(crate) fn check_frame(frame: &[TokenId], modality: Modality, vocabulary: &Vocabulary) -> Result<(), String> {
    let fits = match modality {
        Modality::Text => is_text(frame[0], vocabulary) && frame[1..].iter().all(|id| *id == vocabulary.special.pad),
        Modality::Audio | Modality::Speech => {
            frame.iter().zip(&vocabulary.audio).all(|(id, block)| block.contains(*id))
        }
    };
    if fits { Ok(()) } else { Err(format!("the frame {frame:?}, which no {modality} segment has")) }
}
