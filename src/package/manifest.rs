//! The schema of a package's manifest (`onnx/README.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::ReasoningConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::{Choice, Template};
use crate::token::{Interval, Layout, LayoutConfig, Vocabulary};

/// The newest schema that this version reads.
pub const SCHEMA: u32 = 2;

/// The name, among variants, of the forms for the CPU of processors with VNNI, which multiply 8-bit integers fast and without
/// saturating sums.
pub const CPU_VNNI: &str = "cpu_vnni";

/// The name of the form of the graph `llm` for long prompts, which has the same inputs, outputs and cache.
pub const PREFILL: &str = "prefill";

/// The manifest: the description of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Manifest {
    /// Version of the manifest's schema.
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// The model's family, for readers alone: the runtime does not use it.
    #[serde(default)]
    pub family: String,
    /// SHA-256 sums of earlier manifests of the same weights, whose records this package accepts.
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
    /// True if the training run was not finished.
    #[serde(default)]
    pub half_trained: bool,
    /// The space of token ids.
    pub tokens: Vocabulary,
    /// The ids of the columns of each head graph, in order.
    pub heads: BTreeMap<String, Vec<Interval>>,
    /// The modalities that the model can produce.
    pub modalities: BTreeMap<Modality, ModalityConfig>,
    /// The modalities that the model has and the package lacks, each with the reason, for readers alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<Modality, String>,
    /// The text and ids around messages and segments.
    pub template: Template,
    /// The instructions that the program gives on the user's behalf.
    #[serde(default)]
    pub prompts: Prompts,
    /// Settings of text for a purpose, where they differ from those of the modality.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Purpose, SegmentConfig>,
    /// The modes in which the model reasons in sound, if it was trained to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningConfig>,
    /// The words that a small model knows; empty for a large model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_words: Vec<String>,
    /// The languages in which the model understands and speaks words (ISO 639-1 codes).
    #[serde(default = "english", skip_serializing_if = "is_english")]
    pub languages: Vec<String>,
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
    /// For each provider (`cuda` …), the files of the graphs that have a variant for the provider. The entry [`CPU_VNNI`] has the
    /// forms for the CPU of processors with VNNI, and may have [`PREFILL`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, BTreeMap<String, String>>,
    /// Size and checksum of every file except the manifest.
    pub files: BTreeMap<String, FileSum>,
}

impl Manifest {
    /// Returns whether the prompt determines the modality of the reply, so that a reply has one segment and chains are by prompt.
    pub fn is_by_prompt(&self) -> bool {
        self.template.choice == Choice::ByPrompt
    }

    /// Returns the file of the graph `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the package lacks the graph.
    pub fn graph(&self, name: &str) -> Result<&str> {
        let missing = || Error::new(ErrorKind::Package, format!("the package {:?} has no graph {name:?}", self.name));
        self.graphs.get(name).map(String::as_str).ok_or_else(missing)
    }

    /// Returns the file of the variant of the graph `name` for `provider`, if the package has one.
    pub fn variant(&self, provider: &str, name: &str) -> Option<&str> {
        self.variants.get(provider)?.get(name).map(String::as_str)
    }

    /// Returns the file of the form of the graph `name`, or of [`PREFILL`], for processors with VNNI, if the package has one.
    pub fn vnni_form(&self, name: &str) -> Option<&str> {
        self.variant(CPU_VNNI, name)
    }

    /// Returns the name and file of every graph, variants included.
    pub(crate) fn graph_files(&self) -> impl Iterator<Item = (&String, &String)> {
        self.graphs.iter().chain(self.variants.values().flatten())
    }

    /// Returns the layout of the segments of a modality with `config`.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the layout does not fit the vocabulary or the head.
    pub(crate) fn layout(&self, config: &ModalityConfig) -> Result<Layout> {
        let head = self.heads.get(&config.head).map(Vec::as_slice).unwrap_or_default();
        Layout::new(&config.layout, &self.tokens, head)
    }

    /// Returns the codec of `modality`, with its name.
    pub fn codec(&self, modality: Modality) -> Option<(&str, &CodecConfig)> {
        let name = self.modalities.get(&modality)?.codec.as_deref()?;
        self.codecs.get(name).map(|codec| (name, codec))
    }

    /// Returns the enhancer of `modality`, with its name.
    pub fn enhancer(&self, modality: Modality) -> Option<(&str, &EnhancerConfig)> {
        let name = self.modalities.get(&modality)?.enhancer.as_deref()?;
        self.enhancers.get(name).map(|enhancer| (name, enhancer))
    }
}

