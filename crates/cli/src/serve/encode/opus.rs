//! Encoding as Opus in Ogg (RFC 7845).

use std::fmt::Display;

use ogg::PacketWriter;
use ogg::writing::PacketWriteEndInfo;
use ropus::{Application, Bitrate, Channels, Encoder};
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Result};

use super::interleaved;

/// The bit rate per channel in bit/s, high enough to be transparent.
const BITS: u32 = 64_000;
/// The clock of an Ogg Opus stream, in hertz.
const CLOCK: usize = 48_000;
/// Packets per second.
const PACKETS: usize = 50;
/// Packets per Ogg page: one second, as in other encoders.
const PAGE: usize = 50;
/// The maximum size of a packet with one frame (RFC 6716).
const MAX_BYTES: usize = 1275;
/// The serial number of the stream; constant, so that equal sounds give equal files.
const STREAM: u32 = 1;

/// Encodes `sound`, whose rate Opus must support, as an Ogg Opus file that decodes to the same number of samples.
pub fn opus(sound: &Waveform) -> Result<Vec<u8>> {
    let rate = sound.sample_rate();
    let channels = sound.channels().len();
    let layout = match channels {
        1 => Channels::Mono,
        2 => Channels::Stereo,
        _ => return Err(failed("more than two channels")),
    };
    let encoder = Encoder::builder(rate, layout, Application::Audio);
    let encoder = encoder.bitrate(Bitrate::Bits(BITS * channels as u32)).vbr(true).vbr_constraint(false);
    let mut encoder = encoder.build().map_err(failed)?;
    // `lookahead` is in samples of the encoder's rate, contrary to its documentation
    let ticks = CLOCK / rate as usize;
    let delay = encoder.lookahead() as usize * ticks;

    let mut file = Vec::new();
    let mut writer = PacketWriter::new(&mut file);
    writer
        .write_packet(head(channels as u8, delay as u16, rate), STREAM, PacketWriteEndInfo::EndPage, 0)
        .map_err(failed)?;
    writer.write_packet(tags(), STREAM, PacketWriteEndInfo::EndPage, 0).map_err(failed)?;

    // silence after the sound flushes the encoder; the last page has the position of the sound's end
    let frame = rate as usize / PACKETS;
    let packets = (sound.len() + delay.div_ceil(ticks)).div_ceil(frame).max(1);
    let mut samples = interleaved(sound);
    samples.resize(packets * frame * channels, 0.0);
    for (number, block) in samples.chunks(frame * channels).enumerate() {
        let mut packet = vec![0; MAX_BYTES];
        let length = encoder.encode_float(block, &mut packet).map_err(failed)?;
        packet.truncate(length);
        let (page, end) = match number + 1 {
            last if last == packets => (PacketWriteEndInfo::EndStream, delay + sound.len() * ticks),
            count if count.is_multiple_of(PAGE) => (PacketWriteEndInfo::EndPage, count * frame * ticks),
            count => (PacketWriteEndInfo::NormalPacket, count * frame * ticks),
        };
        writer.write_packet(packet, STREAM, page, end as u64).map_err(failed)?;
    }
    drop(writer);
    Ok(file)
}

/// Returns the first packet: the channels, and the number of leading samples to skip.
fn head(channels: u8, skipped: u16, rate: u32) -> Vec<u8> {
    let mut packet = b"OpusHead\x01".to_vec();
    packet.push(channels);
    packet.extend(skipped.to_le_bytes());
    packet.extend(rate.to_le_bytes());
    packet.extend([0, 0, 0]); // no gain, default channel mapping
    packet
}

/// Returns the second packet: the encoder's name, without comments.
fn tags() -> Vec<u8> {
    const WRITER: &str = "ualm";
    let mut packet = b"OpusTags".to_vec();
    packet.extend((WRITER.len() as u32).to_le_bytes());
    packet.extend(WRITER.as_bytes());
    packet.extend(0u32.to_le_bytes());
    packet
}

fn failed(why: impl Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("the sound cannot be encoded as Opus: {why}"))
}
