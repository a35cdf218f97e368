//! The delay pattern: stream i is shifted by i frames, so that each frame predicts a stream from the streams before it.

#![expect(clippy::indexing_slicing, reason = "a frame has an id for each stream, a vocabulary a block")]

use super::{Codes, Frames, Vocabulary};
use crate::error::{Error, ErrorKind, Result};

/// Shifts stream `i` by `i` frames and turns codes into ids: codes [S, F] become F + S − 1 frames (none for F = 0).
///
/// The cells before and after a stream's codes hold that stream's own pad.
pub fn delay(codes: &Codes, vocabulary: &Vocabulary) -> Frames {
    let (streams, len) = codes.dim();
    let mut frames = Frames::new(streams);
    if len == 0 {
        return frames;
    }
    let mut frame = vec![0; streams];
    for step in 0..len + streams - 1 {
        for (stream, id) in frame.iter_mut().enumerate() {
            let block = vocabulary.audio[stream];
            let code = step.checked_sub(stream).and_then(|f| codes.get((stream, f)));
            *id = code.map_or(block.start, |code| block.start + 1 + code);
        }
        frames.push(&frame);
    }
    frames
}

/// The inverse of [`delay`] for `frames` without their closing frame: T frames hold T − S + 1 frames of codes.
///
/// A pad inside becomes code 0, as the authors' decoder clamps it; [`holes`] counts them. Fewer than S frames hold no
/// audio: the result has shape [S, 0].
///
/// # Errors
/// [`ErrorKind::Numeric`] for an id that no frame of sound can hold.
pub fn undelay(frames: &Frames, vocabulary: &Vocabulary) -> Result<Codes> {
    let mut wrong = None;
    let codes = Codes::from_shape_fn(undelayed_shape(frames), |(stream, f)| {
        let block = vocabulary.audio[stream];
        match frames.get(f + stream).map_or(0, |frame| frame[stream]) {
            id if id == vocabulary.special.pad || id == block.start => 0,
            id if block.contains(id) => id - block.start - 1,
            id => {
                wrong.get_or_insert((stream, f + stream, id));
                0
            }
        }
    });
    let Some((stream, frame, id)) = wrong else { return Ok(codes) };
    let block = vocabulary.audio[stream];
    let what = format!("id {id} in stream {stream} of frame {frame}; expected {} … {}", block.start, block.end - 1);
    Err(Error::new(ErrorKind::Numeric, what))
}

/// How many cells that should hold a code hold a pad.
pub fn holes(frames: &Frames, vocabulary: &Vocabulary) -> usize {
    let (streams, len) = undelayed_shape(frames);
    let is_hole = |stream: usize, f: usize| {
        frames.get(f + stream).is_none_or(|frame| frame[stream] <= vocabulary.audio[stream].start)
    };
    (0..streams).map(|stream| (0..len).filter(|f| is_hole(stream, *f)).count()).sum()
}

fn undelayed_shape(frames: &Frames) -> (usize, usize) {
    (frames.streams(), (frames.len() + 1).saturating_sub(frames.streams()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Interval, Special};
    use proptest::prelude::*;

    fn vocabulary(streams: usize, codebook: u32) -> Vocabulary {
        let special =
            Special { pad: 0, bos: 1, eos: 2, eot: 3, system: 4, user: 5, assistant: 6, text: 7, audio: 8, speech: 9 };
        let start = |i: u32| 30 + i * (codebook + 1);
        let audio = (0..streams as u32).map(|i| Interval { start: start(i), end: start(i + 1) }).collect();
        Vocabulary {
            size: start(streams as u32) as usize,
            streams,
            special,
            text: Interval { start: 16, end: 30 },
            audio,
        }
    }

    proptest! {
        #[test]
        fn undelay_inverts_delay(streams in 1usize..9, len in 0usize..20, seed in any::<u32>()) {
            let vocabulary = vocabulary(streams, 64);
            prop_assert!(vocabulary.validate().is_ok());
            let codes = Codes::from_shape_fn((streams, len), |(s, f)| seed.wrapping_mul(31).wrapping_add((s * 97 + f * 7) as u32) % 64);
            let frames = delay(&codes, &vocabulary);
            prop_assert_eq!(frames.len(), if len == 0 { 0 } else { len + streams - 1 });
            for frame in frames.iter() {
                for (id, block) in frame.iter().zip(&vocabulary.audio) {
                    prop_assert!(block.contains(*id));
                }
            }
            prop_assert_eq!(undelay(&frames, &vocabulary).unwrap(), codes);
            prop_assert_eq!(holes(&frames, &vocabulary), 0);
        }
    }

    #[test]
    fn delayed_streams_step_down_like_stairs() {
        let vocabulary = vocabulary(3, 4);
        let codes = Codes::from_shape_vec((3, 2), vec![0, 1, 2, 3, 1, 1]).unwrap();
        let frames: Vec<_> = delay(&codes, &vocabulary).iter().map(<[_]>::to_vec).collect();
        assert_eq!(frames, [[31, 35, 40], [32, 38, 40], [30, 39, 42], [30, 35, 42]]);
    }

    #[test]
    fn pads_inside_and_short_segments() {
        let vocabulary = vocabulary(3, 4);
        assert_eq!(undelay(&Frames::pads(3, 2), &vocabulary).unwrap().dim(), (3, 0));
        assert_eq!(undelay(&Frames::pads(3, 3), &vocabulary).unwrap(), Codes::zeros((3, 1)));
        assert_eq!(holes(&Frames::pads(3, 4), &vocabulary), 6);
    }

    #[test]
    fn ids_of_other_streams_are_refused_and_not_clamped() {
        let vocabulary = vocabulary(3, 4);
        for id in [1, 29, 35, u32::MAX] {
            let mut frames = Frames::new(3);
            (0..3).for_each(|_| frames.push(&[id, 0, 0]));
            let error = undelay(&frames, &vocabulary).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Numeric);
            assert!(error.message().contains("expected 30 … 34"), "{error}");
        }
    }
}
