//! Frames without the tags at the end of the file, for streams whose frames do not state their length (FLAC).
//!
//! Tags after the last frame would be taken for a part of the frame, which would then seem damaged.

use std::io::{self, Read};

use crate::audio::decode::input::Input;
use crate::audio::decode::untagged::{HEAD_LEN, tag_len};
use crate::error::Result;

/// A reader that ends where only tags follow.
pub(super) struct TagsAtEnd<'a> {
    input: Input<'a>,
    /// The number of next bytes at which no tag begins.
    clear: u64,
}

/// Number of bytes that are searched at once.
const SEARCHED: usize = 1 << 15;

/// The maximum size of the tags in bytes; they may hold pictures.
const MAX_TAGS: u64 = 64 << 20;

impl<'a> TagsAtEnd<'a> {
    /// Creates a reader of `input`.
    pub fn new(input: Input<'a>) -> Self {
        Self { input, clear: 0 }
    }

    /// Returns the number of next bytes that are not a tag at the end; 0 at the end.
    fn search(&mut self) -> Result<u64> {
        if self.begins_tags()? {
            return Ok(0);
        }
        let bytes = self.input.peek(SEARCHED)?;
        let next = bytes.windows(3).skip(1).position(|bytes| matches!(bytes, b"TAG" | b"ID3" | b"APE"));
        // A name of three letters may continue after the searched bytes.
        let others = if bytes.len() < SEARCHED { bytes.len() } else { SEARCHED - 2 };
        Ok(next.map_or(others, |before| before + 1) as u64)
    }

    /// Returns whether nothing but tags follows.
    fn begins_tags(&mut self) -> Result<bool> {
        let mut len = 0;
        loop {
            let bytes = self.input.peek(usize::try_from(len).unwrap_or(usize::MAX).saturating_add(HEAD_LEN))?;
            let head = usize::try_from(len).ok().and_then(|len| bytes.get(len..));
            match head {
                Some([]) => return Ok(len > 0),
                Some(head) => match tag_len(head) {
                    Some(tag) if len + tag <= MAX_TAGS => len += tag,
                    _ => return Ok(false),
                },
                None => return Ok(false),
            }
        }
    }
}

impl Read for TagsAtEnd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.clear == 0 {
            self.clear = self.search().map_err(io::Error::other)?;
        }
        let max = usize::try_from(self.clear).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(buffer.get_mut(..max).unwrap_or_default())?;
        self.clear -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        TagsAtEnd::new(Input::pipe(bytes)).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn tags_at_the_end_are_left_out_and_no_others() {
        let version1 = [b"TAG".to_vec(), vec![b'x'; 125]].concat();
        let id3 = [b"ID3\x04\0\0\0\0\0\x04".to_vec(), b"TAG!".to_vec()].concat();
        for sound in [b"sound".to_vec(), vec![b'T'; SEARCHED - 2], vec![b'I'; SEARCHED - 1], vec![7; 3 * SEARCHED]] {
            assert_eq!(read(&sound), sound);
            assert_eq!(read(&[&sound[..], &version1].concat()), sound);
            assert_eq!(read(&[&sound[..], &id3, &version1].concat()), sound);
            let inside = [&sound[..], &id3, b"sound TAG", &version1[..20]].concat();
            assert_eq!(read(&inside), inside);
        }
    }
}
