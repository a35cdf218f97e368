//! Sound in and out: decoding, downmix, resampling, the log-mel front end, and WAV files.
//!
//! The way in is [`decode_file`] (or [`decode_reader`] for a pipe): any container, rate and channel count becomes a mono
//! [`Waveform`] at the rate that a model wants, in one pass whose memory is bounded by the output. [`LogMel`] and
//! [`normalize`] turn it into an encoder's input. The way out is [`write_wav`], or [`SampleWriter`] while the sound is being made.

mod decode;
mod edit_list;
mod log_mel;
mod resample;
mod sample_writer;
mod wav;
mod waveform;

pub use decode::{DecodeOptions, Decoded, SourceFormat, decode_file, decode_reader};
pub use log_mel::{LogMel, LogMelConfig, hertz_to_mel, normalize};
pub use resample::{Resampler, resample, resampled_len};
pub use sample_writer::SampleWriter;
pub(crate) use wav::{ExtraChunk, read_chunk, stored_format, write_wav_to_with, write_wav_with};
pub use wav::{WavFormat, write_wav, write_wav_to};
pub use waveform::Waveform;