/// A modality that the model can produce.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ModalityConfig {
    /// The layout of its segments.
    #[serde(flatten)]
    pub layout: LayoutConfig,
    /// The head graph from whose logits the ids are drawn.
    pub head: String,
    /// The codec of the codes; `None` for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The enhancer of the decoded sound, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhancer: Option<String>,
    /// The default settings.
    #[serde(default)]
    pub generation: SegmentConfig,
}

/// Instructions that the program gives on the user's behalf.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Prompts {
    /// The default question.
    pub ask: String,
    /// The instruction to transcribe speech.
    pub transcribe: String,
    /// The sentences that the model puts around a transcript, in the order in which they are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transcript: Vec<Frame>,
    /// The instruction to translate speech into English; empty for a model that does not translate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub translate: String,
}

fn english() -> Vec<String> {
    vec!["en".to_owned()]
}

fn is_english(languages: &[String]) -> bool {
    languages == ["en"]
}

impl Default for Prompts {
    fn default() -> Self {
        let [ask, transcribe] = ["Describe the audio.", "Transcribe the speech."].map(str::to_owned);
        Self { ask, transcribe, transcript: Vec::new(), translate: String::new() }
    }
}

/// A sentence around a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Frame {
    /// The words before the text.
    pub before: String,
    /// The words after it.
    pub after: String,
}

impl Frame {
    /// Returns the text within the frame, from the first `before` to the last `after`; `None` if `text` has no such frame.
    pub(crate) fn content<'t>(&self, text: &'t str) -> Option<&'t str> {
        let (_, rest) = text.split_once(&*self.before)?;
        rest.rsplit_once(&*self.after).map(|(content, _)| content)
    }
}

/// The purpose of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Purpose {
    /// An answer to a question about sound.
    Ask,
    /// A transcript.
    Transcribe,
    /// An answer in a spoken conversation.
    Converse,
}

/// Sizes of the language model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LanguageModelConfig {
    /// Size of a hidden state.
    pub hidden_size: usize,
    /// The maximum number of positions of a sequence.
    pub max_positions: usize,
    /// The parts of the state of a sequence.
    pub state: Vec<StateConfig>,
}

/// A part of the state of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StateConfig {
    /// Keys and values of attention layers (`past_key_values.N.key` …), which grow with the sequence.
    Attention(AttentionConfig),
}

/// Keys and values of attention layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A rotary position embedding on halves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RotaryConfig {
    /// Size of the model's own heads, whose halves are rotated; the rest of a head in the graph is zeros.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// True if a window is padded with silence before the mel spectrogram.
    pub pad_to_window: bool,
    /// True if a window is normalized to zero mean and unit variance.
    pub normalize: bool,
    /// True if sound whose peak is above 1 is divided by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub limit_peak: bool,
    /// The rows of features kept of a window.
    #[serde(default)]
    pub rows: FeatureRows,
}

/// The rows of features kept of a window of sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeatureRows {
    /// The rows of the signal, about 25 per second.
    #[default]
    OfSignal,
    /// All rows of every window, silence included.
    WholeWindows,
}

/// A codec: its graphs, rates and sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The maximum number of frames of a clip; later frames are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_frames: Option<usize>,
    /// The form of the decoder.
    pub decoding: DecodingConfig,
}

impl CodecConfig {
    /// Returns the number of frames per second.
    pub fn frames_per_second(&self) -> f64 {
        f64::from(self.sampling_rate) / self.hop_length as f64
    }
}

/// The form of a codec's decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodingConfig {
    /// A decoder of any window of frames, which is exact except for `context_frames` on each side.
    Windowed {
        /// Number of frames on each side that the samples of a frame depend on.
        context_frames: usize,
        /// True if the graph takes the index of its first frame.
        #[serde(default)]
        indexed: bool,
    },
    /// A decoder of one book, whose samples depend on all earlier frames, through its state, and on a few later frames.
    Causal {
        /// Frames of the first chunk when sound is decoded during its generation.
        chunk: usize,
        /// Number of later frames that the samples of a frame depend on.
        lookahead: usize,
        /// The maximum number of frames of a clip that the graph can decode.
        max_frames: usize,
        /// The keys and values that the graph keeps.
        state: CausalState,
    },
}

/// The sizes of the keys and values that a causal decoder keeps of the frames of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CausalState {
    /// Number of layers.
    pub layers: usize,
    /// Key/value heads.
    pub heads: usize,
    /// Size of a head in the graph and its cache.
    pub head_size: usize,
}

/// The output of an enhancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// The longest sound that is encoded, in seconds.
    pub input_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { input_seconds: 600.0 }
    }
}

/// The size and checksum of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

#[cfg(any(test, feature = "internal"))]
impl FileSum {
    /// Creates an entry for a file that is never read.
    pub(crate) fn unread(size: u64) -> Self {
        Self { size, sha256: String::new() }
    }
}
