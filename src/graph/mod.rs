//! The graphs of a package behind narrow typed wrappers: the only users of ONNX Runtime's sessions.
//!
//! The generation loop sees them through two object-safe traits, [`LanguageModel`] and [`AudioDecoder`].

mod audio_encoder;
mod batch;
mod binding;
mod body;
mod clock;
mod codec;
mod decoder_graphs;
mod embedding;
mod enhancer;
mod head;
mod key_value_cache;
mod language_model;
mod session;

use std::ops::Range;

pub use audio_encoder::AudioEncoder;
pub use batch::Batch;
pub use clock::GraphTime;
pub use codec::{CodecDecoder, CodecEncoder};
pub use decoder_graphs::DecoderGraphs;
pub use enhancer::Enhancer;
pub use language_model::Decoder;
pub use session::{GraphLoader, Placements};

use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::FeatureSlot;
use crate::token::{Codes, Frames, TokenId};

/// Which rows of the output matrix to multiply with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Special and text ids: column = id.
    Text,
    /// The stream blocks in order, then eos, then eot.
    Audio,
}

impl Head {
    /// The graph's name.
    pub fn graph(self) -> &'static str {
        match self {
            Self::Text => "text_head",
            Self::Audio => "audio_head",
        }
    }
}

/// A language model and its cache: one sequence that grows, with a second, unconditional one beside it under guidance.
///
/// `Send`, so that a generation may be carried on by another thread.
pub trait LanguageModel: Send {
    /// Positions in the cache.
    fn position(&self) -> usize;

    /// The most positions the model can hold.
    fn max_positions(&self) -> usize;

    /// Makes room for `positions` in all, so that steps up to there allocate nothing.
    fn reserve(&mut self, positions: usize) -> Result<()>;

    /// Forgets everything after `position`.
    fn rewind(&mut self, position: usize);

    /// Another sequence that begins with the first `position` positions of this one.
    fn fork(&mut self, position: usize) -> Result<Box<dyn LanguageModel>>;

    /// Appends `frames`, the embeddings in `features`' slots replaced; not under guidance.
    ///
    /// Looks at `cancel` between chunks; on any error the position is what it was.
    fn prefill(&mut self, frames: &Frames, features: &[FeatureSlot], cancel: &Cancel) -> Result<()>;

    /// Appends one frame, to both sequences under guidance.
    fn step(&mut self, frame: &[TokenId]) -> Result<()>;

    /// Starts the unconditional sequence: as many pad frames as there are positions.
    fn begin_guidance(&mut self) -> Result<()>;

    /// Drops the unconditional sequence.
    fn end_guidance(&mut self) -> Result<()>;

    /// Logits at the last position: one row, or two under guidance, the conditional one first.
    fn logits(&mut self, head: Head) -> Result<&mut [f32]>;
}

/// A codec's decoder, shared by the generations of all threads.
pub trait AudioDecoder: Sync {
    /// Samples a second.
    fn sample_rate(&self) -> u32;

    /// Samples of one frame.
    fn hop_length(&self) -> usize;

    /// How many frames on each side a frame's samples depend on.
    fn context_frames(&self) -> usize;

    /// Decodes `codes` [S, F], whose first frame has the number `first_frame` in its clip, to F × hop samples.
    fn decode(&self, codes: &Codes, first_frame: usize) -> Result<Vec<f32>>;
}

/// The same sound, if all its samples are finite.
fn finite(sound: &Waveform) -> Result<&Waveform> {
    for (channel, samples) in sound.channels().iter().enumerate() {
        if let Some((at, sample)) = samples.iter().enumerate().find(|(_, sample)| !sample.is_finite()) {
            let what = format!("sample {at} of channel {channel} is {sample}; expected finite numbers");
            return Err(Error::new(ErrorKind::Audio, what));
        }
    }
    Ok(sound)
}

/// Refuses `values`, rows of `columns`, that hold NaN or an infinity: what `graph` gave as `what`.
fn check_finite(graph: &str, what: &str, values: &[f32], columns: usize) -> Result<()> {
    // without an early end, so that it is done many values at a time
    if !values.iter().fold(false, |wrong, value| wrong | !value.is_finite()) {
        return Ok(());
    }
    let found = values.iter().enumerate().find(|(_, value)| !value.is_finite());
    let (at, value) = found.unwrap_or((0, &f32::NAN));
    let (row, column) = (at / columns.max(1), at % columns.max(1));
    let what = format!("{graph}: {what} {row}, {column} is {value}; expected finite numbers");
    Err(Error::new(ErrorKind::Numeric, what))
}

/// The frames that must be decoded so that `range` of a clip of `len` frames comes out as in one piece.
pub fn with_context(range: &Range<usize>, context: usize, len: usize) -> Range<usize> {
    range.start.saturating_sub(context)..(range.end + context).min(len)
}
