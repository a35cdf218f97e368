//! Decoders of coded sound.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_OPUS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;

use crate::audio::decode::aac;
use crate::audio::decode::opus::{self, OpusDecoder, OpusHead};
use crate::audio::decode::refusal;
use crate::error::{Error, ErrorKind, Result};

/// Decoded sound: one `Vec` a channel, all of the same length.
#[derive(Default)]
pub(super) struct Planes {
    pub channels: Vec<Vec<f32>>,
    /// Rate in hertz.
    pub sample_rate: u32,
}

/// A decoder of one track.
pub(super) enum Codec {
    Opus(Box<OpusDecoder>),
    Symphonia(Box<dyn AudioDecoder>),
}

impl Codec {
    /// Creates the decoder of a track in `container`.
    ///
    /// # Errors
    /// An unsupported codec, or variant of a codec, by its name.
    pub fn new(parameters: &AudioCodecParameters, container: &str) -> Result<Self> {
        if parameters.sample_rate == Some(0) {
            return Err(Error::new(ErrorKind::Audio, "has a sample rate of 0 Hz"));
        }
        match parameters.codec {
            CODEC_ID_OPUS => {
                let head = match &parameters.extra_data {
                    Some(head) => OpusHead::read(head)?,
                    None => plain_opus(parameters, container)?,
                };
                return Ok(Self::Opus(Box::new(OpusDecoder::new(&head)?)));
            }
            CODEC_ID_AAC => {
                if let Some(variant) = aac::refused_variant(parameters) {
                    return Err(refusal::codec(&variant, container));
                }
            }
            _ => {}
        }
        let registry = symphonia::default::get_codecs();
        let decoder = registry.make_audio_decoder(parameters, &AudioDecoderOptions::default());
        let decoder = decoder.map_err(|error| {
            let name = registry
                .get_audio_decoder(parameters.codec)
                .map_or("an unknown codec", |known| known.codec.info.long_name);
            refusal::codec(name, container).with_source(error)
        })?;
        Ok(Self::Symphonia(decoder))
    }

    /// Returns the short name of the codec.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opus(_) => "opus",
            Self::Symphonia(decoder) => decoder.codec_info().short_name,
        }
    }

    /// Decodes a packet.
    ///
    /// # Errors
    /// A damaged packet.
    pub fn decode(&mut self, packet: &Packet, planes: &mut Planes) -> Result<()> {
        match self {
            Self::Opus(decoder) => {
                planes.sample_rate = opus::SAMPLE_RATE;
                let trimmed = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
                decoder.decode(&packet.data, trimmed, &mut planes.channels)
            }
            Self::Symphonia(decoder) => {
                let buffer = decoder.decode(packet).map_err(|error| Error::new(ErrorKind::Audio, error.to_string()))?;
                planes.sample_rate = buffer.spec().rate();
                buffer.copy_to_vecs_planar(&mut planes.channels);
                Ok(())
            }
        }
    }
}

fn plain_opus(parameters: &AudioCodecParameters, container: &str) -> Result<OpusHead> {
    let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
    let head = u8::try_from(channels).ok().and_then(OpusHead::plain);
    head.ok_or_else(|| refusal::codec(&format!("Opus of {channels} channels"), container))
}
