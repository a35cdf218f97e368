//! Opus: packets of one or more streams, decoded by `ropus` to 48 kHz.

use ropus::opus::multistream::OpusMSDecoder;

use crate::audio::decode::refusal;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// The rate of all decoded sound, in hertz, independent of the encoder's rate.
pub(super) const SAMPLE_RATE: u32 = 48_000;

/// The maximum number of samples per channel of a decoded packet: 120 ms.
const MAX_SAMPLES: usize = 5760;

/// The header of an Opus track (RFC 7845, section 5.1), as in Ogg and Matroska; MP4 encodes it differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpusHead {
    pub channels: u8,
    /// Samples at 48 kHz to drop at the beginning.
    pub pre_skip: u16,
    /// Gain of the output, in 1/256 dB.
    pub gain: i16,
    streams: u8,
    coupled: u8,
    mapping: Vec<u8>,
}

/// The channels of the streams for each number of channels in the order of Vorbis (RFC 7845, section 5.1.1.2).
const SURROUND: [(u8, u8, &[u8]); 8] = [
    (1, 0, &[0]),
    (1, 1, &[0, 1]),
    (2, 1, &[0, 2, 1]),
    (2, 2, &[0, 1, 2, 3]),
    (3, 2, &[0, 4, 1, 2, 3]),
    (4, 2, &[0, 4, 1, 2, 3, 5]),
    (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
    (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
];

impl OpusHead {
    /// Returns the header for a track of `channels` channels without a header.
    pub fn plain(channels: u8) -> Option<Self> {
        let (streams, coupled, mapping) = *SURROUND.get(usize::from(channels.checked_sub(1)?))?;
        Some(Self { channels, pre_skip: 0, gain: 0, streams, coupled, mapping: mapping.to_vec() })
    }

    /// Reads `OpusHead`, the header in Ogg and Matroska.
    ///
    /// # Errors
    /// Another header, or an unsupported mapping of channels.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let Some(body) = bytes.strip_prefix(b"OpusHead").and_then(|rest| rest.get(1..)) else {
            return Err(refusal::broken("Opus", "it does not begin with OpusHead"));
        };
        Self::read_body(body, u16::from_le_bytes, i16::from_le_bytes)
    }

    /// Reads the box `dOps`, the header in MP4.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_mp4(bytes: &[u8]) -> Result<Self> {
        Self::read_body(bytes.get(1..).unwrap_or_default(), u16::from_be_bytes, i16::from_be_bytes)
    }

    fn read_body(body: &[u8], unsigned: fn([u8; 2]) -> u16, signed: fn([u8; 2]) -> i16) -> Result<Self> {
        let short = || refusal::broken("Opus", "it is too short");
        let &[channels, skip0, skip1, _, _, _, _, gain0, gain1, family, ref table @ ..] = body else {
            return Err(short());
        };
        let plain = Self::plain(channels).filter(|_| family == 0 && channels <= 2);
        let mut head = match (family, plain) {
            (0, Some(plain)) => plain,
            // Surround, and channels without an assigned meaning.
            (1 | 255, _) if channels > 0 => {
                let &[streams, coupled, ref mapping @ ..] = table else { return Err(short()) };
                let mapping = mapping.get(..usize::from(channels)).ok_or_else(short)?.to_vec();
                Self { channels, pre_skip: 0, gain: 0, streams, coupled, mapping }
            }
            _ => {
                let what = format!("Opus of {} in mapping family {family}", counted(channels, "channel"));
                return Err(refusal::codec(&what, "a recording"));
            }
        };
        head.pre_skip = unsigned([skip0, skip1]);
        head.gain = signed([gain0, gain1]);
        Ok(head)
    }

    /// Writes the header as Ogg and Matroska have it.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = b"OpusHead\x01".to_vec();
        bytes.push(self.channels);
        bytes.extend(self.pre_skip.to_le_bytes());
        bytes.extend(SAMPLE_RATE.to_le_bytes());
        bytes.extend(self.gain.to_le_bytes());
        bytes.extend([255, self.streams, self.coupled]);
        bytes.extend(&self.mapping);
        bytes
    }
}

/// A decoder of an Opus track.
pub(super) struct OpusDecoder {
    decoder: OpusMSDecoder,
    channels: usize,
    gain: f32,
    /// Samples per channel that are still to be dropped.
    skip: usize,
    samples: Vec<i16>,
}

impl OpusDecoder {
    /// Creates a decoder of the track that `head` describes.
    ///
    /// # Errors
    /// An impossible mapping of channels.
    pub fn new(head: &OpusHead) -> Result<Self> {
        let channels = usize::from(head.channels);
        let decoder = OpusMSDecoder::new(
            SAMPLE_RATE as i32,
            i32::from(head.channels),
            i32::from(head.streams),
            i32::from(head.coupled),
            &head.mapping,
        )
        .map_err(|_| refusal::broken("Opus", "its channel mapping is impossible"))?;
        let gain = 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0));
        let samples = vec![0; MAX_SAMPLES * channels];
        Ok(Self { decoder, channels, gain, skip: usize::from(head.pre_skip), samples })
    }

    /// Decodes a packet into `planes`, one per channel, without the last `trim_end` samples.
    ///
    /// # Errors
    /// A damaged packet.
    pub fn decode(&mut self, packet: &[u8], trim_end: usize, planes: &mut Vec<Vec<f32>>) -> Result<()> {
        planes.resize_with(self.channels, Vec::new);
        for plane in planes.iter_mut() {
            plane.clear();
        }
        let damaged = || Error::new(ErrorKind::Audio, "damaged Opus packet");
        let len = i32::try_from(packet.len()).ok().filter(|len| *len > 0).ok_or_else(damaged)?;
        let decoded = self.decoder.decode(Some(packet), len, &mut self.samples, MAX_SAMPLES as i32, false);
        let decoded = decoded.ok().and_then(|count| usize::try_from(count).ok()).ok_or_else(damaged)?;
        let skipped = self.skip.min(decoded);
        self.skip -= skipped;
        let kept = skipped..decoded.saturating_sub(trim_end).max(skipped);
        let frames = self.samples.chunks_exact(self.channels).take(kept.end).skip(kept.start);
        for frame in frames {
            for (plane, sample) in planes.iter_mut().zip(frame) {
                plane.push(f32::from(*sample) / 32768.0 * self.gain);
            }
        }
        Ok(())
    }
}
