//! Sample entries: the codec of a track, as MP4 and three versions of QuickTime describe it.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_OPUS,
};

use crate::audio::decode::descriptor;
use crate::audio::decode::mp4::boxes::{Fields, boxes, find};
use crate::audio::decode::opus::OpusHead;
use crate::audio::decode::pcm::{Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Track, parameters};
use crate::error::Result;

/// The codec of a track.
pub(super) struct Entry {
    pub track: Track,
    /// Bytes of a frame of uncompressed sound.
    pub frame: Option<u64>,
    /// Samples at 48 kHz that Opus drops at the beginning.
    pub pre_skip: Option<u16>,
    /// True for MPEG audio, which states its layer in the frames.
    pub is_mpeg: bool,
}

/// The fields that all entries have.
struct Head<'a> {
    kind: [u8; 4],
    channels: u32,
    bits: u32,
    sample_rate: u32,
    /// The storage in the second version of QuickTime: flags, and bytes of a packet.
    linear: Option<(u32, u32)>,
    children: &'a [u8],
    container: &'a str,
}

/// Reads the content of `stsd`; `media_scale` is the rate of tracks without a rate.
///
/// # Errors
/// No entry, several, or a codec that is not supported.
pub(super) fn read(descriptions: &[u8], media_scale: u32, container: &str) -> Result<Entry> {
    let broken = || refusal::broken(container, "the description of its sound is missing or too short");
    let mut fields = Fields(descriptions);
    let (version, _) = fields.version().ok_or_else(broken)?;
    let count = fields.u32().ok_or_else(broken)?;
    let entry = boxes(fields.0).next().ok_or_else(broken)?;
    if count > 1 {
        return Err(refusal::codec("sound that changes its codec", container));
    }
    let mut head = Head::read(entry.kind, entry.content, version, container).ok_or_else(broken)?;
    if head.sample_rate == 0 {
        head.sample_rate = media_scale;
    }
    if head.channels == 0 || head.sample_rate == 0 {
        return Err(refusal::signal(container, head.channels, head.sample_rate));
    }
    match head.storage()? {
        Some(storage) => head.uncompressed(storage),
        None => head.compressed(),
    }
}

impl<'a> Head<'a> {
    fn read(kind: [u8; 4], content: &'a [u8], list_version: u8, container: &'a str) -> Option<Self> {
        let mut fields = Fields(content);
        fields.skip(8)?;
        let version = fields.u16()?;
        fields.skip(6)?;
        let channels = u32::from(fields.u16()?);
        let bits = u32::from(fields.u16()?);
        fields.skip(4)?;
        let sample_rate = fields.u32()? >> 16;
        let mut head = Self { kind, channels, bits, sample_rate, linear: None, children: fields.0, container };
        match version {
            // Version 1 of the list has entries of version 1 without QuickTime's fields.
            1 if list_version == 0 => {
                fields.skip(4)?;
                let bytes = fields.u32()?;
                fields.skip(8)?;
                if (1..=8).contains(&bytes) && bytes * 8 > head.bits {
                    head.bits = bytes * 8;
                }
            }
            2 => {
                fields.skip(4)?;
                head.sample_rate = f64::from_be_bytes(fields.array()?).round() as u32;
                head.channels = fields.u32()?;
                fields.skip(4)?;
                head.bits = fields.u32()?;
                head.linear = Some((fields.u32()?, fields.u32()?));
                fields.skip(4)?;
            }
            _ => {}
        }
        head.children = fields.0;
        Some(head)
    }

