//! The headers of AAC frames in ADTS (ISO/IEC 14496-3), by which a bare stream is recognized.

/// Returns the length of the frame that `bytes` begin with, and its fixed part.
fn frame(bytes: &[u8]) -> Option<(usize, [u8; 3])> {
    let &[0xff, second, third, fourth, fifth, sixth, ..] = bytes else { return None };
    let rate = third >> 2 & 15;
    let len = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    // In ADTS the layer is 0, which MPEG audio never has.
    (second & 0xf6 == 0xf0 && rate < 13 && len > 7).then_some((len, [second & 0xfe, third & 0xfd, fourth & 0xc0]))
}

/// Returns the length of the frame that `bytes` begin with.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    frame(bytes).map(|(len, _)| len)
}

/// Returns the name of the variant of AAC in the frame that `bytes` begin with, if it is not decoded.
pub(super) fn refused_variant(bytes: &[u8]) -> Option<&'static str> {
    match bytes.get(2)? >> 6 {
        0 => Some("AAC Main"),
        2 => Some("AAC-SSR"),
        3 => Some("AAC-LTP"),
        _ => None,
    }
}

/// Returns whether `bytes` begin with `count` frames of one stream, or consist of fewer.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let mut stream = vec![0; 3 * 100];
        for frame in stream.chunks_mut(100) {
            frame[..7].copy_from_slice(&[0xff, 0xf1, 0x60, 0x40, 0x0c, 0x9f, 0xfc]);
        }
        assert!(run(&stream, 3) && run(&stream[..105], 2) && run(&stream[..50], 2));
        assert_eq!(refused_variant(&stream), None);
        stream[102] = 0x20;
        assert!(!run(&stream, 2), "another variant");
        assert_eq!(refused_variant(&stream[100..]), Some("AAC Main"));
    }
}
