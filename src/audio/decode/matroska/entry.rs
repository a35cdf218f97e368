//! The description of a track of sound in Matroska.

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
    CODEC_ID_VORBIS,
};

use crate::audio::decode::matroska::block::xiph;
use crate::audio::decode::matroska::ebml::{elements, find, float, unsigned};
use crate::audio::decode::opus::OpusHead;
use crate::audio::decode::pcm::{Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Track, parameters};
use crate::audio::decode::wave_format::WaveFormat;
use crate::error::Result;

/// A track of sound.
pub(super) struct Entry {
    pub number: u64,
    pub track: Track,
    /// Bytes that the container has removed from the beginning of each packet.
    pub prefix: Vec<u8>,
    /// Decoded frames per bytes of a packet, for codecs that need the number of frames.
    pub frames: Option<(u64, u64)>,
}

const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const AUDIO: u32 = 0xe1;
const SAMPLING_FREQUENCY: u32 = 0xb5;
const OUTPUT_FREQUENCY: u32 = 0x78b5;
const CHANNELS: u32 = 0x9f;
const BIT_DEPTH: u32 = 0x6264;
const ENCODINGS: u32 = 0x6d80;
const ENCODING: u32 = 0x6240;
const COMPRESSION: u32 = 0x5034;
const COMPRESSION_KIND: u32 = 0x4254;
const COMPRESSION_SETTINGS: u32 = 0x4255;

/// Returns the container's name for messages.
pub(super) fn container(is_webm: bool) -> &'static str {
    if is_webm { "WebM" } else { "Matroska" }
}

/// Reads the content of a track's entry; returns `None` for a track that is not sound.
///
/// # Errors
/// A codec that is not supported.
pub(super) fn read(entry: &[u8], is_webm: bool) -> Result<Option<Entry>> {
    if find(entry, TRACK_TYPE).map(unsigned) != Some(2) {
        return Ok(None);
    }
    let container = container(is_webm);
    let Some(number) = find(entry, TRACK_NUMBER).map(unsigned) else {
        return Err(refusal::broken(container, "its track has no number"));
    };
    let codec = String::from_utf8_lossy(find(entry, CODEC_ID).unwrap_or_default()).trim_end_matches('\0').to_owned();
    let audio = find(entry, AUDIO).unwrap_or_default();
    let sound = Sound {
        rate: find(audio, SAMPLING_FREQUENCY).map_or(8000, |content| float(content).round() as u32),
        output_rate: find(audio, OUTPUT_FREQUENCY).map(|content| float(content).round() as u32),
        channels: find(audio, CHANNELS).map_or(1, |content| unsigned(content) as u32),
        bits: find(audio, BIT_DEPTH).map_or(0, |content| unsigned(content) as u32),
        private: find(entry, CODEC_PRIVATE).unwrap_or_default(),
        container,
    };
    if sound.channels == 0 || sound.channels > 1 << 15 || sound.rate == 0 {
        return Err(refusal::signal(container, sound.channels, sound.rate));
    }
    let prefix = prefix(entry, container)?;
    let (track, frames) = sound.track(&codec)?;
    Ok(Some(Entry { number, track, prefix, frames }))
}

/// Returns the bytes that the container has removed from each packet.
fn prefix(entry: &[u8], container: &str) -> Result<Vec<u8>> {
    let mut encodings = elements(find(entry, ENCODINGS).unwrap_or_default()).filter(|(id, _)| *id == ENCODING);
    let Some((_, encoding)) = encodings.next() else { return Ok(Vec::new()) };
    let compression = find(encoding, COMPRESSION);
    // Without a kind it is zlib.
    let kind = compression.map(|compression| find(compression, COMPRESSION_KIND).map_or(0, unsigned));
    match (kind, encodings.next()) {
        (Some(3), None) => {
            Ok(compression.and_then(|compression| find(compression, COMPRESSION_SETTINGS)).unwrap_or_default().to_vec())
        }
        (Some(_), _) => Err(refusal::codec("sound in compressed packets", container)),
        (None, _) => Err(refusal::codec("encrypted sound", container)),
    }
}

struct Sound<'a> {
    rate: u32,
    /// Rate of the sound, if it differs from the rate of its core (HE-AAC).
    output_rate: Option<u32>,
    channels: u32,
    bits: u32,
    private: &'a [u8],
    container: &'static str,
}

