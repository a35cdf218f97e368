//! The manifest of a package: its form, as the exporter writes it (`onnx/README.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::ReasoningConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::Template;
use crate::token::{Interval, LayoutConfig, Vocabulary};

/// The newest schema that this version reads.
pub const SCHEMA: u32 = 2;

/// The description of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Version of the manifest's form.
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// The model's family, for people: the runtime never asks for it.
    #[serde(default)]
    pub family: String,
    /// SHA-256 sums of earlier manifests of the same weights: records made with them still run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formerly: Vec<String>,
    /// The program that wrote the package.
    #[serde(default)]
    pub producer: String,
    /// Precision of the language model's body: fp32, fp16, int8 or int4.
    pub precision: String,
    /// Licence of the weights.
    #[serde(default)]
    pub license: String,
    /// Source of the weights.
    #[serde(default)]
    pub origin: String,
    /// Authors of the data that the weights were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// Whether the training run was not finished.
    #[serde(default)]
    pub half_trained: bool,
    /// The space of token ids.
    pub tokens: Vocabulary,
    /// By head graph, the ids of its columns, in order.
    pub heads: BTreeMap<String, Vec<Interval>>,
    /// The modalities that the model can produce.
    pub modalities: BTreeMap<Modality, ModalityConfig>,
    /// The words and ids around messages and segments.
    pub template: Template,
    /// Words that the program says on the user's behalf.
    #[serde(default)]
    pub prompts: Prompts,
    /// The ways in which the model reasons in sound, if it was trained to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningConfig>,
    /// The words of a small model's small world; empty for a large one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_words: Vec<String>,
    /// Sizes of the language model.
    pub language_model: LanguageModelConfig,
    /// The audio encoder, if the model hears.
    #[serde(default)]
    pub audio_encoder: Option<AudioEncoderConfig>,
    /// The codecs, by name.
    #[serde(default)]
    pub codecs: BTreeMap<String, CodecConfig>,
    /// The enhancers after a codec, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub enhancers: BTreeMap<String, EnhancerConfig>,
    /// Limits on input.
    #[serde(default)]
    pub limits: Limits,
    /// File of every graph.
    pub graphs: BTreeMap<String, String>,
    /// By provider (`cuda` …), the files of the graphs that it has in another form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, BTreeMap<String, String>>,
    /// Size and sum of every file but the manifest.
    pub files: BTreeMap<String, FileSum>,
}

impl Manifest {
    /// The file of the graph `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the package lacks it.
    pub fn graph(&self, name: &str) -> Result<&str> {
        let missing = || Error::new(ErrorKind::Package, format!("the package {:?} has no graph {name:?}", self.name));
        self.graphs.get(name).map(String::as_str).ok_or_else(missing)
    }

    /// The file of the graph `name` in its form for `provider`, if there is one.
    pub fn variant(&self, provider: &str, name: &str) -> Option<&str> {
        self.variants.get(provider)?.get(name).map(String::as_str)
    }

    /// Name and file of every graph, those of all variants included.
    pub(crate) fn graph_files(&self) -> impl Iterator<Item = (&String, &String)> {
        self.graphs.iter().chain(self.variants.values().flatten())
    }

    /// The codec of `modality`, with its name.
    pub fn codec(&self, modality: Modality) -> Option<(&str, &CodecConfig)> {
        let name = self.modalities.get(&modality)?.codec.as_deref()?;
        self.codecs.get(name).map(|codec| (name, codec))
    }

    /// The enhancer of `modality`, with its name.
    pub fn enhancer(&self, modality: Modality) -> Option<(&str, &EnhancerConfig)> {
        let name = self.modalities.get(&modality)?.enhancer.as_deref()?;
        self.enhancers.get(name).map(|enhancer| (name, enhancer))
    }
}

/// A modality that the model can produce.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModalityConfig {
    /// The layout of its segments.
    #[serde(flatten)]
    pub layout: LayoutConfig,
    /// The head graph that its ids are drawn from.
    pub head: String,
    /// The codec that its codes are of; none for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The enhancer that its sound goes through, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhancer: Option<String>,
    /// Settings to generate it with unless the caller has others.
    #[serde(default)]
    pub generation: SegmentConfig,
}

/// Words that the program says on the user's behalf.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Prompts {
    /// The question when none is given.
    pub ask: String,
    /// The instruction to write down speech.
    pub transcribe: String,
}

