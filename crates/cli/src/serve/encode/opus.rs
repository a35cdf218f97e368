//! Opus in Ogg.

use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead, OpusTags, RateControl};
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Result};

use super::interleaved;

/// Bits a second of each channel: enough that coding is not heard.
const BITS: usize = 64_000;
/// The clock of an Ogg Opus stream, in hertz.
const CLOCK: usize = 48_000;
/// Packets a second.
const PACKETS: usize = 50;
/// The number of the one stream of a file; a constant, so that the same sound is the same bytes.
const STREAM: u32 = 1;

/// The bytes of an Ogg Opus file of `sound`, at a rate that Opus knows, which decodes to as many samples.
pub fn opus(sound: &Waveform) -> Result<Vec<u8>> {
    encode(sound).map_err(|e| Error::new(ErrorKind::Invalid, format!("no Opus can be made of it: {e}")))
}

fn encode(sound: &Waveform) -> opus_pure::Result<Vec<u8>> {
    let (rate, channels) = (sound.sample_rate(), sound.channels().len());
    let mut encoder = OpusEncoder::new(rate as i32, channels, Application::Audio)?;
    encoder.bitrate_bps = (BITS * channels) as i32;
    encoder.rate_control = RateControl::Vbr;
    let head = OpusHead::for_encoder(&encoder, rate);
    let (delay, ticks) = (usize::from(head.pre_skip), CLOCK / rate as usize);
    let mut writer = OggOpusWriter::with_serial(Vec::new(), head, OpusTags::new(), STREAM)?;

    // silence behind the sound pushes its end out of the encoder; the last packet says where the sound ends
    let frame = rate as usize / PACKETS;
    let packets = (sound.len() + delay.div_ceil(ticks)).div_ceil(frame).max(1);
    let end = delay + sound.len() * ticks;
    let mut samples = interleaved(sound);
    samples.resize(packets * frame * channels, 0.0);
    let mut packet = vec![0; MAX_PACKET_BYTES];
    for (number, block) in samples.chunks(frame * channels).enumerate() {
        let length = encoder.encode(block, frame, &mut packet)?;
        let before = number * frame * ticks;
        let duration = if number + 1 == packets { end.saturating_sub(before) } else { frame * ticks };
        writer.write_packet_with_duration(packet.get(..length).unwrap_or_default(), duration as u32)?;
    }
    writer.finish()
}
