//! A track of sound in a container, and the trait of the readers that take it apart.

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
    /// Number of bytes per second, if all seconds have as many.
    pub bytes_per_second: Option<f64>,
    /// Number of bytes of sound that are there, if known.
    pub stored_bytes: Option<u64>,
}

/// A piece of the decoded sound that is played, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub start: f64,
    /// `None` plays up to the end.
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

    /// Returns the number of seconds with which nothing is missing although the file ends early, if it is known.
    fn enough_seconds(&self) -> Option<f64> {
        None
    }

    /// Reads the next packet of the track.
    ///
    /// What is damaged or missing is noted in `damage`, and what is left is given: errors are those of reading alone.
    fn next(&mut self, damage: &mut Damage) -> Result<Step>;
}

/// Returns parameters of a codec.
pub(super) fn parameters(codec: AudioCodecId, sample_rate: u32, channels: u32) -> AudioCodecParameters {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(codec).with_sample_rate(sample_rate).with_channels(layout(channels));
    parameters
}

/// Returns channels that nothing is known about but their number; all are mixed alike.
fn layout(channels: u32) -> Channels {
    match channels {
        1 => Channels::Positioned(Position::FRONT_LEFT),
        2 => Channels::Positioned(Position::FRONT_LEFT | Position::FRONT_RIGHT),
        more => Channels::Discrete(u16::try_from(more).unwrap_or(u16::MAX)),
    }
}

/// Returns a packet of coded sound without times, of `frames` decoded frames where the codec needs their number.
pub(super) fn packet(data: Vec<u8>, frames: u64) -> Packet {
    Packet::new(0, Timestamp::ZERO, Duration::from(frames), data)
}
