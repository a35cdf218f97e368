//! The parsers of the containers, one function each, for the fuzzers: panics are not caught here.

use crate::audio::decode::aac;
use crate::audio::decode::container::Container;
use crate::audio::decode::damage::Damage;
use crate::audio::decode::input::Input;
use crate::audio::decode::opus::{OpusDecoder, OpusHead};
use crate::audio::decode::track::Step;
use crate::audio::decode::wave::Variant;

/// The maximum number of packets to read: a table may refer to the same bytes many times.
const MAX_PACKETS: usize = 10_000;

fn read(container: Container, bytes: &[u8]) {
    for input in [Input::pipe(bytes), Input::memory(bytes.to_vec())] {
        let Ok(mut demuxer) = container.open(input) else { continue };
        let _ = aac::refused_variant(&demuxer.track().parameters);
        let mut damage = Damage::default();
        let mut packets = 0;
        while let (Ok(Step::Packet(_) | Step::NextStream), true) = (demuxer.next(&mut damage), packets < MAX_PACKETS) {
            packets += 1;
        }
        let promised = demuxer.track().promised_seconds;
        assert!(promised.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0), "{promised:?} s");
        let _ = damage.warnings(0.0, promised, demuxer.enough_seconds());
    }
}

/// Reads WAV, RIFX, RF64 or W64, selected by the first byte.
pub fn wave(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let variants = [Variant::Riff, Variant::Rifx, Variant::Rf64, Variant::W64];
    if let Some(variant) = variants.get(usize::from(first % 4)) {
        read(Container::Wave(*variant), bytes);
    }
}

/// Reads AU.
pub fn au(bytes: &[u8]) {
    read(Container::Au, bytes);
}

/// Reads AIFF.
pub fn aiff(bytes: &[u8]) {
    read(Container::Aiff, bytes);
}

/// Reads CAF.
pub fn caf(bytes: &[u8]) {
    read(Container::Caf, bytes);
}

/// Reads MP4 and QuickTime.
pub fn mp4(bytes: &[u8]) {
    read(Container::Mp4, bytes);
}

/// Reads Matroska and WebM.
pub fn matroska(bytes: &[u8]) {
    read(Container::Matroska, bytes);
}

/// Reads a header of Opus, and decodes packets of 100 bytes. When recordings are read, a panic of the decoder becomes an error.
pub fn opus(bytes: &[u8]) {
    let Ok(head) = OpusHead::read(bytes) else { return };
    assert_eq!(OpusHead::read(&head.write()).ok().as_ref(), Some(&head));
    let _ = std::panic::catch_unwind(|| {
        let Ok(mut decoder) = OpusDecoder::new(&head) else { return };
        let mut planes = Vec::new();
        for packet in bytes.get(19..).unwrap_or_default().chunks(100) {
            if decoder.decode(packet, 0, &mut planes).is_ok() {
                assert!(planes.iter().flatten().all(|sample| sample.is_finite()));
            }
        }
    });
}
