//! Edit lists: the pieces of a track that are played.
//!
//! AAC begins with samples that only warm up the decoder; an edit list skips them. Recorders also cut by edit lists.

use crate::audio::decode::mp4::boxes::Fields;
use crate::audio::decode::refusal;
use crate::audio::decode::track::Piece;
use crate::error::Result;

/// The units of time per second in a movie and in a track, and the track's length in seconds, if it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub movie_scale: u32,
    pub media_scale: u32,
    pub total: Option<f64>,
}

/// The maximum number of edits that are read.
const MAX_EDITS: u32 = 10_000;

/// Reads the content of `elst` into pieces in order of time.
///
/// # Errors
/// Pieces that are played out of order, more than once, or at another speed.
pub(super) fn read(list: &[u8], times: Times, container: &str) -> Result<Vec<Piece>> {
    if times.movie_scale == 0 || times.media_scale == 0 {
        return Ok(Vec::new());
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut silence = 0.0;
    for edit in edits(list) {
        let length = edit.length as f64 / f64::from(times.movie_scale);
        let Ok(start) = u64::try_from(edit.start) else {
            // An empty edit: at the beginning it delays the track, which has no effect on a single track.
            silence += if pieces.is_empty() { 0.0 } else { length };
            continue;
        };
        if edit.rate != 0x0001_0000 {
            return Err(refusal::codec("an edit list that changes the speed", container));
        }
        let start = start as f64 / f64::from(times.media_scale);
        let piece = times.piece(start, Some(length).filter(|length| *length > 0.0));
        let tick = 1.0 / f64::from(times.movie_scale);
        match pieces.last().map(|last| last.length.map(|length| last.start + length)) {
            Some(end) if end.is_none_or(|end| start < end - tick) => {
                return Err(refusal::codec("an edit list that plays pieces twice or out of order", container));
            }
            _ => pieces.push(Piece { silence, ..piece }),
        }
        silence = 0.0;
    }
    Ok(pieces)
}

impl Times {
    /// Returns the piece, extended to the end of the track if the two ends differ only by the rounding of the edit.
    fn piece(&self, start: f64, length: Option<f64>) -> Piece {
        let tick = 1.0 / f64::from(self.movie_scale);
        let length = match (length, self.total) {
            (Some(length), Some(total)) if start + length > total - tick => Some((total - start).max(0.0)),
            (length, _) => length,
        };
        Piece { start, length, silence: 0.0 }
    }
}

struct Edit {
    length: u64,
    start: i64,
    rate: u32,
}

fn edits(list: &[u8]) -> impl Iterator<Item = Edit> {
    let mut fields = Fields(list);
    let version = fields.version().map_or(0, |(version, _)| version);
    let count = fields.u32().unwrap_or(0).min(MAX_EDITS);
    (0..count).map_while(move |_| {
        let (length, start) = if version == 1 {
            (fields.u64()?, fields.u64()?.cast_signed())
        } else {
            (u64::from(fields.u32()?), i64::from(fields.u32()?.cast_signed()))
        };
        Some(Edit { length, start, rate: fields.u32()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(edits: &[(u32, i32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend((edits.len() as u32).to_be_bytes());
        for (length, start, rate) in edits {
            bytes.extend(length.to_be_bytes().into_iter().chain(start.to_be_bytes()).chain(rate.to_be_bytes()));
        }
        bytes
    }

    const TIMES: Times = Times { movie_scale: 1000, media_scale: 8000, total: Some(2.0) };

    #[test]
    fn pieces_are_those_of_the_list() {
        let pieces =
            read(&list(&[(100, -1, 65536), (500, 800, 65536), (250, -1, 65536), (900, 8000, 65536)]), TIMES, "MP4");
        let piece = |start, length, silence| Piece { start, length: Some(length), silence };
        assert_eq!(pieces.unwrap(), [piece(0.1, 0.5, 0.0), piece(1.0, 0.9, 0.25)]);
        // Rounded to a thousandth, an edit may end after the track.
        assert_eq!(read(&list(&[(1901, 800, 65536)]), TIMES, "MP4").unwrap(), [piece(0.1, 1.9, 0.0)]);
        assert_eq!(read(&list(&[(0, 800, 65536)]), TIMES, "MP4").unwrap()[0].length, None);
    }

    #[test]
    fn what_cannot_be_played_in_one_go_is_refused() {
        for edits in [[(500, 800, 65536), (500, 0, 65536)], [(500, 0, 65536), (500, 800, 65536)]] {
            assert!(read(&list(&edits), TIMES, "MP4").unwrap_err().message().contains("out of order"));
        }
        assert!(read(&list(&[(500, 0, 0x8000)]), TIMES, "MP4").unwrap_err().message().contains("speed"));
    }
}
