//! Encoding as MP3.

use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig};
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Result};

use super::interleaved;

/// The bit rate per channel in kbit/s, high enough to be transparent.
const KILOBITS: u32 = 96;

/// Encodes `sound`, whose rate MP3 must support, as an MP3 file with a tag about the padding at both ends.
pub fn mp3(sound: &Waveform) -> Result<Vec<u8>> {
    let failed = |why: String| Error::new(ErrorKind::Invalid, format!("the sound cannot be encoded as MP3: {why}"));
    let channels = match sound.channels().len() {
        count @ (1 | 2) => count as u16,
        _ => return Err(failed("more than two channels".into())),
    };
    let bitrate_kbps = KILOBITS * u32::from(channels);
    let mut encoder = Mp3Encoder::new(Mp3EncoderConfig { bitrate_kbps, vbr_quality: None });
    encoder.push_pcm_f32(&interleaved(sound), channels, sound.sample_rate()).map_err(|e| failed(e.to_string()))?;
    encoder.finish();
    let mut bytes = Vec::new();
    while let Ok(packet) = encoder.next_packet() {
        bytes.extend(packet);
    }
    Ok(bytes)
}
