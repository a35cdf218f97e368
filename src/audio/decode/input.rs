//! The bytes of a recording: from a file, a pipe or memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::file::unreadable;

/// The maximum size in bytes of a recording from a pipe that is read into memory because its container needs seeking.
const MAX_BUFFERED: u64 = 256 << 20;

/// Number of bytes read at once.
const READ_LEN: usize = 64 << 10;

/// The bytes of a recording from a position on.
///
/// Every container is read through this type alone, so that the same bytes give the same result from any source.
pub(super) struct Input<'a> {
    bytes: Bytes<'a>,
    /// Bytes that were read ahead of `position`.
    ahead: Vec<u8>,
    /// Number of bytes of `ahead` that are consumed.
    used: usize,
    position: u64,
    /// The position from which offsets are counted.
    origin: u64,
}

enum Bytes<'a> {
    /// A regular file, and its size.
    File(File, u64),
    /// A stream that is read once. The lock makes the type `Sync`, which Symphonia requires of its sources.
    Pipe(Mutex<Box<dyn Read + Send + 'a>>),
    Memory(Cursor<Vec<u8>>),
}

impl Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read(buffer),
            Self::Pipe(reader) => reader.get_mut().unwrap_or_else(PoisonError::into_inner).read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }

    fn len(&self) -> Option<u64> {
        match self {
            Self::File(_, len) => Some(*len),
            Self::Pipe(_) => None,
            Self::Memory(bytes) => Some(bytes.get_ref().len() as u64),
        }
    }

    fn seek(&mut self, position: u64) -> io::Result<bool> {
        match self {
            Self::File(file, _) => file.seek(SeekFrom::Start(position)).map(|_| true),
            Self::Pipe(_) => Ok(false),
            Self::Memory(bytes) => bytes.seek(SeekFrom::Start(position)).map(|_| true),
        }
    }
}

impl<'a> Input<'a> {
    /// Creates an input of a regular file of `len` bytes.
    pub fn file(file: File, len: u64) -> Self {
        Self::new(Bytes::File(file, len))
    }

    /// Creates an input of a stream, which is read once.
    pub fn pipe(reader: impl Read + Send + 'a) -> Self {
        Self::new(Bytes::Pipe(Mutex::new(Box::new(reader))))
    }

    /// Creates an input of bytes in memory.
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self::new(Bytes::Memory(Cursor::new(bytes)))
    }

    fn new(bytes: Bytes<'a>) -> Self {
        Self { bytes, ahead: Vec::new(), used: 0, position: 0, origin: 0 }
    }

    /// Returns the offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Makes offsets count from the next byte.
    pub fn begin_here(&mut self) {
        self.origin += self.position;
        self.position = 0;
    }

    /// Returns the number of bytes in all; `None` for a pipe.
    pub fn len(&self) -> Option<u64> {
        self.bytes.len().map(|len| len.saturating_sub(self.origin))
    }

    /// Returns the next bytes without consuming them: `max`, or fewer at the end.
    pub fn peek(&mut self, max: usize) -> Result<&[u8]> {
        while self.ahead.len().saturating_sub(self.used) < max {
            self.ahead.drain(..self.used);
            self.used = 0;
            let begin = self.ahead.len();
            self.ahead.resize(begin.saturating_add(READ_LEN.max(max)), 0);
            let free = self.ahead.get_mut(begin..).unwrap_or_default();
            let read = read_some(&mut self.bytes, free);
            self.ahead.truncate(begin + *read.as_ref().unwrap_or(&0));
            if read.map_err(unreadable)? == 0 {
                break;
            }
        }
        let ahead = self.ahead.get(self.used..).unwrap_or_default();
        Ok(ahead.get(..max).unwrap_or(ahead))
    }

    /// Returns the next `N` bytes. If fewer are left, consumes them and returns `None`.
    pub fn array<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        let bytes = self.peek(N)?;
        let found = bytes.len();
        let array = bytes.try_into().ok();
        self.consume(found);
        Ok(array)
    }

    /// Returns the next `len` bytes, or fewer at the end.
    pub fn read_up_to(&mut self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Read::take(self, len).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// Skips `len` bytes, and returns the number of bytes skipped, which is less at the end.
    pub fn skip(&mut self, len: u64) -> Result<u64> {
        let ahead = (self.ahead.len().saturating_sub(self.used) as u64).min(len);
        if len > ahead
            && let Some(end) = self.len()
        {
            let target = self.position.saturating_add(len).min(end.max(self.position));
            let skipped = target - self.position;
            self.seek(target)?;
            return Ok(skipped);
        }
        io::copy(&mut Read::take(self, len), &mut io::sink()).map_err(unreadable)
    }

    /// Goes to another offset.
    ///
    /// # Errors
    /// [`ErrorKind::Audio`] for a pipe, which [`seekable`](Self::seekable) prevents.
    pub fn seek(&mut self, position: u64) -> Result<()> {
        if !self.bytes.seek(self.origin.saturating_add(position)).map_err(unreadable)? {
            return Err(Error::new(ErrorKind::Audio, "cannot be read out of order"));
        }
        self.ahead.clear();
        self.used = 0;
        self.position = position;
        Ok(())
    }

    /// Returns an input that can seek: a pipe is read into memory, at most 256 MiB of it.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the pipe has more.
    pub fn seekable(mut self, container: &str) -> Result<Self> {
        if self.len().is_some() {
            return Ok(self);
        }
        let before = self.position;
        let rest = self.read_up_to(MAX_BUFFERED + 1)?;
        if rest.len() as u64 > MAX_BUFFERED {
            let max = MAX_BUFFERED >> 20;
            let message =
                format!("is {container} from a pipe, of which at most {max} MiB are read: name the file instead");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        // Offsets stay the same.
        let mut bytes = vec![0; usize::try_from(before).unwrap_or(0)];
        bytes.extend(rest);
        let mut input = Self::memory(bytes);
        input.seek(before)?;
        Ok(input)
    }

    fn consume(&mut self, len: usize) {
        self.used += len;
        self.position += len as u64;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead.get(self.used..).unwrap_or_default();
        if ahead.is_empty() {
            let read = read_some(&mut self.bytes, buffer)?;
            self.position += read as u64;
            return Ok(read);
        }
        let mut ahead = ahead;
        let read = ahead.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

fn read_some(bytes: &mut Bytes<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match bytes.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(bytes: &'static [u8]) -> [Input<'static>; 2] {
        [Input::pipe(bytes), Input::memory(bytes.to_vec())]
    }

    #[test]
    fn a_pipe_and_memory_read_alike() {
        for mut input in inputs(b"0123456789") {
            assert_eq!(input.peek(4).unwrap(), b"0123");
            assert_eq!(input.array::<2>().unwrap(), Some(*b"01"));
            assert_eq!(input.skip(3).unwrap(), 3);
            assert_eq!(input.position(), 5);
            assert_eq!(input.read_up_to(2).unwrap(), b"56");
            assert_eq!(input.peek(9).unwrap(), b"789");
            assert_eq!(input.skip(9).unwrap(), 3);
            assert_eq!((input.array::<1>().unwrap(), input.position()), (None, 10));
        }
    }

    #[test]
    fn offsets_stay_when_a_pipe_is_read_into_memory() {
        let mut input = Input::pipe(&b"0123456789"[..]);
        input.skip(3).unwrap();
        let mut input = input.seekable("a test").unwrap();
        assert_eq!((input.position(), input.len()), (3, Some(10)));
        input.seek(8).unwrap();
        assert_eq!(input.read_up_to(9).unwrap(), b"89");
    }
}
