//! Decoding of recordings in requests.

use ualm::Model;
use ualm::audio::{DecodeOptions, WavFormat, Waveform, decode_reader, write_wav_to};

use super::error::ApiError;

/// A decoder of the recordings of one request, within the model's limits. It collects warnings about defects.
pub struct RecordingDecoder {
    options: DecodeOptions,
    /// Warnings, each after the name of its field.
    pub warnings: Vec<String>,
}

impl RecordingDecoder {
    pub fn new(model: &Model) -> Self {
        Self { options: model.decode_options(), warnings: Vec::new() }
    }

    /// Decodes the file in the field `param`.
    ///
    /// # Errors
    /// 400 if the recording cannot be decoded or is too long.
    pub fn recording(&mut self, bytes: &[u8], param: &str) -> Result<Waveform, ApiError> {
        let decoded = decode_reader(bytes, "the recording", &self.options);
        let decoded = decoded.map_err(|e| ApiError::of(&e, Some(param)))?;
        self.warnings.extend(decoded.warnings.iter().map(|warning| format!("{param}: {warning}")));
        Ok(decoded.waveform)
    }

    /// Converts 16-bit little-endian mono samples in the field `param`.
    ///
    /// # Errors
    /// As for [`recording`](Self::recording).
    pub fn samples(&mut self, bytes: &[u8], rate: u32, param: &str) -> Result<Waveform, ApiError> {
        let samples =
            bytes.chunks_exact(2).flat_map(<[u8; 2]>::try_from).map(|pair| f32::from(i16::from_le_bytes(pair)));
        let failed = |e| ApiError::of(&e, Some(param));
        let sound = Waveform::mono(samples.map(|sample| sample / 32768.0).collect(), rate).map_err(failed)?;
        let mut file = Vec::new();
        write_wav_to(&mut file, &sound, WavFormat::Pcm16).map_err(failed)?;
        self.recording(&file, param)
    }
}
