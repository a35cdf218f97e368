//! The encoder of a codec: sound to codes.

#![expect(clippy::indexing_slicing, reason = "the length of the graph's output is checked before it is indexed")]

use ort::value::Tensor;

use crate::audio::Waveform;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::package::CodecConfig;
use crate::runtime::{Fixing, Graph, GraphLoader, Port, check_finite_sound};
use crate::token::Codes;

/// The encoder graph of a codec.
pub(crate) struct CodecEncoder {
    graph: Graph,
    name: String,
    config: CodecConfig,
}

impl CodecEncoder {
    /// Loads the graph `name`, the encoder of the codec that `config` describes.
    pub(crate) fn load(loader: &GraphLoader, name: &str, config: &CodecConfig) -> Result<Self> {
        let inputs = [Port::float("input_values", &[None, Some(1), None])];
        let outputs = [Port::int64("audio_codes", &[None, Some(config.books), None])];
        let fixing = Fixing::Impossible("codes depend on the whole sound, which cannot be padded or cut");
        let graph = loader.load(name, &inputs, &outputs, &fixing)?;
        Ok(Self { graph, name: name.to_owned(), config: config.clone() })
    }

    /// Encodes `sound`, mixed down, resampled to the codec's rate and cut to whole frames; returns codes of shape
    /// [books, frames].
    ///
    /// # Errors
    /// `sound` is shorter than one frame or has samples that are not finite, or the graph returns codes out of range.
    pub(crate) fn encode(&self, sound: &Waveform) -> Result<Codes> {
        let sound = check_finite_sound(sound)?.to_mono().resample(self.config.sampling_rate)?;
        let hop = self.config.hop_length;
        let samples = sound.samples();
        let frames = samples.len() / hop;
        if frames == 0 {
            let found = counted(samples.len(), "sample");
            let rate = self.config.sampling_rate;
            let what = format!("the audio holds {found} at {rate} Hz; expected at least {hop}, one codec frame");
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
        if codes.len() != self.config.books * frames {
            let what =
                format!("{}: codes of shape {shape:?}; expected [1, {}, {frames}]", self.name, self.config.books);
            return Err(Error::new(ErrorKind::Graph, what));
        }
        let size = self.config.codebook_size;
        let code = |(book, frame): (usize, usize)| {
            let code = codes[book * frames + frame];
            u32::try_from(code).ok().filter(|c| (*c as usize) < size).ok_or(code)
        };
        let mut wrong = None;
        let codes = Codes::from_shape_fn((self.config.books, frames), |at| {
            code(at).unwrap_or_else(|code| {
                wrong = Some((at, code));
                0
            })
        });
        match wrong {
            None => Ok(codes),
            Some(((book, frame), code)) => {
                let what = format!("{}: code {code} in book {book}, frame {frame}; expected 0..{size}", self.name);
                Err(Error::new(ErrorKind::Numeric, what))
            }
        }
    }
}
