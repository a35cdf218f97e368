//! AIFF and AIFF-C: chunks in big-endian order, uncompressed sound in either order.

use crate::audio::decode::damage::{Damage, MISCOUNTED};
use crate::audio::decode::input::Input;
use crate::audio::decode::pcm::{Blocks, Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Demuxer, Step, Track};
use crate::error::Result;

/// A reader of AIFF.
pub(super) struct Aiff<'a> {
    input: Input<'a>,
    track: Track,
    blocks: Blocks,
    /// Bytes by which the chunk of sound exceeds the stated number of frames.
    more: Option<u64>,
    is_unfinished: bool,
}

/// The chunk that describes the sound.
struct Common {
    channels: u16,
    frames: u32,
    bits: u16,
    sample_rate: u32,
    compression: [u8; 4],
}

/// The maximum size of the chunk that describes the sound, in bytes.
const MAX_DESCRIBED: u64 = 1 << 16;

impl<'a> Aiff<'a> {
    /// Walks the chunks up to the samples.
    ///
    /// # Errors
    /// No samples, no description before the samples, or an unsupported description.
    pub fn open(mut input: Input<'a>) -> Result<Self> {
        input.skip(12)?;
        let mut common = None;
        loop {
            let Some([id @ .., s0, s1, s2, s3]) = input.array::<8>()? else {
                return Err(refusal::broken("AIFF", "it holds no samples (no SSND chunk)"));
            };
            let size = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
            match &id {
                b"COMM" if size <= MAX_DESCRIBED => common = Common::read(&input.read_up_to(size + (size & 1))?),
                b"SSND" => {
                    let Some(common) = common else {
                        return Err(refusal::broken("AIFF", "its samples come before their description (COMM)"));
                    };
                    let Some([o0, o1, o2, o3, ..]) = input.array::<8>()? else {
                        return Err(refusal::broken("AIFF", "it holds no samples"));
                    };
                    let offset = u64::from(u32::from_be_bytes([o0, o1, o2, o3]));
                    input.skip(offset)?;
                    return Self::begin(input, &common, size.saturating_sub(8).saturating_sub(offset));
                }
                _ => {
                    input.skip(size + (size & 1))?;
                }
            }
        }
    }

    fn begin(input: Input<'a>, common: &Common, size: u64) -> Result<Self> {
        if common.channels == 0 || common.sample_rate == 0 {
            return Err(refusal::signal("AIFF", common.channels, common.sample_rate));
        }
        let storage = common.storage()?;
        let Some(mut track) = storage.track(common.sample_rate, u32::from(common.channels)) else {
            return Err(refusal::codec(&format!("PCM of {} bits", common.bits), "AIFF"));
        };
        let frame = u64::from(storage.bytes) * u64::from(common.channels);
        // The number of frames decides, because the size of the chunk may be unfinished.
        let frames = Some(u64::from(common.frames)).filter(|frames| (1..u64::from(u32::MAX) / frame).contains(frames));
        track.promised_seconds = frames.map(|frames| frames as f64 / f64::from(common.sample_rate));
        track.stored_bytes = input.len().map(|len| len.saturating_sub(input.position()));
        let blocks = Blocks::new(frame, 1, frames.map(|frames| frames * frame));
        let more = frames.and_then(|frames| size.checked_sub(frames * frame)).filter(|more| *more >= frame);
        Ok(Self { input, track, blocks, more, is_unfinished: frames.is_none() })
    }

    /// Extends the sound to the end of the chunk if no chunk follows the stated number of frames.
    fn extend(&mut self, more: u64, damage: &mut Damage) -> Result<()> {
        let rest = self.input.peek(5)?;
        let is_name = |at: usize| {
            let name = rest.get(at..at + 4);
            name.is_some_and(|name| name.iter().all(|letter| matches!(letter, b' '..=b'~')))
        };
        if rest.is_empty() || is_name(0) || is_name(1) {
            return Ok(());
        }
        if more > self.blocks.block().max(MISCOUNTED) {
            damage.note("has more sound than its header states: all of it is used");
        }
        self.blocks.left = Some(more);
        self.track.promised_seconds = None;
        Ok(())
    }
}

impl Common {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[c0, c1, f0, f1, f2, f3, b0, b1, ref rest @ ..] = bytes else { return None };
        let (rate, rest) = rest.split_first_chunk::<10>()?;
        Some(Self {
            channels: u16::from_be_bytes([c0, c1]),
            frames: u32::from_be_bytes([f0, f1, f2, f3]),
            bits: u16::from_be_bytes([b0, b1]),
            sample_rate: extended(*rate),
            compression: rest.first_chunk().copied().unwrap_or(*b"NONE"),
        })
    }

    fn storage(&self) -> Result<Storage> {
        let bytes = u32::from(self.bits.div_ceil(8));
        let (number, bytes, big_endian) = match &self.compression {
            b"NONE" | b"twos" => (Number::Signed, bytes, true),
            b"in24" => (Number::Signed, 3, true),
            b"in32" => (Number::Signed, 4, true),
            b"23ni" => (Number::Signed, 4, false),
            b"42ni" | b"42n1" => (Number::Signed, 3, false),
            b"sowt" => (Number::Signed, bytes, false),
            b"raw " => (Number::Unsigned, bytes, true),
            b"fl32" | b"FL32" => (Number::Float, 4, true),
            b"fl64" | b"FL64" => (Number::Float, 8, true),
            b"alaw" | b"ALAW" => (Number::ALaw, 1, true),
            b"ulaw" | b"ULAW" => (Number::MuLaw, 1, true),
            code => return Err(refusal::codec(&refusal::four_characters(*code), "AIFF")),
        };
        Ok(Storage { number, bytes, big_endian })
    }
}

/// Returns a rate, a number of 80 bits, rounded; 0 for an impossible rate.
fn extended(bytes: [u8; 10]) -> u32 {
    let [e0, e1, mantissa @ ..] = bytes;
    let exponent = i32::from(u16::from_be_bytes([e0, e1])) - 16383 - 63;
    let value = u64::from_be_bytes(mantissa) as f64 * 2_f64.powi(exponent.clamp(-200, 200));
    if value < 4e9 { value.round() as u32 } else { 0 }
}

impl Demuxer for Aiff<'_> {
    fn container(&self) -> &'static str {
        "aiff"
    }

    fn name(&self) -> &'static str {
        "AIFF"
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        if std::mem::take(&mut self.is_unfinished) && !self.input.peek(1)?.is_empty() {
            damage.header_unfinished();
        }
        let step = self.blocks.next(&mut self.input, damage)?;
        if !matches!(step, Step::End) {
            return Ok(step);
        }
        let Some(more) = self.more.take() else { return Ok(step) };
        self.extend(more, damage)?;
        self.blocks.next(&mut self.input, damage)
    }
}

#[cfg(test)]
mod tests {
    use super::extended;

    #[test]
    fn rates_of_80_bits_are_read() {
        assert_eq!(extended([0x40, 0x0e, 0xac, 0x44, 0, 0, 0, 0, 0, 0]), 44_100);
        assert_eq!(extended([0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0]), 8000);
        assert_eq!(extended([0xff; 10]), 0);
    }
}
