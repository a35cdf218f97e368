//! A track of sound in a container, and the trait of its readers.

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use crate::audio::decode::damage::Damage;
use crate::error::Result;

/// A track of sound.
#[derive(Clone, Default)]
pub(super) struct Track {
    pub parameters: AudioCodecParameters,
    /// The unit of the packets' times, if they have times.
    pub time_base: Option<TimeBase>,
    /// The stated length of the sound, edits applied, in seconds.
    pub promised_seconds: Option<f64>,
    /// The pieces to play, in order of time; empty for all of the sound.
    pub pieces: Vec<Piece>,
    /// Bytes per second, if the rate of bytes is constant.
    pub bytes_per_second: Option<f64>,
    /// Bytes of sound in the file, if known.
    pub stored_bytes: Option<u64>,
}

/// A piece of the decoded sound that is played, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub start: f64,
    /// The length in seconds; `None` plays up to the end.
    pub length: Option<f64>,
    /// Silence before the piece.
    pub silence: f64,
}

/// A step of a demuxer.
pub(super) enum Step {
    /// Coded sound.
    Packet(Packet),
    /// Another stream begins, which [`Demuxer::track`] describes.
    NextStream,
    /// The end of the sound.
    End,
}

/// A reader of a container, which splits it into packets of coded sound.
pub(super) trait Demuxer {
    /// Returns the short name of the container.
    fn container(&self) -> &'static str;

    /// Returns the name of the container for a person.
    fn name(&self) -> &'static str;

    /// Returns the track whose packets are read.
    fn track(&self) -> &Track;

    /// Returns the number of seconds from which on nothing is missing, if it is less than the stated length.
    fn enough_seconds(&self) -> Option<f64> {
        None
    }

    /// Reads the next packet of the track.
    ///
    /// Damaged or missing parts are noted in `damage` and skipped; only failures to read bytes are errors.
    fn next(&mut self, damage: &mut Damage) -> Result<Step>;
}

/// Returns parameters of a codec.
pub(super) fn parameters(codec: AudioCodecId, sample_rate: u32, channels: u32) -> AudioCodecParameters {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(codec).with_sample_rate(sample_rate).with_channels(layout(channels));
    parameters
}

/// Returns channels of which only the number is known; all are mixed with the same weight.
fn layout(channels: u32) -> Channels {
    match channels {
        1 => Channels::Positioned(Position::FRONT_LEFT),
        2 => Channels::Positioned(Position::FRONT_LEFT | Position::FRONT_RIGHT),
        more => Channels::Discrete(u16::try_from(more).unwrap_or(u16::MAX)),
    }
}

/// Returns a packet of coded sound without times; `frames` is the number of decoded frames, for codecs that need it.
pub(super) fn packet(data: Vec<u8>, frames: u64) -> Packet {
    Packet::new(0, Timestamp::ZERO, Duration::from(frames), data)
}
