//! Bare frames without the tags between and after them.
//!
//! A tag may contain a picture, and a picture bytes that look like frames, so that tags are skipped where a frame ends. Bytes
//! that are neither a frame nor a tag are passed on to the decoder's reader, which finds the next frame.

use std::io::{self, Read};

use crate::audio::decode::input::Input;

/// Returns the length of the frame at the beginning of bytes.
pub(super) type FrameLen = fn(&[u8]) -> Option<usize>;

/// A reader of bare frames.
pub(super) struct Untagged<'a> {
    input: Input<'a>,
    frame_len: FrameLen,
    /// Number of bytes of the current frame that are left.
    left: u64,
}

/// The number of bytes that determine a tag and its length.
pub(super) const HEAD_LEN: usize = 32;

/// Length of an ID3v1 tag.
pub(super) const ID3V1_LEN: u64 = 128;

impl<'a> Untagged<'a> {
    /// Creates a reader of the frames in `input`.
    pub fn new(input: Input<'a>, frame_len: FrameLen) -> Self {
        Self { input, frame_len, left: 0 }
    }

    /// Skips tags, and begins the next frame, or passes one other byte.
    fn begin(&mut self) -> crate::error::Result<()> {
        loop {
            let head = self.input.peek(HEAD_LEN)?;
            if let Some(len) = tag_len(head) {
                self.input.skip(len)?;
                continue;
            }
            self.left = (self.frame_len)(head).unwrap_or(1).max(1) as u64;
            return Ok(());
        }
    }
}

impl Read for Untagged<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.begin().map_err(io::Error::other)?;
        }
        let max = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(buffer.get_mut(..max).unwrap_or_default())?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Returns the length of the tag that bytes begin with: ID3v2, ID3v1, or APEv2 with a header.
pub(super) fn tag_len(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [b'I', b'D', b'3', version, _, flags, s0, s1, s2, s3, ..] if *version < 0xff => {
            let size = [s0, s1, s2, s3];
            if size.iter().any(|byte| **byte > 0x7f) {
                return None;
            }
            let footer = if flags & 0x10 != 0 { 10 } else { 0 };
            Some(size.iter().fold(0, |size, byte| size << 7 | u64::from(**byte)) + 10 + footer)
        }
        [b'T', b'A', b'G', ..] => Some(ID3V1_LEN),
        [
            b'A',
            b'P',
            b'E',
            b'T',
            b'A',
            b'G',
            b'E',
            b'X',
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            flags,
            ..,
        ] => {
            // The size counts the footer, and not the header; a footer alone has its items before it.
            let is_header = flags & 0x20 != 0;
            Some(if is_header { u64::from(u32::from_le_bytes([*s0, *s1, *s2, *s3])) + 32 } else { 32 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a byte `F`, their length, and filling.
    fn frame_len(bytes: &[u8]) -> Option<usize> {
        match bytes {
            [b'F', len, ..] => Some(usize::from(*len)),
            _ => None,
        }
    }

    #[test]
    fn tags_between_frames_are_passed_over() {
        let ape = [
            b"APETAGEX\xd0\x07\0\0\x24\0\0\0\x01\0\0\0\0\0\0\xa0".to_vec(),
            vec![0; 8],
            b"F\x02xx".to_vec(),
            vec![0; 32],
        ]
        .concat();
        let id3 = [b"ID3\x04\0\0\0\0\0\x04".to_vec(), b"F\x03FF".to_vec()].concat();
        let version1 = [b"TAG".to_vec(), vec![b'F'; 125]].concat();
        let frame = b"F\x05TAG".to_vec();
        let stream = [frame.clone(), id3, frame.clone(), b"junk".to_vec(), frame.clone(), ape, version1].concat();
        let mut out = Vec::new();
        Untagged::new(Input::memory(stream), frame_len).read_to_end(&mut out).unwrap();
        assert_eq!(out, [frame.clone(), frame.clone(), b"junk".to_vec(), frame].concat());
    }
}
