//! Codecs: sound to codes and back. A package may have several codecs; each sound modality names one.

mod causal;
mod causal_graph;
mod encoder;
mod enhancer;
mod shortened;
mod windowed;

use std::sync::{Arc, OnceLock};

use crate::audio::Waveform;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::package::{CodecConfig, DecodingConfig};
use crate::runtime::{GraphLoader, load_once};
use crate::token::Codes;

use causal::{CausalClip, CausalSizes};
use causal_graph::CausalDecoder;
use encoder::CodecEncoder;
pub(crate) use enhancer::Enhancer;
use shortened::ShortenedClip;
use windowed::{WindowDecoder, WindowedClip};

/// The format of a codec's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Samples per second.
    pub sample_rate: u32,
    /// Samples per frame.
    pub hop_length: usize,
    /// The maximum number of frames of a clip; later frames are dropped.
    pub most_frames: Option<usize>,
}

impl Format {
    /// Returns the length in seconds of a clip of `frames` codes.
    pub(crate) fn seconds(&self, frames: usize) -> f64 {
        let frames = self.most_frames.map_or(frames, |max| frames.min(max));
        (frames * self.hop_length) as f64 / f64::from(self.sample_rate)
    }
}

/// The lengths of the chunks in which a clip is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Short chunks first, so that sound can be heard during its generation, at some cost in speed.
    Streamed,
    /// Chunks of a few seconds, decoded beside the steps: when the last code is generated, most of the sound is decoded.
    Generated,
    /// Chunks as long as the bound on the decoder's memory allows, for codes that are complete.
    Whole,
}

/// A decoder of clips, shared by the generations of all threads.
pub(crate) trait Codec: Send + Sync {
    /// Returns the format of the sound.
    fn format(&self) -> Format;

    /// Begins a clip, with at most `memory` bytes for the state of a causal decoder.
    fn clip(&self, pace: Pace, memory: u64) -> Result<Box<dyn ClipDecoder>>;

    /// Returns whether sound is to be decoded on a thread of its own during the steps of its generation, rather than between
    /// them.
    fn decodes_beside_steps(&self) -> bool;
}

/// A decoder of one clip, which takes the codes in parts. Its concatenated output is the sound of the whole clip, however the
/// codes are divided.
pub(crate) trait ClipDecoder: Send {
    /// Returns the number of frames in all that must be pushed before more samples are decoded.
    fn frames_wanted(&self) -> usize;

    /// Takes the codes of the next frames, shape [books, frames], and appends the samples that can be decoded. On an error, the
    /// samples decoded before it are appended.
    fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()>;

    /// Appends the remaining samples at the end of the codes.
    fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()>;
}

/// A codec of a package; its graphs are loaded on first use.
pub(crate) struct PackageCodec {
    name: String,
    config: CodecConfig,
    loader: Arc<GraphLoader>,
    encoder: OnceLock<CodecEncoder>,
    decoder: OnceLock<Decoder>,
}

/// The loaded decoder graph of a codec.
enum Decoder {
    Windowed { decoder: Arc<WindowDecoder>, context_frames: usize },
    Causal { decoder: Arc<CausalDecoder> },
}

impl PackageCodec {
    pub(crate) fn new(name: &str, config: &CodecConfig, loader: &Arc<GraphLoader>) -> Self {
        let name = name.to_owned();
        let config = config.clone();
        let loader = Arc::clone(loader);
        Self { name, config, loader, encoder: OnceLock::new(), decoder: OnceLock::new() }
    }