    /// Returns the content of a box of the entry, or of QuickTime's `wave` in it.
    fn child(&self, kind: &[u8; 4]) -> Option<&'a [u8]> {
        find(self.children, &[b"wave", kind]).or_else(|| find(self.children, &[kind]))
    }

    /// Returns the storage of the samples, if they are not compressed.
    fn storage(&self) -> Result<Option<Storage>> {
        let bytes = self.bits.div_ceil(8);
        // QuickTime's own kinds are big-endian unless this box says otherwise.
        let is_little = matches!(self.child(b"enda"), Some([.., 1]));
        let (number, bytes, big_endian) = match &self.kind {
            b"alaw" => (Number::ALaw, 1, true),
            b"ulaw" => (Number::MuLaw, 1, true),
            b"raw " | b"NONE" if bytes == 1 => (Number::Unsigned, 1, true),
            b"raw " | b"NONE" | b"twos" => (Number::Signed, bytes, true),
            b"sowt" => (Number::Signed, bytes, false),
            b"in24" => (Number::Signed, 3, !is_little),
            b"in32" => (Number::Signed, 4, !is_little),
            b"fl32" => (Number::Float, 4, !is_little),
            b"fl64" => (Number::Float, 8, !is_little),
            b"lpcm" => match self.linear {
                Some((flags, packet)) if self.channels > 0 && packet.is_multiple_of(self.channels) => {
                    let number = match flags & 5 {
                        1 | 5 => Number::Float,
                        4 => Number::Signed,
                        _ => Number::Unsigned,
                    };
                    (number, packet / self.channels, flags & 2 != 0)
                }
                _ => (Number::Signed, bytes, true),
            },
            b"ipcm" | b"fpcm" => {
                let number = if &self.kind == b"ipcm" { Number::Signed } else { Number::Float };
                let Some(&[_, _, _, _, flags, bits, ..]) = self.child(b"pcmC") else {
                    return Err(refusal::broken(self.container, "the description of its PCM is missing"));
                };
                (number, u32::from(bits).div_ceil(8), flags & 1 == 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(Storage { number, bytes, big_endian }))
    }

    fn uncompressed(&self, storage: Storage) -> Result<Entry> {
        let Some(track) = storage.track(self.sample_rate, self.channels) else {
            let what = format!("PCM of {} bits ({})", self.bits, self.kind.escape_ascii());
            return Err(refusal::codec(&what, self.container));
        };
        let frame = Some(u64::from(storage.bytes) * u64::from(self.channels));
        Ok(Entry { track, frame, pre_skip: None, is_mpeg: false })
    }

    fn compressed(&self) -> Result<Entry> {
        let broken = |defect| refusal::broken(self.container, defect);
        let mut entry = Entry { track: Track::default(), frame: None, pre_skip: None, is_mpeg: false };
        let mut set = |codec, config: Option<&[u8]>| {
            let mut parameters = parameters(codec, self.sample_rate, self.channels);
            if let Some(config) = config {
                parameters.with_extra_data(config.into());
            }
            entry.track.parameters = parameters;
        };
        match &self.kind {
            b"mp4a" => {
                let stream = self.child(b"esds").and_then(|content| descriptor::read(content.get(4..)?));
                let stream = stream.ok_or_else(|| broken("the description of its AAC is missing"))?;
                match stream.object {
                    0x40 | 0x66..=0x68 => set(CODEC_ID_AAC, Some(&stream.config)),
                    0x69 | 0x6b => {
                        set(CODEC_ID_MP3, None);
                        entry.is_mpeg = true;
                    }
                    object => return Err(refusal::codec(&refusal::mpeg4_object(object), self.container)),
                }
            }
            b".mp3" | b"mp3 " | b"ms\0\x55" | b".mp2" | b".mp1" | b"ms\0\x50" => {
                set(CODEC_ID_MP3, None);
                entry.is_mpeg = true;
            }
            b"alac" => {
                let cookie = self.child(b"alac").and_then(|content| content.get(4..));
                let cookie = cookie.and_then(|cookie| cookie.get(..48).or_else(|| cookie.get(..24)));
                set(CODEC_ID_ALAC, Some(cookie.ok_or_else(|| broken("the description of its ALAC is missing"))?));
            }
            b"fLaC" => {
                let info = self.child(b"dfLa").and_then(|content| content.get(8..42));
                set(CODEC_ID_FLAC, Some(info.ok_or_else(|| broken("the description of its FLAC is missing"))?));
            }
            b"Opus" => {
                let head = self.child(b"dOps").ok_or_else(|| broken("the description of its Opus is missing"))?;
                let mut head = OpusHead::read_mp4(head)?;
                entry.pre_skip = Some(std::mem::take(&mut head.pre_skip));
                entry.track.parameters = parameters_of_opus(&head);
            }
            code => return Err(refusal::codec(&refusal::four_characters(*code), self.container)),
        }
        Ok(entry)
    }
}

fn parameters_of_opus(head: &OpusHead) -> AudioCodecParameters {
    let mut parameters = parameters(CODEC_ID_OPUS, 48_000, u32::from(head.channels));
    parameters.with_extra_data(head.write().into_boxed_slice());
    parameters
}
