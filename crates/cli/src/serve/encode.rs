//! Sound to bytes.

use crate::wire::SoundFormat;
use flacenc::component::BitRepr;
use flacenc::error::Verify;
use ualm::audio::{Resampler, WavFormat, Waveform, write_wav_to};
use ualm::{Error, ErrorKind, Record, Result};

/// The rate of samples without a header, unless a request says otherwise: OpenAI's.
pub const PCM_RATE: u32 = 24_000;

/// The encoding of returned sound.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub format: SoundFormat,
    /// Rate of the result; by default the model's own, of samples without a header [`PCM_RATE`].
    pub sample_rate: Option<u32>,
    /// `true` when WAV files contain their takes.
    pub take: bool,
}

impl Encoding {
    /// The rate of sound that the model makes at `own`.
    pub fn rate(&self, own: u32) -> u32 {
        self.sample_rate.unwrap_or(if self.format == SoundFormat::Pcm { PCM_RATE } else { own })
    }

    /// The rate of streamed samples.
    pub fn stream_rate(&self) -> u32 {
        self.sample_rate.unwrap_or(PCM_RATE)
    }

    /// The whole `sound`, whose record is `record`.
    pub fn encode(&self, sound: &Waveform, record: &Record) -> Result<Vec<u8>> {
        let sound = sound.resample(self.rate(sound.sample_rate()))?;
        match self.format {
            SoundFormat::Wav => {
                let mut bytes = Vec::new();
                if self.take {
                    record.write_wav_to(&mut bytes, &sound, WavFormat::Pcm16)?
                } else {
                    write_wav_to(&mut bytes, &sound, WavFormat::Pcm16)?
                };
                Ok(bytes)
            }
            SoundFormat::Flac => flac(&sound),
            SoundFormat::Pcm => Ok(pcm(sound.to_mono().samples())),
        }
    }
}

/// Returns the content type of a format.
pub fn content_type(format: SoundFormat, rate: u32) -> String {
    match format {
        SoundFormat::Wav => "audio/wav".to_owned(),
        SoundFormat::Flac => "audio/flac".to_owned(),
        SoundFormat::Pcm => format!("audio/pcm;rate={rate};channels=1"),
    }
}

/// Samples as they are made, at another rate.
pub struct PcmStream(Resampler);

impl PcmStream {
    pub fn new(from: u32, to: u32) -> Result<Self> {
        Resampler::new(from, to).map(Self)
    }

    /// The bytes that come of more samples, perhaps none yet.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<u8>> {
        self.0.push(samples)?;
        Ok(pcm(&self.0.take()))
    }

    /// The last bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.finish().map(|samples| pcm(&samples))
    }
}

/// 16-bit little-endian, rounded and clipped as in a WAV file.
fn pcm(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|sample| to_16_bits(*sample).to_le_bytes()).collect()
}

fn to_16_bits(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

fn flac(sound: &Waveform) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Debug| Error::new(ErrorKind::Invalid, format!("no FLAC can be made of it: {e:?}"));
    let channels = sound.channels();
    let frames = (0..sound.len()).flat_map(|n| channels.iter().map(move |channel| i32::from(to_16_bits(channel[n]))));
    let samples: Vec<_> = frames.collect();
    let source = flacenc::source::MemSource::from_samples(&samples, channels.len(), 16, sound.sample_rate() as usize);
    let config = flacenc::config::Encoder::default().into_verified().map_err(|e| failed(&e))?;
    let block = config.block_size;
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, block).map_err(|e| failed(&e))?;
    // the crate counts the last block, too, which may be shorter; to some decoders the blocks are of varying sizes then
    stream.stream_info_mut().set_block_sizes(block, block).map_err(|e| failed(&e))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).map_err(|e| failed(&e))?;
    Ok(sink.into_inner())
}

#[cfg(test)]
mod tests {
    use ualm::audio::{DecodeOptions, decode_reader};

    use super::*;

    fn hum(len: usize, rate: u32) -> Waveform {
        Waveform::mono((0..len).map(|n| (n as f32 * 0.1).sin() * 0.7).collect(), rate).unwrap()
    }

    #[test]
    fn flac_has_every_sample() {
        for (len, rate) in [(1, 16_000), (4095, 24_000), (50_000, 16_000), (9000, 48_000)] {
            let sound = hum(len, rate);
            let decoded = decode_reader(&*flac(&sound).unwrap(), "flac", &DecodeOptions::default()).unwrap();
            let bits = |sound: &Waveform| sound.samples().iter().map(|s| to_16_bits(*s)).collect::<Vec<_>>();
            assert_eq!((decoded.source.codec.as_str(), decoded.waveform.sample_rate()), ("flac", rate));
            assert_eq!(bits(&decoded.waveform), bits(&sound));
        }
    }

    #[test]
    fn streamed_samples_are_those_of_the_whole() {
        let sound = hum(16_001, 16_000);
        let whole = pcm(sound.resample(PCM_RATE).unwrap().samples());
        let mut stream = PcmStream::new(16_000, PCM_RATE).unwrap();
        let mut bytes = Vec::new();
        for piece in sound.samples().chunks(777) {
            bytes.extend(stream.push(piece).unwrap());
        }
        assert!(bytes.len() > whole.len() / 2, "most of it comes before the end");
        bytes.extend(stream.finish().unwrap());
        assert_eq!(bytes, whole);
    }

    #[test]
    fn samples_beyond_full_scale_are_clipped() {
        assert_eq!(pcm(&[0.0, 1.0, -1.0, 2.0, -2.0]), [0, 0, 0xff, 0x7f, 0, 0x80, 0xff, 0x7f, 0, 0x80]);
    }
}
