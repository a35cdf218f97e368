//! Uncompressed sound: the storage of samples, and packets of samples.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;

use crate::audio::decode::damage::Damage;
use crate::audio::decode::input::Input;
use crate::audio::decode::track::{Step, Track, packet, parameters};
use crate::error::Result;

/// The kind of number of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Signed,
    Unsigned,
    Float,
    ALaw,
    MuLaw,
}

/// The storage of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub number: Number,
    /// Bytes of one sample.
    pub bytes: u32,
    pub big_endian: bool,
}

impl Storage {
    /// Returns Symphonia's codec of this storage, or `None` if it has none.
    fn codec(self) -> Option<AudioCodecId> {
        Some(match (self.number, self.bytes, self.big_endian) {
            (Number::ALaw, 1, _) => CODEC_ID_PCM_ALAW,
            (Number::MuLaw, 1, _) => CODEC_ID_PCM_MULAW,
            (Number::Unsigned, 1, _) => CODEC_ID_PCM_U8,
            (Number::Signed, 1, _) => CODEC_ID_PCM_S8,
            (Number::Signed, 2, false) => CODEC_ID_PCM_S16LE,
            (Number::Signed, 2, true) => CODEC_ID_PCM_S16BE,
            (Number::Signed, 3, false) => CODEC_ID_PCM_S24LE,
            (Number::Signed, 3, true) => CODEC_ID_PCM_S24BE,
            (Number::Signed, 4, false) => CODEC_ID_PCM_S32LE,
            (Number::Signed, 4, true) => CODEC_ID_PCM_S32BE,
            (Number::Float, 4, false) => CODEC_ID_PCM_F32LE,
            (Number::Float, 4, true) => CODEC_ID_PCM_F32BE,
            (Number::Float, 8, false) => CODEC_ID_PCM_F64LE,
            (Number::Float, 8, true) => CODEC_ID_PCM_F64BE,
            _ => return None,
        })
    }

    /// Returns the track of samples in this storage, or `None` if they cannot be decoded.
    pub fn track(self, sample_rate: u32, channels: u32) -> Option<Track> {
        let bytes_per_second = f64::from(self.bytes) * f64::from(channels) * f64::from(sample_rate);
        Some(Track {
            parameters: parameters(self.codec()?, sample_rate, channels),
            bytes_per_second: Some(bytes_per_second),
            ..Track::default()
        })
    }
}

/// Returns whether `bytes` have samples of `bits` bits in the lower bits of four bytes: each sample is sign-extended, and some
/// have lower bits. The standards put samples into the upper bits.
pub(super) fn is_low_aligned(bytes: &[u8], bits: u32, big_endian: bool) -> bool {
    let samples = bytes.as_chunks::<4>().0.iter();
    let mut values =
        samples.map(|&sample| if big_endian { i32::from_be_bytes(sample) } else { i32::from_le_bytes(sample) });
    let unused = 32_u32.saturating_sub(bits);
    let fits = |value: i32| value.wrapping_shl(unused).wrapping_shr(unused) == value;
    let mut has_low_bits = false;
    values.all(|value| {
        has_low_bits |= value & ((1 << unused) - 1) != 0;
        fits(value)
    }) && has_low_bits
}

/// Moves samples of `bits` lower bits in four bytes to the upper bits.
pub(super) fn align_high(bytes: &mut [u8], bits: u32, big_endian: bool) {
    for sample in bytes.as_chunks_mut::<4>().0 {
        let value = if big_endian { i32::from_be_bytes(*sample) } else { i32::from_le_bytes(*sample) };
        let value = value.wrapping_shl(32_u32.saturating_sub(bits));
        *sample = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    }
}

/// The number of bytes that determine the alignment of samples.
const SAMPLED: usize = 1 << 16;

/// The maximum number of frames of a packet.
const FRAMES: u64 = 4096;

/// A run of blocks of equal size, which is cut into packets.
pub(super) struct Blocks {
    /// Bytes of a block: of a frame of uncompressed sound.
    block: u64,
    /// Frames of a decoded block.
    frames: u64,
    /// The maximum number of blocks in a packet.
    together: u64,
    /// Number of bytes left; `None` up to the end of the file.
    pub left: Option<u64>,
    /// Sample bits and byte order, where four bytes may hold lower bits; resolved by the first bytes.
    padded: Option<(u32, bool)>,
    is_begun: bool,
}

impl Blocks {
    /// Creates a run of `left` bytes in blocks of `block` bytes, each of `frames` frames.
    pub fn new(block: u64, frames: u64, left: Option<u64>) -> Self {
        let together = (FRAMES / frames.max(1)).max(1);
        Self { block: block.max(1), frames, together, left, padded: None, is_begun: false }
    }

    /// Makes each block a packet.
    pub fn one_by_one(self) -> Self {
        Self { together: 1, ..self }
    }

    /// States that samples of four bytes have only `bits` bits.
    pub fn padded(mut self, bits: u32, big_endian: bool) -> Self {
        self.padded = (1..32).contains(&bits).then_some((bits, big_endian));
        self
    }

    /// Returns the number of frames of a decoded block.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns the bytes of a block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Reads the next packet. A partial block at the end is dropped.
    pub fn next(&mut self, input: &mut Input<'_>, damage: &mut Damage) -> Result<Step> {
        if let (false, Some((bits, big_endian))) = (self.is_begun, self.padded) {
            let first = input.peek(self.left.map_or(SAMPLED, |left| SAMPLED.min(left as usize)))?;
            self.padded = self.padded.filter(|_| is_low_aligned(first, bits, big_endian));
        }
        self.is_begun = true;
        let wanted = self.together.saturating_mul(self.block);
        let mut data = input.read_up_to(self.left.map_or(wanted, |left| wanted.min(left)))?;
        let read = data.len() as u64;
        if let Some(left) = &mut self.left {
            if read < wanted.min(*left) {
                damage.cut();
            }
            *left -= read;
        }
        let blocks = read / self.block;
        data.truncate(usize::try_from(blocks * self.block).unwrap_or(usize::MAX));
        if let Some((bits, big_endian)) = self.padded {
            align_high(&mut data, bits, big_endian);
        }
        if blocks == 0 {
            return Ok(Step::End);
        }
        Ok(Step::Packet(packet(data, blocks * self.frames)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_decide_on_their_alignment() {
        let bytes = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        assert!(is_low_aligned(&bytes(&[-1, 0x7f_ffff, -0x80_0000]), 24, false));
        assert!(!is_low_aligned(&bytes(&[-256, 0x7fff_ff00, i32::MIN]), 24, false));
        assert!(!is_low_aligned(&bytes(&[-1, 0x7fff_ffff]), 24, false), "32 bits that are said to be 24");
        assert!(!is_low_aligned(&bytes(&[0, 0]), 24, false));
        let mut moved = bytes(&[-1, 0x7f_ffff]);
        align_high(&mut moved, 24, false);
        assert_eq!(moved, bytes(&[-256, 0x7fff_ff00]));
    }

    #[test]
    fn a_partial_block_at_the_end_is_dropped() {
        let mut input = Input::memory(vec![1; 7]);
        let mut blocks = Blocks::new(4, 1, Some(8));
        let mut damage = Damage::default();
        let Step::Packet(packet) = blocks.next(&mut input, &mut damage).unwrap() else { panic!("a packet") };
        assert_eq!(packet.data.len(), 4);
        assert!(damage.first.is_some());
        assert!(matches!(blocks.next(&mut input, &mut damage).unwrap(), Step::End));
    }
}