impl Default for Prompts {
    fn default() -> Self {
        Self { ask: "Describe the audio.".into(), transcribe: "Transcribe the speech.".into() }
    }
}

/// Sizes of the language model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LanguageModelConfig {
    /// Size of a hidden state.
    pub hidden_size: usize,
    /// The most positions that the graph can hold.
    pub max_positions: usize,
    /// The state that the graph keeps of a sequence.
    pub state: Vec<StateConfig>,
}

/// A part of the state of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StateConfig {
    /// Keys and values of attention layers, in `past_key_values.N.key` and so on, which grow with the sequence.
    Attention(AttentionConfig),
}

/// Keys and values of attention layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttentionConfig {
    /// Number of layers.
    pub layers: usize,
    /// Key/value heads.
    pub heads: usize,
    /// Size of a head in the graph and its cache.
    pub head_size: usize,
    /// The rotary position embedding of the keys.
    pub rotary: RotaryConfig,
}

/// A rotary position embedding whose halves are turned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RotaryConfig {
    /// Size of the model's own heads, whose halves are turned; the rest of a head is zeros.
    pub size: usize,
    /// Base of the frequencies.
    pub theta: f64,
}

impl AttentionConfig {
    pub(crate) fn new(layers: usize, heads: usize, head_size: usize, rotary: RotaryConfig) -> Self {
        Self { layers, heads, head_size, rotary }
    }
}

impl RotaryConfig {
    pub(crate) fn new(size: usize, theta: f64) -> Self {
        Self { size, theta }
    }
}

impl LanguageModelConfig {
    pub(crate) fn new(hidden_size: usize, max_positions: usize, state: Vec<StateConfig>) -> Self {
        Self { hidden_size, max_positions, state }
    }
}

/// The front end and the chunks of the audio encoder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AudioEncoderConfig {
    /// The tower: `af_whisper` or `qwen2_5_omni`.
    pub kind: String,
    /// Samples a second.
    pub sampling_rate: u32,
    /// Samples of an analysis frame.
    pub n_fft: usize,
    /// Samples from one analysis frame to the next.
    pub hop_length: usize,
    /// Bins of the mel spectrogram.
    pub num_mel_bins: usize,
    /// Mel frames of a chunk of the graph.
    pub chunk_frames: usize,
    /// Length of a window in seconds; longer sound is cut into windows.
    pub window_seconds: usize,
    /// Whether a window is filled with silence before the mel.
    pub pad_to_window: bool,
    /// Whether a window is brought to zero mean and unit variance.
    pub normalize: bool,
    /// The rows of features that a window gives.
    #[serde(default)]
    pub rows: FeatureRows,
}

/// The rows of features that a window of sound gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeatureRows {
    /// Those of the signal, about 25 a second.
    #[default]
    OfSignal,
    /// All rows of every window, silence included.
    WholeWindows,
}

/// A codec: its graphs, rates and sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CodecConfig {
    /// The graph that encodes, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// The graph that decodes.
    pub decoder: String,
    /// Samples a second.
    pub sampling_rate: u32,
    /// Samples of a frame.
    pub hop_length: usize,
    /// Codebooks.
    pub books: usize,
    /// Codes of a codebook.
    pub codebook_size: usize,
    /// The form of the decoder.
    pub decoding: DecodingConfig,
}

impl CodecConfig {
    /// Frames of a second.
    pub fn frames_per_second(&self) -> f64 {
        f64::from(self.sampling_rate) / self.hop_length as f64
    }
}

/// The form of a codec's decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodingConfig {
    /// Any window of frames can be decoded on its own, but for `context_frames` on each side.
    Windowed {
        /// Frames on each side that the samples of a frame depend on.
        context_frames: usize,
        /// Whether the graph is told the number of its first frame.
        #[serde(default)]
        indexed: bool,
    },
}

/// The output of an enhancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EnhancerConfig {
    /// The graph.
    pub graph: String,
    /// Samples a second.
    pub sampling_rate: u32,
    /// Channels.
    pub channels: usize,
}

/// Limits of a package on its input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// The longest sound that it listens to, in seconds.
    pub input_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { input_seconds: 600.0 }
    }
}

/// Size and SHA-256 of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal digits.
    pub sha256: String,
}

#[cfg(any(test, feature = "internal"))]
impl FileSum {
    /// The sum of a file that nothing reads.
    pub(crate) fn unread(size: u64) -> Self {
        Self { size, sha256: String::new() }
    }
}
