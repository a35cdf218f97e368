//! Encoding of sound for responses.

mod flac;
mod mp3;
mod opus;

use ualm::audio::{Resampler, WavFormat, Waveform, write_wav_to};
use ualm::{Record, Result};

use crate::wire::SoundFormat;
use flac::flac;
use mp3::mp3;
use opus::opus;

/// The default rate of raw samples, as in OpenAI's API.
pub const PCM_RATE: u32 = 24_000;
/// The rate of formats that do not support the model's own.
const DEFAULT_RATE: u32 = 48_000;

/// The encoding of returned sound.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub format: SoundFormat,
    /// The requested sample rate; by default the model's own, or [`PCM_RATE`] for raw samples.
    pub sample_rate: Option<u32>,
    /// `true` to store the record in WAV files.
    pub take: bool,
}

impl Encoding {
    /// Returns the sample rate for sound that the model generates at `own`.
    pub fn rate(&self, own: u32) -> u32 {
        let own = if self.format == SoundFormat::Pcm { PCM_RATE } else { own };
        let own = if self.format.supports_rate(own) { own } else { DEFAULT_RATE };
        self.sample_rate.unwrap_or(own)
    }

    /// Returns the sample rate of streamed samples.
    pub fn stream_rate(&self) -> u32 {
        self.sample_rate.unwrap_or(PCM_RATE)
    }

    /// Encodes `sound`, with its record if requested.
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
            SoundFormat::Mp3 => mp3(&sound),
            SoundFormat::Opus => opus(&sound),
            SoundFormat::Pcm => Ok(pcm(sound.to_mono().samples())),
        }
    }
}

/// Returns the content type of a format.
pub fn content_type(format: SoundFormat, rate: u32) -> String {
    match format {
        SoundFormat::Wav => "audio/wav".to_owned(),
        SoundFormat::Flac => "audio/flac".to_owned(),
        SoundFormat::Mp3 => "audio/mpeg".to_owned(),
        SoundFormat::Opus => "audio/ogg;codecs=opus".to_owned(),
        SoundFormat::Pcm => format!("audio/pcm;rate={rate};channels=1"),
    }
}

/// A stream of resampled 16-bit samples.
pub struct PcmStream(Resampler);

impl PcmStream {
    pub fn new(from: u32, to: u32) -> Result<Self> {
        Resampler::new(from, to).map(Self)
    }

    /// Resamples and encodes more samples; may return no bytes yet.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<u8>> {
        self.0.push(samples)?;
        Ok(pcm(&self.0.take()))
    }

    /// Returns the last bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.finish().map(|samples| pcm(&samples))
    }
}

/// Converts samples to 16-bit little-endian, rounded and clipped as in a WAV file.
fn pcm(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|sample| to_16_bits(*sample).to_le_bytes()).collect()
}

