//! The headers of MPEG audio frames (ISO/IEC 11172-3), by which a bare stream and its layer are recognized.

/// The header of a frame: its length in bytes, and the fields that all frames of a stream share.
struct Header {
    len: usize,
    version: u8,
    layer: u8,
    rate: u8,
}

/// Kilobits per second by layer (1, 2, 3) of MPEG-1.
const BIT_RATES: [[usize; 14]; 3] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
];

/// Kilobits per second of MPEG-2: layer 1, and layers 2 and 3.
const BIT_RATES_2: [[usize; 14]; 2] = [
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

const SAMPLE_RATES: [usize; 3] = [44_100, 48_000, 32_000];

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[0xff, second, third, ..] = bytes else { return None };
        let version = second >> 3 & 3;
        let layer = second >> 1 & 3;
        // Version 1 and layer 0 are reserved.
        if second & 0xe0 != 0xe0 || version == 1 || layer == 0 {
            return None;
        }
        let layer = 4 - layer;
        let index = usize::from(third >> 4);
        let rate = third >> 2 & 3;
        let padding = usize::from(third >> 1 & 1);
        let is_mpeg1 = version == 3;
        let rates =
            if is_mpeg1 { BIT_RATES.get(usize::from(layer) - 1)? } else { BIT_RATES_2.get(usize::from(layer > 1))? };
        let bits = rates.get(index.checked_sub(1)?)? * 1000;
        let divisor = match version {
            3 => 1,
            2 => 2,
            _ => 4,
        };
        let hertz = SAMPLE_RATES.get(usize::from(rate))? / divisor;
        let len = match layer {
            1 => (12 * bits / hertz + padding) * 4,
            3 if !is_mpeg1 => 72 * bits / hertz + padding,
            _ => 144 * bits / hertz + padding,
        };
        Some(Self { len, version, layer, rate })
    }
}

/// Returns the layer (1 to 3) of the frame that `bytes` begin with.
pub(super) fn layer(bytes: &[u8]) -> Option<u8> {
    Header::read(bytes).map(|header| header.layer)
}

/// Returns the length of the frame that `bytes` begin with.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    Header::read(bytes).map(|header| header.len)
}

/// Returns whether `bytes` begin with `count` frames of one stream, or consist of fewer.
pub(super) fn run(bytes: &[u8], count: usize) -> bool {
    let Some(first) = Header::read(bytes) else { return false };
    let mut at = first.len;
    for found in 1..count {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.len() < 4 {
            // The bytes end with a frame, or within a frame.
            return count == 2 || found > 2;
        }
        match Header::read(rest) {
            Some(next) if (next.version, next.layer, next.rate) == (first.version, first.layer, first.rate) => {
                at += next.len;
            }
            // A tag ends the stream.
            _ => return found == 1 && count == 2 && (rest.starts_with(b"TAG") || rest.starts_with(b"APET")),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn frames_follow_each_other() {
        let mut stream = vec![0; 417 * 4];
        for frame in stream.chunks_mut(417) {
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        }
        assert!(run(&stream, 4) && run(&stream[..420], 2) && run(&stream[..300], 2));
        stream[418] = 0;
        assert!(!run(&stream, 2));
        assert!(!run(&[0xff, 0xf9, 0x50, 0x80, 0, 0, 0, 0], 2), "layer 0 is AAC");
    }
}
