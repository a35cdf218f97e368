//! Opus in Ogg (RFC 7845).

use std::fmt::Display;

use ogg::PacketWriter;
use ogg::writing::PacketWriteEndInfo;
use ropus::{Application, Bitrate, Channels, Encoder};
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Result};

use super::interleaved;

/// Bits a second of each channel: enough that coding is not heard.
const BITS: u32 = 64_000;
/// The clock of an Ogg Opus stream, in hertz.
const CLOCK: usize = 48_000;
/// Packets a second.
const PACKETS: usize = 50;
/// Packets of a page of the file: a second, as other encoders write them.
const PAGE: usize = 50;
/// The most bytes of a packet, as RFC 6716 has it for one frame.
const MOST_BYTES: usize = 1275;
/// The number of the one stream of a file; a constant, so that the same sound is the same bytes.
const STREAM: u32 = 1;

/// The bytes of an Ogg Opus file of `sound`, at a rate that Opus knows, which decodes to as many samples.
pub fn opus(sound: &Waveform) -> Result<Vec<u8>> {
    let (rate, channels) = (sound.sample_rate(), sound.channels().len());
    let layout = match channels {
        1 => Channels::Mono,
        2 => Channels::Stereo,
        _ => return Err(failed("more than two channels")),
    };
    let encoder = Encoder::builder(rate, layout, Application::Audio);
    let encoder = encoder.bitrate(Bitrate::Bits(BITS * channels as u32)).vbr(true).vbr_constraint(false);
    let mut encoder = encoder.build().map_err(failed)?;
    // of the encoder's own rate, whatever its description says
    let ticks = CLOCK / rate as usize;
    let delay = encoder.lookahead() as usize * ticks;

    let mut file = Vec::new();
    let mut writer = PacketWriter::new(&mut file);
    writer
        .write_packet(head(channels as u8, delay as u16, rate), STREAM, PacketWriteEndInfo::EndPage, 0)
        .map_err(failed)?;
    writer.write_packet(tags(), STREAM, PacketWriteEndInfo::EndPage, 0).map_err(failed)?;

    // silence behind the sound pushes its end out of the encoder; the last page says where the sound ends
    let frame = rate as usize / PACKETS;
    let packets = (sound.len() + delay.div_ceil(ticks)).div_ceil(frame).max(1);
    let mut samples = interleaved(sound);
    samples.resize(packets * frame * channels, 0.0);
    for (number, block) in samples.chunks(frame * channels).enumerate() {
        let mut packet = vec![0; MOST_BYTES];
        let length = encoder.encode_float(block, &mut packet).map_err(failed)?;
        packet.truncate(length);
        let (place, end) = match number + 1 {
            last if last == packets => (PacketWriteEndInfo::EndStream, delay + sound.len() * ticks),
            count if count.is_multiple_of(PAGE) => (PacketWriteEndInfo::EndPage, count * frame * ticks),
            count => (PacketWriteEndInfo::NormalPacket, count * frame * ticks),
        };
        writer.write_packet(packet, STREAM, place, end as u64).map_err(failed)?;
    }
    drop(writer);
    Ok(file)
}

/// The first packet: what is to be decoded, and how many samples at its beginning are the encoder's.
fn head(channels: u8, skipped: u16, rate: u32) -> Vec<u8> {
    let mut packet = b"OpusHead\x01".to_vec();
    packet.push(channels);
    packet.extend(skipped.to_le_bytes());
    packet.extend(rate.to_le_bytes());
    packet.extend([0, 0, 0]); // no gain, and the usual order of one or two channels
    packet
}

/// The second packet: who has written the file, and no comments.
fn tags() -> Vec<u8> {
    const WRITER: &str = "ualm";
    let mut packet = b"OpusTags".to_vec();
    packet.extend((WRITER.len() as u32).to_le_bytes());
    packet.extend(WRITER.as_bytes());
    packet.extend(0u32.to_le_bytes());
    packet
}

fn failed(why: impl Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("no Opus can be made of it: {why}"))
}
