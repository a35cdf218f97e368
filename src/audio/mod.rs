//! Audio input and output: decoding, downmix, resampling, the log-mel front end, and WAV files.
//!
//! For input, [`decode_file`] (or [`decode_reader`] for a pipe) decodes any container, rate and channel count to a mono
//! [`Waveform`] at the rate of a model, in one pass whose memory is bounded by the output. [`LogMel`] and [`normalize`]
//! compute an encoder's input. For output, [`write_wav`] writes a whole sound, and [`SampleWriter`] a sound in pieces.

mod decode;
mod log_mel;
mod resample;
mod sample_writer;
mod wav;
mod waveform;

#[cfg(feature = "internal")]
pub(crate) use decode::fuzzed;
pub use decode::{DecodeOptions, Decoded, SourceFormat, decode_file, decode_reader};
pub use log_mel::{LogMel, LogMelConfig, hertz_to_mel, normalize};
pub use resample::{Resampler, resample, resampled_len};
pub use sample_writer::SampleWriter;
pub(crate) use wav::{ExtraChunk, read_chunk, stored_format, write_wav_to_with, write_wav_with};
pub use wav::{WavFormat, write_wav, write_wav_to};
pub use waveform::Waveform;
