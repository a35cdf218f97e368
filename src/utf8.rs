//! Text from editors: UTF-8, perhaps after a byte order mark.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::file::unreadable;

/// The byte order mark that some editors put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns `bytes` without the byte order mark of UTF-8.
///
/// # Errors
/// [`ErrorKind::Invalid`] for UTF-16 and UTF-32, with a mark or without.
pub fn skip_mark(bytes: &[u8]) -> Result<&[u8]> {
    match wider(bytes) {
        Some(name) => {
            Err(Error::new(ErrorKind::Invalid, format!("the text is in {name}; expected UTF-8: save it as UTF-8")))
        }
        None => Ok(bytes.strip_prefix(MARK).unwrap_or(bytes)),
    }
}

/// Returns the text in `bytes`, without a byte order mark.
///
/// # Errors
/// [`ErrorKind::Invalid`] for bytes that are not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(skip_mark(bytes)?).map_err(|e| {
        let what = format!("byte {} is not UTF-8: save the text as UTF-8", e.valid_up_to());
        Error::new(ErrorKind::Invalid, what)
    })
}

/// Reads the text of a file, without a byte order mark and with `\n` at the ends of its lines, which may be `\r\n` in the file.
///
/// # Errors
/// The message begins with the file's name. [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Invalid`] when it
/// is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let read = File::open(path).map_err(unreadable).and_then(read_text_from);
    read.map_err(|e| e.context(path.display()))
}

/// Reads the text of `source`, as [`read_text`] does.
///
/// # Errors
/// As for [`read_text`], without a name.
pub fn read_text_from(mut source: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(unreadable)?;
    text_of(&bytes).map(|text| text.replace("\r\n", "\n"))
}

/// Returns the name of the encoding whose units are wider than a byte, if `bytes` begin in one: by its mark, or by the
/// zeros beside an ASCII letter.
fn wider(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [1..=0xff, 0, 0, 0, ..] | [0, 0, 0, 1..=0xff, ..] => {
            Some("UTF-32")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=0x7f, 0, ..] | [0, 1..=0x7f, ..] => Some("UTF-16"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        assert_eq!(text_of(b"\xef\xbb\xbfa \xef\xbb\xbf").unwrap(), "a \u{feff}");
        assert_eq!(text_of("é".as_bytes()).unwrap(), "é");
        assert_eq!(text_of(b"").unwrap(), "");
        assert_eq!(text_of(MARK).unwrap(), "");
    }

    #[test]
    fn lines_end_as_they_do_everywhere() {
        let read = |bytes: &[u8]| read_text_from(bytes).unwrap();
        assert_eq!(read(b"\xef\xbb\xbfa\r\nb\nc\r\n"), "a\nb\nc\n");
        assert_eq!(read(b"a\rb\r"), "a\rb\r", "no end of a line");
    }

    #[test]
    fn other_encodings_are_named() {
        let wide = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<_>>();
        for text in ["\u{feff}{}", "{}", "# keys"] {
            for bytes in [wide(text, u16::to_le_bytes), wide(text, u16::to_be_bytes)] {
                assert!(text_of(&bytes).unwrap_err().message().contains("UTF-16"), "{bytes:?}");
            }
            let bytes: Vec<_> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            assert!(text_of(&bytes).unwrap_err().message().contains("UTF-32"), "{bytes:?}");
        }
        assert!(text_of(b"caf\xe9").unwrap_err().message().contains("byte 3"));
    }

    #[test]
    fn files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.txt");
        std::fs::write(&path, b"\xff\xfea\0").unwrap();
        let error = read_text(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.full_message().contains("plan.txt") && error.full_message().contains("UTF-16"), "{error}");
        assert_eq!(read_text(folder.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
    }
}