fn to_16_bits(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

/// Returns the interleaved samples.
fn interleaved(sound: &Waveform) -> Vec<f32> {
    let channels = sound.channels();
    (0..sound.len()).flat_map(|n| channels.iter().filter_map(move |channel| channel.get(n).copied())).collect()
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

    /// Returns the power of the difference relative to the power of `sound`, in decibels.
    fn distance(sound: &[f32], other: &[f32]) -> f32 {
        let power = |samples: &mut dyn Iterator<Item = f32>| samples.map(|sample| sample * sample).sum::<f32>();
        let difference = power(&mut sound.iter().zip(other).map(|(a, b)| a - b));
        10.0 * (difference / power(&mut sound.iter().copied())).log10()
    }

    /// Returns a sound like speech: a modulated tone with harmonics.
    fn voice(len: usize, rate: u32) -> Waveform {
        let sample = |n: usize| {
            let time = n as f32 / rate as f32;
            let harmonics = (1..12).map(|k| (std::f32::consts::TAU * 140.0 * k as f32 * time).sin() / (k * k) as f32);
            0.4 * harmonics.sum::<f32>() * (0.6 + 0.4 * (20.0 * time).sin())
        };
        Waveform::mono((0..len).map(sample).collect(), rate).unwrap()
    }

    #[test]
    fn mp3_is_close_to_the_sound_and_as_long() {
        for (len, rate) in [(1, 16_000), (800, 24_000), (16_000, 16_000), (44_100, 44_100), (20_001, 24_000)] {
            let sound = voice(len, rate);
            let decoded = decode_reader(&*mp3(&sound).unwrap(), "mp3", &DecodeOptions::default()).unwrap();
            assert_eq!((decoded.source.codec.as_str(), decoded.waveform.sample_rate()), ("mp3", rate));
            assert_eq!((decoded.waveform.len(), decoded.warnings), (len, vec![]));
            if len > 8000 {
                let distance = distance(sound.samples(), decoded.waveform.samples());
                assert!(distance < -25.0, "{distance} dB at {rate} Hz");
            }
        }
    }

    /// Decodes a mono Ogg Opus file, trimmed as players do.
    fn decoded_opus(file: &[u8], rate: u32) -> Vec<f32> {
        let mut reader = ogg::PacketReader::new(std::io::Cursor::new(file));
        let mut decoder = ropus::Decoder::new(rate, ropus::Channels::Mono).unwrap();
        let head = reader.read_packet().unwrap().unwrap().data;
        assert_eq!(
            (&head[..10], reader.read_packet().unwrap().unwrap().data.get(..8)),
            (&b"OpusHead\x01\x01"[..], Some(&b"OpusTags"[..]))
        );
        let skipped = usize::from(u16::from_le_bytes([head[10], head[11]]));
        let mut samples = Vec::new();
        let mut block = vec![0.0; 5760];
        let mut end = 0;
        while let Some(packet) = reader.read_packet().unwrap() {
            let length = decoder.decode_float(&packet.data, &mut block, ropus::DecodeMode::Normal).unwrap();
            samples.extend_from_slice(&block[..length]);
            end = packet.absgp_page() as usize;
        }
        let ticks = 48_000 / rate as usize;
        samples[skipped / ticks..end / ticks].to_vec()
    }

    #[test]
    fn opus_is_close_to_the_sound_and_as_long() {
        for (len, rate) in [(0, 48_000), (1, 16_000), (960, 48_000), (16_001, 16_000), (60_000, 24_000)] {
            let sound = voice(len, rate);
            let file = opus(&sound).unwrap();
            assert_eq!(file, opus(&sound).unwrap(), "equal sounds give equal files");
            let decoded = decoded_opus(&file, rate);
            assert_eq!(decoded.len(), len);
            if len > 8000 {
                let distance = distance(sound.samples(), &decoded);
                assert!(distance < -15.0, "{distance} dB at {rate} Hz");
            }
        }
    }

    #[test]
    fn sounds_of_two_channels_or_beyond_full_scale_are_encoded() {
        let left: Vec<_> = voice(24_000, 48_000).samples().iter().map(|sample| 5.0 * sample).collect();
        let sound = Waveform::new(vec![left, vec![0.0; 24_000]], 48_000).unwrap();
        let decoded = decode_reader(&*mp3(&sound).unwrap(), "mp3", &DecodeOptions::default()).unwrap();
        assert_eq!((decoded.source.channels, decoded.waveform.len()), (2, 24_000));
        let file = opus(&sound).unwrap();
        assert_eq!(file.windows(10).find(|bytes| bytes.starts_with(b"OpusHead")).unwrap()[9], 2);
        let three = Waveform::new(vec![vec![0.0; 9]; 3], 48_000).unwrap();
        for refused in [opus(&three), mp3(&three)] {
            assert!(refused.unwrap_err().message().contains("two channels"));
        }
    }

    #[test]
    fn rates_are_supported_by_the_format() {
        let rate = |format, sample_rate, own| Encoding { format, sample_rate, take: false }.rate(own);
        assert_eq!(rate(SoundFormat::Wav, None, 22_050), 22_050);
        assert_eq!(rate(SoundFormat::Opus, None, 22_050), DEFAULT_RATE);
        assert_eq!(rate(SoundFormat::Mp3, None, 22_050), 22_050);
        assert_eq!(rate(SoundFormat::Mp3, None, 96_000), DEFAULT_RATE);
        assert_eq!(rate(SoundFormat::Opus, Some(16_000), 22_050), 16_000);
        assert_eq!(rate(SoundFormat::Pcm, None, 16_000), PCM_RATE);
    }

    #[test]
    fn streamed_samples_equal_the_whole_sound() {
        let sound = hum(16_001, 16_000);
        let whole = pcm(sound.resample(PCM_RATE).unwrap().samples());
        let mut stream = PcmStream::new(16_000, PCM_RATE).unwrap();
        let mut bytes = Vec::new();
        for piece in sound.samples().chunks(777) {
            bytes.extend(stream.push(piece).unwrap());
        }
        assert!(bytes.len() > whole.len() / 2, "most bytes come before the end");
        bytes.extend(stream.finish().unwrap());
        assert_eq!(bytes, whole);
    }

    #[test]
    fn samples_beyond_full_scale_are_clipped() {
        assert_eq!(pcm(&[0.0, 1.0, -1.0, 2.0, -2.0]), [0, 0, 0xff, 0x7f, 0, 0x80, 0xff, 0x7f, 0, 0x80]);
    }
}
