//! The variants of AAC; only LC of one or two channels is decoded.

use symphonia::core::codecs::audio::AudioCodecParameters;

/// The parts of AAC's configuration (ISO/IEC 14496-3, `AudioSpecificConfig`) that distinguish the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Config {
    object: u32,
    /// The kind of an extension: 5 for HE-AAC.
    extension: u32,
    channels: u32,
    /// Rate in hertz; 0 for a reserved index.
    sample_rate: u32,
    has_short_frames: bool,
}

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

/// A reader of bits, from the highest bit of each byte.
struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.0.get(self.1 / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.1 % 8) & 1);
            self.1 += 1;
        }
        Some(value)
    }

    fn object(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object => Some(object),
        }
    }

    fn sample_rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => Some(SAMPLE_RATES.get(index as usize).copied().unwrap_or(0)),
        }
    }
}

impl Config {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits(bytes, 0);
        let object = bits.object()?;
        let sample_rate = bits.sample_rate()?;
        let channels = bits.take(4)?;
        let mut config = Self { object, extension: 0, channels, sample_rate, has_short_frames: false };
        if matches!(object, 1..=4) {
            config.has_short_frames = bits.take(1)? == 1;
            if bits.take(1)? == 1 {
                bits.take(14)?;
            }
            bits.take(1)?;
            // An extension that older decoders ignore.
            if channels > 0 && bits.take(11) == Some(0x2b7) && bits.object() == Some(5) && bits.take(1) == Some(1) {
                config.extension = 5;
            }
        }
        Some(config)
    }
}

/// Returns the name of the variant that `parameters` describe, if it is not decoded.
pub(super) fn refused_variant(parameters: &AudioCodecParameters) -> Option<String> {
    let Some(config) = &parameters.extra_data else {
        let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
        return (channels == 0 || channels > 2).then(|| of_channels(channels));
    };
    let config = Config::read(config)?;
    // The core of HE-AAC has half the rate of the sound; this may be the only sign of HE-AAC.
    let is_core = parameters.sample_rate.is_some_and(|rate| rate == 2 * config.sample_rate);
    let name = match (config.object, config.extension) {
        (5, _) | (_, 5) => "HE-AAC",
        (29, _) => "HE-AAC v2",
        (42, _) => "xHE-AAC",
        (23, _) => "AAC-LD",
        (39, _) => "AAC-ELD",
        (2, _) if is_core => "HE-AAC",
        (2, _) if config.has_short_frames => "AAC with frames of 960 samples",
        (2, _) if config.channels == 0 || config.channels > 2 => {
            return Some(of_channels(if config.channels == 7 { 8 } else { config.channels as usize }));
        }
        (2, _) => return None,
        (1, _) => "AAC Main",
        (3, _) => "AAC-SSR",
        (4, _) => "AAC-LTP",
        (object, _) => return Some(format!("MPEG-4 audio of type {object}")),
    };
    Some(name.to_owned())
}

fn of_channels(channels: usize) -> String {
    match channels {
        0 => "AAC with a channel layout of its own".to_owned(),
        channels => format!("AAC of {channels} channels"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &[u8]) -> Option<String> {
        let mut parameters = AudioCodecParameters::new();
        parameters.with_extra_data(config.into());
        refused_variant(&parameters)
    }

    #[test]
    fn variants_are_told_apart() {
        assert_eq!(refused(&[0x12, 0x10]), None, "LC at 44.1 kHz, stereo");
        assert_eq!(refused(&[0x12, 0x08, 0x56, 0xe5, 0x00]), None, "an extension that says: no HE-AAC");
        assert_eq!(refused(&[0x13, 0x90, 0x56, 0xe5, 0xa0]).unwrap(), "HE-AAC", "behind the configuration of LC");
        assert_eq!(refused(&[0x2b, 0x92, 0x08, 0x00]).unwrap(), "HE-AAC", "before it");
        assert_eq!(refused(&[0xeb, 0x8a, 0x08, 0x00]).unwrap(), "HE-AAC v2");
        assert_eq!(refused(&[0x12, 0x30]).unwrap(), "AAC of 6 channels");
        assert_eq!(refused(&[0x12, 0x14]).unwrap(), "AAC with frames of 960 samples");
        let mut core = AudioCodecParameters::new();
        core.with_sample_rate(44_100).with_extra_data([0x13, 0x90].into());
        assert_eq!(refused_variant(&core).unwrap(), "HE-AAC", "22,050 Hz in a container that says 44,100");
    }
}
