//! Encoding as FLAC.

use flacenc::component::BitRepr;
use flacenc::error::Verify;
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, Result};

use super::to_16_bits;

/// Encodes `sound` as a 16-bit FLAC file.
pub fn flac(sound: &Waveform) -> Result<Vec<u8>> {
    let failed =
        |e: &dyn std::fmt::Debug| Error::new(ErrorKind::Invalid, format!("the sound cannot be encoded as FLAC: {e:?}"));
    let channels = sound.channels();
    let frames = (0..sound.len()).flat_map(|n| channels.iter().map(move |channel| i32::from(to_16_bits(channel[n]))));
    let samples: Vec<_> = frames.collect();
    let source = flacenc::source::MemSource::from_samples(&samples, channels.len(), 16, sound.sample_rate() as usize);
    let config = flacenc::config::Encoder::default().into_verified().map_err(|e| failed(&e))?;
    let block = config.block_size;
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, block).map_err(|e| failed(&e))?;
    // the crate includes the last block, which may be shorter, in the minimum; some decoders then assume variable block
    // sizes
    stream.stream_info_mut().set_block_sizes(block, block).map_err(|e| failed(&e))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).map_err(|e| failed(&e))?;
    Ok(sink.into_inner())
}
