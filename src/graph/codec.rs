//! The codec: sound to codes and back.

#![expect(clippy::indexing_slicing, reason = "what a graph gave was held against its shape")]

use ort::value::Tensor;

use super::session::{Graph, Port};
use super::{AudioDecoder, GraphLoader, check_finite, finite, with_context};
use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::package::{CodecConfig, Manifest};
use crate::token::Codes;

/// The most frames that are decoded at once.
const LONGEST_CHUNK: usize = 1500;

/// The `codec_encoder` graph.
pub struct CodecEncoder {
    graph: Graph,
    config: CodecConfig,
    streams: usize,
}

impl CodecEncoder {
    /// Loads the codec's encoder.
    pub fn load(loader: &GraphLoader, manifest: &Manifest, config: &CodecConfig) -> Result<Self> {
        let streams = manifest.vocabulary.streams;
        let inputs = [Port::float("input_values", &[None, Some(1), None])];
        let outputs = [Port::int64("audio_codes", &[None, Some(streams), None])];
        let graph = loader.load("codec_encoder", manifest.graph("codec_encoder")?, &inputs, &outputs)?;
        Ok(Self { graph, config: config.clone(), streams })
    }

    /// Codes of `sound`, shape [streams, samples / hop]: mixed down, converted to the codec's rate, cut to whole frames.
    ///
    /// Errors: shorter than one frame; samples that are not finite; codes out of range.
    pub fn encode(&self, sound: &Waveform) -> Result<Codes> {
        let sound = finite(sound)?.to_mono().resample(self.config.sampling_rate)?;
        let hop = self.config.hop_length;
        let samples = sound.samples();
        let frames = samples.len() / hop;
        if frames == 0 {
            let (found, rate) = (samples.len(), self.config.sampling_rate);
            let what =
                format!("the audio holds {found} samples at {rate} Hz; expected at least {hop}, one codec frame");
            return Err(Error::new(ErrorKind::Audio, what));
        }
        let failed = |e| self.graph.failed(&e);
        let samples = samples[..frames * hop].to_vec();
        let input = Tensor::from_array(([1, 1, samples.len()], samples)).map_err(failed)?;
        let [codes] = self.graph.run([("input_values", input.into())], ["audio_codes"])?;
        let (shape, codes) = codes.try_extract_tensor::<i64>().map_err(failed)?;
        self.checked(shape, codes, frames)
    }

    fn checked(&self, shape: &[i64], codes: &[i64], frames: usize) -> Result<Codes> {
        if codes.len() != self.streams * frames {
            let what = format!("codec_encoder: codes of shape {shape:?}; expected [1, {}, {frames}]", self.streams);
            return Err(Error::new(ErrorKind::Graph, what));
        }
        let size = self.config.codebook_size;
        let code = |(stream, frame): (usize, usize)| {
            let code = codes[stream * frames + frame];
            u32::try_from(code).ok().filter(|c| (*c as usize) < size).ok_or(code)
        };
        let mut wrong = None;
        let codes = Codes::from_shape_fn((self.streams, frames), |at| {
            code(at).unwrap_or_else(|code| {
                wrong = Some((at, code));
                0
            })
        });
        match wrong {
            None => Ok(codes),
            Some(((stream, frame), code)) => {
                let what =
                    format!("codec_encoder: code {code} in stream {stream}, frame {frame}; expected 0 … {}", size - 1);
                Err(Error::new(ErrorKind::Numeric, what))
            }
        }
    }
}

/// The `codec_decoder` graph.
pub struct CodecDecoder {
    graph: Graph,
    config: CodecConfig,
    streams: usize,
}

impl CodecDecoder {
    /// Loads the codec's decoder.
    pub fn load(loader: &GraphLoader, manifest: &Manifest, config: &CodecConfig) -> Result<Self> {
        let streams = manifest.vocabulary.streams;
        let mut inputs = vec![Port::int64("audio_codes", &[None, Some(streams), None])];
        if config.indexed {
            inputs.push(Port::int64("first_frame", &[Some(1)]));
        }
        let outputs = [Port::float("audio_values", &[None, Some(1), None])];
        let graph = loader.load("codec_decoder", manifest.graph("codec_decoder")?, &inputs, &outputs)?;
        Ok(Self { graph, config: config.clone(), streams })
    }

    /// The sound of a whole clip's codes, shape [streams, frames], decoded in chunks that bound the memory.
    ///
    /// Errors: another number of streams, or a code outside the codebook.
    pub fn decode_clip(&self, codes: &Codes) -> Result<Waveform> {
        self.check(codes)?;
        let (len, hop) = (codes.ncols(), self.config.hop_length);
        let mut samples = Vec::with_capacity(len * hop);
        for start in (0..len).step_by(LONGEST_CHUNK) {
            let part = start..(start + LONGEST_CHUNK).min(len);
            let around = with_context(&part, self.config.context_frames, len);
            let window = codes.slice(ndarray::s![.., around.clone()]).to_owned();
            let decoded = self.decode(&window, around.start)?;
            samples.extend_from_slice(&decoded[(part.start - around.start) * hop..(part.end - around.start) * hop]);
        }
        Waveform::mono(samples, self.config.sampling_rate)
    }

    fn check(&self, codes: &Codes) -> Result<()> {
        if codes.nrows() != self.streams {
            let what = format!("the codes have {} streams; this codec has {}", codes.nrows(), self.streams);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let size = self.config.codebook_size;
        match codes.indexed_iter().find(|(_, code)| **code as usize >= size) {
            None => Ok(()),
            Some(((stream, frame), code)) => {
                let what = format!("code {code} in stream {stream}, frame {frame}; expected 0 … {}", size - 1);
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }
}

impl AudioDecoder for CodecDecoder {
    fn sample_rate(&self) -> u32 {
        self.config.sampling_rate
    }

    fn hop_length(&self) -> usize {
        self.config.hop_length
    }

    fn context_frames(&self) -> usize {
        self.config.context_frames
    }

    fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>> {
        let numeric = |e: Error| Error::new(ErrorKind::Numeric, format!("after frame {first_frame}: {e}"));
        self.check(codes).map_err(numeric)?;
        let failed = |e| self.graph.failed(&e);
        let (streams, frames) = codes.dim();
        let ids: Vec<i64> = codes.iter().map(|code| i64::from(*code)).collect();
        let ids = Tensor::from_array(([1, streams, frames], ids)).map_err(failed)?;
        let [samples] = if self.config.indexed {
            let first = Tensor::from_array(([1], vec![first_frame as i64])).map_err(failed)?;
            self.graph.run([("audio_codes", ids.into()), ("first_frame", first.into())], ["audio_values"])?
        } else {
            self.graph.run([("audio_codes", ids.into())], ["audio_values"])?
        };
        let samples = samples.try_extract_tensor::<f32>().map_err(failed)?.1.to_vec();
        if samples.len() != frames * self.config.hop_length {
            let (found, hop) = (samples.len(), self.config.hop_length);
            let what = format!("codec_decoder: {found} samples for {frames} frames; expected {hop} for each");
            return Err(Error::new(ErrorKind::Graph, what));
        }
        let what = format!("after frame {first_frame}: sample of frame");
        check_finite("codec_decoder", &what, &samples, self.config.hop_length)?;
        Ok(samples)
    }
}
