//! Core Audio Format: chunks with 64-bit sizes, and any of Apple's codecs.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
};

use crate::audio::decode::damage::{Damage, MISCOUNTED};
use crate::audio::decode::descriptor;
use crate::audio::decode::input::Input;
use crate::audio::decode::pcm::{Blocks, Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Demuxer, Piece, Step, Track, packet, parameters};
use crate::error::Result;

/// A reader of CAF.
pub(super) struct Caf<'a> {
    input: Input<'a>,
    track: Track,
    packets: Packets,
    is_unfinished: bool,
    /// True if the file has more sound than the header states.
    is_miscounted: bool,
}

enum Packets {
    /// Packets of equal size.
    Equal(Blocks),
    /// Packets of different sizes: the table of sizes, the bytes of sound left, and `count`, the number of packets left by the
    /// table.
    Table { table: Vec<u8>, at: usize, has_frames: bool, left: u64, count: u64 },
}

/// The description of the sound.
struct Description {
    sample_rate: u32,
    format: [u8; 4],
    flags: u32,
    packet_bytes: u32,
    packet_frames: u32,
    channels: u32,
    bits: u32,
}

/// The table of packets: the head of the chunk `pakt`.
#[derive(Clone, Copy, Default)]
struct TableHead {
    packets: u64,
    valid_frames: u64,
    priming: u32,
}

/// The maximum size of a packet table in bytes: a day of sound.
const MAX_TABLE: u64 = 64 << 20;

/// The maximum size of a decoder's configuration in bytes.
const MAX_CONFIG: u64 = 1 << 16;

impl<'a> Caf<'a> {
    /// Walks the chunks, of which the table of packets may come after the sound.
    ///
    /// # Errors
    /// No sound, no description, or a codec that is not supported.
    pub fn open(mut input: Input<'a>) -> Result<Self> {
        input.skip(8)?;
        let mut description = None;
        let mut config = Vec::new();
        let mut table = None;
        let mut sound = None;
        let mut is_unfinished = false;
        let mut is_miscounted = false;
        while let Some(header) = input.array::<12>()? {
            let [id @ .., s0, s1, s2, s3, s4, s5, s6, s7] = header;
            let size = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let begin = input.position();
            let end = input.len().unwrap_or(begin);
            match &id {
                b"desc" => description = Description::read(&input.read_up_to(size.min(32))?),
                b"kuki" => config = input.read_up_to(size.min(MAX_CONFIG))?,
                b"pakt" => table = Some(input.read_up_to(size.min(MAX_TABLE))?),
                // A size of −1 means up to the end of the file. So does 0, which a recorder that dies leaves.
                b"data" => sound = Some((begin + 4, (1..=i64::MAX as u64).contains(&size).then_some(size))),
                _ => {}
            }
            let next = begin.saturating_add(size);
            is_unfinished |= id == *b"data" && size == 0;
            if id == *b"data" && next < end && size > 0 {
                input.seek(next)?;
                // If no chunk follows, the size counts too few samples.
                if !is_chunk(input.peek(12)?, end - next) {
                    sound = Some((begin + 4, None));
                    is_miscounted = end - next > MISCOUNTED;
                    break;
                }
            }
            if next > end || is_unfinished {
                break;
            }
            input.seek(next)?;
        }
        let Some(description) = description else {
            return Err(refusal::broken("CAF", "it has no description of its sound (desc)"));
        };
        let Some((begin, size)) = sound else {
            return Err(refusal::broken("CAF", "it holds no sound (no data chunk)"));
        };
        input.seek(begin)?;
        let mut caf = description.open(input, size.map(|size| size.saturating_sub(4)), &config, table)?;
        caf.is_unfinished = is_unfinished;
        caf.is_miscounted = is_miscounted;
        Ok(caf)
    }
}

impl Description {
    fn read(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let rate = f64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        Some(Self {
            sample_rate: rate.round() as u32,
            format: bytes.get(8..12)?.try_into().ok()?,
            flags: u32_at(12)?,
            packet_bytes: u32_at(16)?,
            packet_frames: u32_at(20)?,
            channels: u32_at(24)?,
            bits: u32_at(28)?,
        })
    }

