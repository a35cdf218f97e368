//! The description of coded sound that WAV files and others hold (`WAVEFORMATEX`).

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS};

use crate::audio::decode::pcm::{Blocks, Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Track, parameters};
use crate::count::counted;
use crate::error::Result;

/// The description of coded sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaveFormat {
    pub tag: u16,
    pub channels: u16,
    pub sample_rate: u32,
    /// Bytes of a block: of a frame of uncompressed sound.
    pub block: u16,
    /// Valid bits of a sample.
    pub bits: u16,
    /// Stored bits of a sample, unless the block is larger.
    stored_bits: u16,
    pub big_endian: bool,
}

/// The tag of a format whose codec is in its extension.
const EXTENSIBLE: u16 = 0xfffe;

/// The identifiers of codecs in the extension: all but the first two bytes, which are the codec's tag.
const EXTENSIONS: [[u8; 14]; 2] = [
    *b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71",
    // Ambisonic recordings.
    *b"\0\0\x21\x07\xd3\x11\x86\x44\xc8\xc1\xca\0\0\0",
];

impl WaveFormat {
    /// Reads the description, whose numbers are `big_endian` in RIFX; returns `None` for less than 14 bytes.
    pub fn read(bytes: &[u8], big_endian: bool) -> Option<Self> {
        let u16_at = |at: usize| {
            let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
            Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
        };
        let rate = bytes.get(4..8)?.try_into().ok()?;
        let sample_rate = if big_endian { u32::from_be_bytes(rate) } else { u32::from_le_bytes(rate) };
        let mut format = Self {
            tag: u16_at(0)?,
            channels: u16_at(2)?,
            sample_rate,
            block: u16_at(12)?,
            bits: u16_at(14).unwrap_or(0),
            stored_bits: u16_at(14).unwrap_or(0),
            big_endian,
        };
        if format.tag == EXTENSIBLE {
            let known = bytes.get(26..40).is_some_and(|rest| EXTENSIONS.iter().any(|known| known == rest));
            format.tag = if known { u16_at(24)? } else { EXTENSIBLE };
            // The valid bits may be fewer than the stored ones.
            format.bits = u16_at(18).filter(|valid| (1..=format.bits).contains(valid)).unwrap_or(format.bits);
        }
        Some(format)
    }

    /// Returns whether the sound is an MPEG stream, whose frames have more details than the description.
    pub fn is_mpeg(&self) -> bool {
        matches!(self.tag, 0x50 | 0x55)
    }

    /// Returns the track of the sound and its blocks, which have `bytes` in all.
    ///
    /// # Errors
    /// An unsupported codec or number of bits, or impossible numbers.
    pub fn track(&self, container: &str, bytes: Option<u64>) -> Result<(Track, Blocks)> {
        self.check(container)?;
        let (number, codec) = match self.tag {
            1 => (Some(self.integer()), None),
            3 => (Some(Number::Float), None),
            6 => (Some(Number::ALaw), None),
            7 => (Some(Number::MuLaw), None),
            2 => (None, Some(CODEC_ID_ADPCM_MS)),
            0x11 => (None, Some(CODEC_ID_ADPCM_IMA_WAV)),
            tag => return Err(refusal::codec(&refusal::wave_tag(tag), container)),
        };
        match (number, codec) {
            (Some(number), _) => self.uncompressed(number, container, bytes),
            (None, codec) => self.adpcm(codec.unwrap_or_default(), container, bytes),
        }
    }

    fn check(&self, container: &str) -> Result<()> {
        if self.channels == 0 {
            return Err(refusal::broken(container, "0 channels"));
        }
        if self.sample_rate == 0 {
            return Err(refusal::broken(container, "a sample rate of 0 Hz"));
        }
        Ok(())
    }

    fn integer(&self) -> Number {
        if self.sample_bytes() == 1 { Number::Unsigned } else { Number::Signed }
    }

    /// Returns the bytes of a sample. Samples of 17 to 24 bits may take four bytes, which the size of a block shows.
    fn sample_bytes(&self) -> u32 {
        let stored = u32::from(self.stored_bits.div_ceil(8));
        let is_wide = stored == 3 && u32::from(self.block) == 4 * u32::from(self.channels);
        if is_wide { 4 } else { stored }
    }

    fn uncompressed(&self, number: Number, container: &str, bytes: Option<u64>) -> Result<(Track, Blocks)> {
        let sample = match number {
            Number::ALaw | Number::MuLaw => 1,
            _ => self.sample_bytes(),
        };
        let storage = Storage { number, bytes: sample, big_endian: self.big_endian };
        let Some(mut track) = storage.track(self.sample_rate, u32::from(self.channels)) else {
            let kind = if number == Number::Float { "floating-point" } else { "integer" };
            return Err(refusal::codec(&format!("PCM of {} bits ({kind})", self.bits), container));
        };
        let frame = u64::from(sample) * u64::from(self.channels);
        track.promised_seconds = bytes.map(|bytes| (bytes / frame) as f64 / f64::from(self.sample_rate));
        let mut blocks = Blocks::new(frame, 1, bytes);
        if number == Number::Signed && sample == 4 {
            blocks = blocks.padded(u32::from(self.bits), self.big_endian);
        }
        Ok((track, blocks))
    }

    fn adpcm(&self, codec: AudioCodecId, container: &str, bytes: Option<u64>) -> Result<(Track, Blocks)> {
        let channels = u64::from(self.channels);
        if channels > 2 {
            return Err(refusal::codec(&format!("ADPCM of {}", counted(channels, "channel")), container));
        }
        // A block begins with the state of the predictor, which contains its first one or two samples.
        let (header, first) = if codec == CODEC_ID_ADPCM_MS { (7 * channels, 2) } else { (4 * channels, 1) };
        let coded = u64::from(self.block).checked_sub(header).filter(|_| self.bits == 4);
        let Some(coded) = coded else {
            return Err(refusal::broken(
                container,
                &format!("ADPCM of {} bits in blocks of {}", self.bits, self.block),
            ));
        };
        let frames = coded * 2 / channels + first;
        let blocks = Blocks::new(u64::from(self.block), frames, bytes);
        let mut parameters = parameters(codec, self.sample_rate, u32::from(self.channels));
        parameters.with_max_frames_per_packet(frames.max(4096).next_multiple_of(frames)).with_frames_per_block(frames);
        let seconds = |bytes: u64| (bytes / u64::from(self.block) * frames) as f64 / f64::from(self.sample_rate);
        Ok((Track { parameters, promised_seconds: bytes.map(seconds), ..Track::default() }, blocks))
    }
}
