//! The headers of AAC frames in ADTS (ISO/IEC 14496-3), which tell a bare stream.

/// Returns the length of the frame that `bytes` begin with, and its fixed part.
fn frame(bytes: &[u8]) -> Option<(usize, [u8; 3])> {
    let &[0xff, second, third, fourth, fifth, sixth, ..] = bytes else { return None };
    let rate = third >> 2 & 15;
    let len = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    // The layer is 0, which no MPEG audio has.
    (second & 0xf6 == 0xf0 && rate < 13 && len > 7).then_some((len, [second & 0xfe, third & 0xfd, fourth & 0xc0]))
}

/// Returns whether `bytes` begin with `count` frames of one stream, or with fewer that end with the bytes.
pub(super) fn run(bytes: &[u8], count: usize) -> bool {
    let Some((mut at, first)) = frame(bytes) else { return false };
    for found in 1..count {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.len() < 6 {
            return count == 2 || found > 2;
        }
        match frame(rest) {
            Some((len, fixed)) if fixed == first => at += len,
            _ => return false,
        }
    }
    true
}
