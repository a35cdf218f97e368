//! The descriptors of MPEG-4 elementary streams (ISO/IEC 14496-1), which MP4 and CAF hold for AAC.

/// The kind of a stream, and the configuration of its decoder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elementary {
    pub object: u8,
    pub config: Vec<u8>,
}

/// Reads an `ES_Descriptor`.
pub(super) fn read(bytes: &[u8]) -> Option<Elementary> {
    let (tag, body) = descriptor(bytes)?;
    let body = if tag == 3 { after_stream(body)? } else { bytes };
    let mut rest = body;
    while let Some((tag, body)) = descriptor(rest) {
        if tag == 4 {
            let config = body.get(13..).and_then(descriptor).filter(|(tag, _)| *tag == 5);
            let config = config.map(|(_, config)| config.to_vec()).unwrap_or_default();
            return Some(Elementary { object: *body.first()?, config });
        }
        rest = rest.get(end_of(rest)?..)?;
    }
    None
}

/// Skips the fields of a stream's descriptor.
fn after_stream(body: &[u8]) -> Option<&[u8]> {
    let flags = *body.get(2)?;
    let mut at = 3;
    if flags & 0x80 != 0 {
        at += 2;
    }
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*body.get(at)?);
    }
    if flags & 0x20 != 0 {
        at += 2;
    }
    body.get(at..)
}

/// Returns the tag and the content, which may be cut, of the descriptor at the beginning of `bytes`.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let tag = *bytes.first()?;
    let begin = content(bytes)?;
    let end = end_of(bytes)?.min(bytes.len());
    Some((tag, bytes.get(begin..end)?))
}

fn content(bytes: &[u8]) -> Option<usize> {
    let more = bytes.iter().skip(1).take(4).take_while(|byte| **byte & 0x80 != 0).count();
    Some(2 + more)
}

fn end_of(bytes: &[u8]) -> Option<usize> {
    let begin = content(bytes)?;
    let size = bytes.get(1..begin)?.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
    Some(begin + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_found() {
        let config = [5, 2, 0x12, 0x10];
        let mut decoder = vec![4, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        decoder.extend(config);
        let mut stream = vec![3, 0x80, 0x80, 0x80, 22, 0, 1, 0];
        stream.extend(&decoder);
        let expected = Some(Elementary { object: 0x40, config: vec![0x12, 0x10] });
        assert_eq!(read(&stream), expected);
        assert_eq!(read(&decoder), expected);
        assert_eq!(read(&stream[..9]), None);
    }
}