    /// Encodes `sound` to codes, shape [books, frames].
    ///
    /// # Errors
    /// The codec has no encoder, or `sound` cannot be encoded.
    pub(crate) fn encode(&self, sound: &Waveform) -> Result<Codes> {
        match self.encoder()? {
            Some(encoder) => encoder.encode(sound),
            None => {
                let what = format!("the codec {:?} of this package has no encoder: it only decodes", self.name);
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Decodes `codes`, shape [books, frames], of a whole clip, with at most `memory` bytes of decoder state.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another number of books, or a code outside the codebook. [`ErrorKind::Limit`] for a
    /// clip that is too long for a causal decoder.
    pub(crate) fn decode(&self, codes: &Codes, memory: u64) -> Result<Waveform> {
        check_codes(&self.config, codes)?;
        let mut clip = self.clip(Pace::Whole, memory)?;
        let mut samples = Vec::new();
        clip.push(codes, &mut samples)?;
        clip.finish(&mut samples)?;
        Waveform::mono(samples, self.config.sampling_rate)
    }

    /// Loads the graphs that are not loaded yet.
    pub(crate) fn load_all(&self) -> Result<()> {
        self.encoder()?;
        self.decoder().map(drop)
    }

    fn encoder(&self) -> Result<Option<&CodecEncoder>> {
        let Some(graph) = &self.config.encoder else { return Ok(None) };
        load_once(&self.encoder, || CodecEncoder::load(&self.loader, graph, &self.config)).map(Some)
    }

    fn decoder(&self) -> Result<&Decoder> {
        load_once(&self.decoder, || Decoder::load(&self.loader, &self.config))
    }
}

impl Codec for PackageCodec {
    fn format(&self) -> Format {
        let CodecConfig { sampling_rate, hop_length, most_frames, .. } = self.config;
        Format { sample_rate: sampling_rate, hop_length, most_frames }
    }

    fn clip(&self, pace: Pace, memory: u64) -> Result<Box<dyn ClipDecoder>> {
        let clip = self.decoder()?.clip(&self.config, pace, memory);
        Ok(match self.config.most_frames {
            Some(max) => Box::new(ShortenedClip::new(clip, max)),
            None => clip,
        })
    }

    fn decodes_beside_steps(&self) -> bool {
        self.loader.runs_graphs_beside()
    }
}

impl Decoder {
    fn load(loader: &Arc<GraphLoader>, config: &CodecConfig) -> Result<Self> {
        Ok(match config.decoding {
            DecodingConfig::Windowed { context_frames, indexed } => {
                let decoder = Arc::new(WindowDecoder::load(loader, config, context_frames, indexed)?);
                Self::Windowed { decoder, context_frames }
            }
            DecodingConfig::Causal { chunk, lookahead, max_frames, state } => {
                let sizes = CausalSizes { chunk, lookahead, max_frames, at_once: usize::MAX };
                Self::Causal { decoder: Arc::new(CausalDecoder::load(loader, config, sizes, state)?) }
            }
        })
    }

    fn clip(&self, config: &CodecConfig, pace: Pace, memory: u64) -> Box<dyn ClipDecoder> {
        match self {
            Self::Windowed { decoder, context_frames } => {
                let CodecConfig { hop_length, books, .. } = *config;
                Box::new(WindowedClip::new(Arc::clone(decoder), *context_frames, hop_length, books, pace))
            }
            Self::Causal { decoder } => Box::new(CausalClip::new(Arc::clone(decoder), decoder.begin(memory), pace)),
        }
    }
}

/// Checks the number of books, and that all codes are within the codebook.
fn check_codes(config: &CodecConfig, codes: &Codes) -> Result<()> {
    if codes.nrows() != config.books {
        let what = format!("codes of {}; this codec has {}", counted(codes.nrows(), "book"), config.books);
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    let size = config.codebook_size;
    match codes.indexed_iter().find(|(_, code)| **code as usize >= size) {
        None => Ok(()),
        Some(((book, frame), code)) => {
            let what = format!("code {code} in book {book}, frame {frame}; expected 0..{size}");
            Err(Error::new(ErrorKind::Invalid, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pace;

    /// Returns any pace.
    pub(super) fn any_pace() -> impl Strategy<Value = Pace> {
        prop_oneof![Just(Pace::Streamed), Just(Pace::Generated), Just(Pace::Whole)]
    }
}