    fn open<'a>(&self, input: Input<'a>, size: Option<u64>, config: &[u8], table: Option<Vec<u8>>) -> Result<Caf<'a>> {
        if self.channels == 0 || self.channels > 1 << 15 || self.sample_rate == 0 {
            return Err(refusal::signal("CAF", self.channels, self.sample_rate));
        }
        let stored = input.len().map_or(0, |len| len.saturating_sub(input.position()));
        if let Some(storage) = self.storage()? {
            return self.uncompressed(input, storage, size, stored);
        }
        let mut track = Track { parameters: self.parameters(config)?, ..Track::default() };
        let head = table.as_deref().and_then(TableHead::read);
        if let Some(head) = head.filter(|head| head.valid_frames > 0) {
            let seconds = |frames: u64| frames as f64 / f64::from(self.sample_rate);
            // The packets in the file decide on the length: some programs count whole packets here.
            let start = seconds(u64::from(head.priming));
            track.pieces = vec![Piece { start, length: Some(seconds(head.valid_frames)), silence: 0.0 }];
        }
        let left = size.unwrap_or(stored);
        let packets = match table {
            _ if self.packet_bytes > 0 => {
                let frames = u64::from(self.packet_frames);
                Packets::Equal(Blocks::new(u64::from(self.packet_bytes), frames, Some(left)).one_by_one())
            }
            Some(table) => {
                let count = head.map_or(0, |head| head.packets);
                Packets::Table { table, at: 24, has_frames: self.packet_frames == 0, left, count }
            }
            None => {
                let defect =
                    "the table of its packets is missing, for it is cut short; nothing can be found without it";
                return Err(refusal::broken("CAF", defect));
            }
        };
        Ok(Caf { input, track, packets, is_unfinished: false, is_miscounted: false })
    }

    /// Returns the storage of the samples, if they are not compressed.
    fn storage(&self) -> Result<Option<Storage>> {
        let channels = self.channels;
        let (number, bytes) = match &self.format {
            b"lpcm" if self.packet_frames == 1 && self.packet_bytes.is_multiple_of(channels) => {
                let number = if self.flags & 1 != 0 { Number::Float } else { Number::Signed };
                (number, self.packet_bytes / channels)
            }
            b"lpcm" => {
                return Err(refusal::broken("CAF", &format!("PCM in packets of {} frames", self.packet_frames)));
            }
            b"alaw" => (Number::ALaw, 1),
            b"ulaw" => (Number::MuLaw, 1),
            _ => return Ok(None),
        };
        Ok(Some(Storage { number, bytes, big_endian: self.flags & 2 == 0 }))
    }

    fn uncompressed<'a>(&self, input: Input<'a>, storage: Storage, size: Option<u64>, stored: u64) -> Result<Caf<'a>> {
        let Some(mut track) = storage.track(self.sample_rate, self.channels) else {
            let kind = if storage.number == Number::Float { "floating-point" } else { "integer" };
            return Err(refusal::codec(&format!("PCM of {} bits ({kind})", self.bits), "CAF"));
        };
        let frame = u64::from(storage.bytes) * u64::from(self.channels);
        track.promised_seconds = size.map(|size| (size / frame) as f64 / f64::from(self.sample_rate));
        track.stored_bytes = Some(stored);
        let mut blocks = Blocks::new(frame, 1, size);
        if storage.number == Number::Signed && storage.bytes == 4 {
            blocks = blocks.padded(self.bits, storage.big_endian);
        }
        Ok(Caf { input, track, packets: Packets::Equal(blocks), is_unfinished: false, is_miscounted: false })
    }

    fn parameters(&self, config: &[u8]) -> Result<AudioCodecParameters> {
        let codec = match &self.format {
            b"aac " => CODEC_ID_AAC,
            b"alac" => CODEC_ID_ALAC,
            b"opus" => CODEC_ID_OPUS,
            b".mp1" => CODEC_ID_MP1,
            b".mp2" => CODEC_ID_MP2,
            b".mp3" => CODEC_ID_MP3,
            code => return Err(refusal::codec(&refusal::four_characters(*code), "CAF")),
        };
        let mut parameters = parameters(codec, self.sample_rate, self.channels);
        if codec == CODEC_ID_AAC {
            let config = descriptor::read(config).map_or_else(|| config.to_vec(), |stream| stream.config);
            parameters.with_extra_data(config.into_boxed_slice());
        } else if codec == CODEC_ID_ALAC {
            parameters.with_extra_data(config.into());
        }
        Ok(parameters)
    }
}

impl TableHead {
    fn read(bytes: &[u8]) -> Option<Self> {
        let packets = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        let valid = i64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
        let priming = i32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?);
        Some(Self {
            packets: u64::try_from(packets).unwrap_or(0),
            valid_frames: u64::try_from(valid).ok()?,
            priming: u32::try_from(priming).ok()?,
        })
    }
}

/// Returns whether `bytes` begin with a chunk or a tag of at most `max` bytes, the header included.
fn is_chunk(bytes: &[u8], max: u64) -> bool {
    let &[a, b, c, d, ref size @ ..] = bytes else { return false };
    let is_name = [a, b, c, d].iter().all(|letter| matches!(letter, b' '..=b'~'));
    let size = size.first_chunk().map(|size| u64::from_be_bytes(*size));
    let is_tag = matches!([a, b, c], [b'T', b'A', b'G'] | [b'I', b'D', b'3']);
    is_name || is_tag || size.is_some_and(|size| [a, b, c, d] == [0; 4] && size < max)
}

/// Returns the number at `at`, which has 7 bits in each byte, the highest first, and moves `at` behind the number.
fn variable(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value: u64 = 0;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value = value.checked_mul(128)? + u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

impl Demuxer for Caf<'_> {
    fn container(&self) -> &'static str {
        "caf"
    }

    fn name(&self) -> &'static str {
        "CAF"
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        if std::mem::take(&mut self.is_unfinished) {
            damage.header_unfinished();
        }
        if std::mem::take(&mut self.is_miscounted) {
            damage.note("has more sound than its header states: all of it is used");
        }
        let (table, at, has_frames, left, count) = match &mut self.packets {
            Packets::Equal(blocks) => return blocks.next(&mut self.input, damage),
            Packets::Table { table, at, has_frames, left, count } => (table, at, *has_frames, left, count),
        };
        let Some(size) = variable(table, at) else {
            if *count > 0 {
                damage.ends_with(format!("the table of its packets ends early ({count} are missing)"));
            }
            return Ok(Step::End);
        };
        *count = count.saturating_sub(1);
        if has_frames {
            variable(table, at);
        }
        if size > *left {
            damage.cut();
            return Ok(Step::End);
        }
        *left -= size;
        let data = self.input.read_up_to(size)?;
        if (data.len() as u64) < size {
            damage.cut();
            return Ok(Step::End);
        }
        Ok(Step::Packet(packet(data, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn sizes_of_packets_are_read() {
        let bytes = [0x05, 0x81, 0x00, 0xff, 0x7f, 0x80];
        let mut at = 0;
        assert_eq!(variable(&bytes, &mut at), Some(5));
        assert_eq!(variable(&bytes, &mut at), Some(128));
        assert_eq!(variable(&bytes, &mut at), Some(16383));
        assert_eq!(variable(&bytes, &mut at), None);
    }
}
