//! Blocks: packets of one track, several of which may be laced together.

use crate::audio::decode::matroska::ebml::variable;

/// Returns the number of the track whose packets a block holds.
pub(super) fn track_number(block: &[u8]) -> Option<u64> {
    variable(block)?.0
}

/// Returns the packets of a block; `None` if the block is damaged.
pub(super) fn packets(block: &[u8]) -> Option<Vec<&[u8]>> {
    let (_, number_len) = variable(block)?;
    // The number of the track, two bytes of time, and flags.
    let flags = *block.get(number_len + 2)?;
    let body = block.get(number_len + 3..)?;
    if flags & 6 == 0 {
        return Some(vec![body]);
    }
    let (&more, mut rest) = body.split_first()?;
    let more = usize::from(more);
    let sizes = match flags & 6 {
        2 => xiph(more, &mut rest)?,
        4 => {
            let size = rest.len() / (more + 1);
            if size * (more + 1) != rest.len() {
                return None;
            }
            vec![size; more]
        }
        _ => differences(more, &mut rest)?,
    };
    let mut packets = Vec::with_capacity(more + 1);
    for size in sizes {
        let (packet, after) = rest.split_at_checked(size)?;
        packets.push(packet);
        rest = after;
    }
    packets.push(rest);
    Some(packets)
}

/// Reads sizes as sums of bytes, in which 255 continues a sum (Xiph lacing).
pub(super) fn xiph(count: usize, rest: &mut &[u8]) -> Option<Vec<usize>> {
    let mut sizes = Vec::new();
    for _ in 0..count {
        let mut size = 0;
        loop {
            let (&byte, after) = rest.split_first()?;
            *rest = after;
            size += usize::from(byte);
            if byte < 255 {
                break;
            }
        }
        sizes.push(size);
    }
    Some(sizes)
}

/// Reads the first size and the differences of the others (EBML lacing).
fn differences(count: usize, rest: &mut &[u8]) -> Option<Vec<usize>> {
    let mut sizes: Vec<usize> = Vec::new();
    for _ in 0..count {
        let (value, len) = variable(rest)?;
        *rest = rest.get(len..)?;
        let size = match sizes.last() {
            None => usize::try_from(value?).ok()?,
            Some(last) => {
                let bias = (1_i64 << (7 * len - 1)) - 1;
                // All ones stand for the largest difference here.
                let value = value.unwrap_or((1 << (7 * len)) - 1);
                last.checked_add_signed(isize::try_from(value.cast_signed() - bias).ok()?)?
            }
        };
        sizes.push(size);
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_divided() {
        assert_eq!(packets(&[0x81, 0, 0, 0x80, 1, 2, 3]).unwrap(), [&[1, 2, 3]]);
        assert_eq!(packets(&[0x81, 0, 0, 0x04, 1, 1, 2, 3, 4]).unwrap(), [&[1, 2], &[3, 4]]);
        assert_eq!(packets(&[0x81, 0, 0, 0x02, 1, 1, 9, 8, 7]).unwrap(), [&[9][..], &[8, 7]]);
        // 2 bytes, then one more (a difference of 1 is 0xc0), then the rest.
        let laced = packets(&[0x81, 0, 0, 0x06, 2, 0x82, 0xc0, 1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(laced, [&[1, 2][..], &[3, 4, 5], &[6]]);
        assert_eq!(packets(&[0x81, 0, 0, 0x04, 1, 1, 2, 3]), None);
        assert_eq!(track_number(&[0x81, 0, 0, 0]), Some(1));
    }
}