impl Sound<'_> {
    fn track(&self, codec: &str) -> Result<(Track, Option<(u64, u64)>)> {
        if codec == "A_MS/ACM" {
            return self.wave();
        }
        if let Some(storage) = self.storage(codec) {
            let what = || format!("PCM of {} bits", self.bits);
            let track = storage.track(self.rate, self.channels);
            return Ok((track.ok_or_else(|| refusal::codec(&what(), self.container))?, None));
        }
        let (id, config) = match codec {
            "A_OPUS" | "A_OPUS/EXPERIMENTAL" => {
                let head = if self.private.is_empty() {
                    OpusHead::plain(u8::try_from(self.channels).unwrap_or(0))
                        .ok_or_else(|| refusal::codec(&format!("Opus of {} channels", self.channels), self.container))?
                } else {
                    OpusHead::read(self.private)?
                };
                (CODEC_ID_OPUS, Some(head.write()))
            }
            "A_VORBIS" => {
                let headers = vorbis(self.private);
                (CODEC_ID_VORBIS, Some(headers.ok_or_else(|| self.broken("Vorbis"))?))
            }
            "A_FLAC" => {
                let info = flac(self.private);
                (CODEC_ID_FLAC, Some(info.ok_or_else(|| self.broken("FLAC"))?))
            }
            "A_ALAC" => (CODEC_ID_ALAC, Some(self.private.to_vec())),
            "A_AAC" | "A_AAC/MPEG4/LC" | "A_AAC/MPEG2/LC" => {
                (CODEC_ID_AAC, Some(self.private.to_vec()).filter(|config| !config.is_empty()))
            }
            "A_MPEG/L3" => (CODEC_ID_MP3, None),
            "A_MPEG/L2" => (CODEC_ID_MP2, None),
            "A_MPEG/L1" => (CODEC_ID_MP1, None),
            other => return Err(refusal::codec(&refusal::matroska_codec(other), self.container)),
        };
        // Opus decodes at one rate, independent of the rate of the recording.
        let rate = match id {
            CODEC_ID_OPUS => 48_000,
            CODEC_ID_AAC => self.output_rate.unwrap_or(self.rate),
            _ => self.rate,
        };
        let mut parameters = parameters(id, rate, self.channels);
        if let Some(config) = config {
            parameters.with_extra_data(config.into_boxed_slice());
        }
        Ok((Track { parameters, ..Track::default() }, None))
    }

    fn storage(&self, codec: &str) -> Option<Storage> {
        let bytes = self.bits.div_ceil(8);
        let (number, big_endian) = match codec {
            "A_PCM/INT/LIT" if bytes == 1 => (Number::Unsigned, false),
            "A_PCM/INT/LIT" => (Number::Signed, false),
            "A_PCM/INT/BIG" => (Number::Signed, true),
            "A_PCM/FLOAT/IEEE" => (Number::Float, false),
            _ => return None,
        };
        Some(Storage { number, bytes, big_endian })
    }

    /// Returns the track that a `WAVEFORMATEX` describes.
    fn wave(&self) -> Result<(Track, Option<(u64, u64)>)> {
        let format = WaveFormat::read(self.private, false).ok_or_else(|| self.broken("sound"))?;
        let codec = match format.tag {
            0x55 => CODEC_ID_MP3,
            0x50 => CODEC_ID_MP2,
            _ => {
                let (track, blocks) = format.track(self.container, None)?;
                return Ok((track, Some((blocks.frames(), blocks.block()))));
            }
        };
        let parameters = parameters(codec, format.sample_rate, u32::from(format.channels));
        Ok((Track { parameters, ..Track::default() }, None))
    }

    fn broken(&self, codec: &str) -> crate::error::Error {
        refusal::broken(self.container, &format!("the description of its {codec} is missing"))
    }
}

/// Returns the first and the third header of Vorbis, which its decoder needs.
fn vorbis(private: &[u8]) -> Option<Vec<u8>> {
    let (&[2], mut rest) = private.split_first_chunk::<1>()? else { return None };
    let sizes = xiph(2, &mut rest)?;
    let &[first, comment] = sizes.as_slice() else { return None };
    let setup = rest.get(first + comment..)?;
    Some([rest.get(..first)?, setup].concat())
}

/// Returns the content of `STREAMINFO`.
fn flac(private: &[u8]) -> Option<Vec<u8>> {
    let blocks = private.strip_prefix(b"fLaC")?;
    let is_info = blocks.first()? & 0x7f == 0;
    blocks.get(4..38).filter(|_| is_info).map(<[u8]>::to_vec)
}
