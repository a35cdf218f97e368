//! EBML: the elements that Matroska and WebM files consist of.

use crate::audio::decode::input::Input;
use crate::error::Result;

/// The header of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The identifier, with its marker.
    pub id: u32,
    /// Bytes of the content; `None` for an element of unknown size.
    pub size: Option<u64>,
}

/// The result of reading a header.
pub(super) enum Next {
    Element(Header),
    /// The bytes end: before a header (`true`), or within it.
    End(bool),
    /// The bytes are not an element.
    Damaged,
}

/// Reads the header of the next element.
pub(super) fn next(input: &mut Input<'_>) -> Result<Next> {
    let bytes = input.peek(12)?;
    if bytes.is_empty() {
        return Ok(Next::End(true));
    }
    let len = bytes.len();
    match header(bytes) {
        Some((header, used)) => {
            input.skip(used as u64)?;
            Ok(Next::Element(header))
        }
        None if len < 12 => Ok(Next::End(false)),
        None => Ok(Next::Damaged),
    }
}

/// Returns the header that `bytes` begin with, and its length.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let (size, size_len) = variable(bytes.get(id_len..)?)?;
    Some((Header { id, size }, id_len + size_len))
}

/// Returns the number of variable length that `bytes` begin with (`None` for all ones, which mean unknown), and its
/// length.
pub(super) fn variable(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let mask = if len == 8 { 0 } else { 0xff_u8 >> len };
    let value = bytes.get(1..len)?.iter().fold(u64::from(first & mask), |value, byte| value << 8 | u64::from(*byte));
    let unknown = (1_u64 << (7 * len)) - 1;
    Some(((value != unknown).then_some(value), len))
}

/// Returns the elements in `parent`, up to the first that is invalid or cut.
pub(super) fn elements(parent: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = parent;
    std::iter::from_fn(move || {
        let (header, used) = header(rest)?;
        let end = used.checked_add(usize::try_from(header.size?).ok()?)?;
        let content = rest.get(used..end)?;
        rest = rest.get(end..)?;
        Some((header.id, content))
    })
}

/// Returns the content of the first element of a kind.
pub(super) fn find(parent: &[u8], id: u32) -> Option<&[u8]> {
    elements(parent).find(|(found, _)| *found == id).map(|(_, content)| content)
}

/// Returns an unsigned number.
pub(super) fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Returns a signed number.
pub(super) fn signed(content: &[u8]) -> i64 {
    let unused = 64 - 8 * content.len().min(8) as u32;
    if unused == 64 { 0 } else { (unsigned(content) << unused).cast_signed() >> unused }
}

/// Returns a floating-point number of 4 or 8 bytes.
pub(super) fn float(content: &[u8]) -> f64 {
    match *content {
        [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(variable(&[0x81]), Some((Some(1), 1)));
        assert_eq!(variable(&[0x40, 0x02]), Some((Some(2), 2)));
        assert_eq!(variable(&[0xff]), Some((None, 1)));
        assert_eq!(variable(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Some((None, 8)));
        assert_eq!(variable(&[0x40]), None);
        assert_eq!((signed(&[0xff, 0xfe]), signed(&[1]), unsigned(&[1, 0])), (-2, 1, 256));
        assert_eq!((float(&0.5_f32.to_be_bytes()), float(&0.25_f64.to_be_bytes())), (0.5, 0.25));
    }

    #[test]
    fn elements_end_where_they_are_cut() {
        let bytes = [0xae, 0x82, 1, 2, 0x86, 0x83, b'A', b'B'];
        assert_eq!(elements(&bytes).collect::<Vec<_>>(), [(0xae, &[1, 2][..])]);
        assert_eq!(find(&bytes, 0x86), None);
    }
}
