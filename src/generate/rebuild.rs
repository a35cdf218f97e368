//! A cache made again from saved frames.
//!
//! What is saved is run just as it was run when it was made: prompts at once, segments frame by frame, guided ones
//! beside their unconditional branch. A run over many positions rounds otherwise than many runs of one, so nothing
//! shorter gives the same numbers, and with them the same tokens, as a conversation that never stopped.

use super::SegmentEnd;
use super::generation::closing_frames;
use super::parts::Parts;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::modality::Modality;
use crate::prompt::Prompt;
use crate::token::{Frames, TokenId};

/// A prompt of the past, and the segments that answered it.
pub(crate) struct PastTurn<'a> {
    pub prompt: &'a Prompt,
    pub segments: Vec<PastSegment<'a>>,
}

/// A segment of the past.
pub(crate) struct PastSegment<'a> {
    pub modality: Modality,
    pub end: SegmentEnd,
    pub guided: bool,
    /// After the modality token, the closing frame included.
    pub frames: &'a Frames,
}

/// Runs `past` from the beginning. If the last turn `goes_on`, the cache then ends with `[assistant]`, and the turn's
/// next segment can be opened; otherwise another turn can begin. On any error the conversation is empty.
pub(crate) fn rebuild(parts: &mut Parts, past: &[PastTurn], goes_on: bool, cancel: &Cancel) -> Result<()> {
    forget(parts);
    let rebuilt = past.iter().enumerate().try_for_each(|(index, turn)| {
        let is_last = index + 1 == past.len();
        rebuild_turn(parts, turn, is_last && goes_on, cancel)
    });
    if rebuilt.is_err() {
        forget(parts);
    }
    rebuilt
}

fn forget(parts: &mut Parts) {
    parts.language_model.rewind(0);
    *parts.tail = Frames::new(parts.vocabulary.streams);
}

fn rebuild_turn(parts: &mut Parts, turn: &PastTurn, turn_goes_on: bool, cancel: &Cancel) -> Result<()> {
    parts.prefill(Some(turn.prompt), cancel)?;
    for (index, segment) in turn.segments.iter().enumerate() {
        let goes_on = turn_goes_on || index + 1 < turn.segments.len();
        rebuild_segment(parts, segment, goes_on, cancel)?;
        if goes_on {
            parts.prefill(None, cancel)?;
        }
    }
    Ok(())
}

fn rebuild_segment(parts: &mut Parts, segment: &PastSegment, goes_on: bool, cancel: &Cancel) -> Result<()> {
    if segment.guided {
        parts.language_model.begin_guidance()?;
    }
    let run = run_frames(parts, segment, cancel);
    parts.language_model.end_guidance()?;
    *parts.tail = closing_frames(&run?, segment.end, goes_on, parts.vocabulary);
    Ok(())
}

/// Runs the modality token and all frames but the last, which it gives back.
fn run_frames(parts: &mut Parts, segment: &PastSegment, cancel: &Cancel) -> Result<Vec<TokenId>> {
    let mut last = parts.opening_frame(segment.modality)?;
    for frame in segment.frames.iter() {
        cancel.check()?;
        parts.language_model.step(&last)?;
        last.copy_from_slice(frame);
    }
    Ok(last)
}
