//! A model package: its manifest, its files, and whether they are what the manifest says (`onnx/README.md`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::modality::{Modality, SegmentConfig};
use crate::onnx;
use crate::package_files::{PackageFiles, hexadecimal};
use crate::reason::ReasoningConfig;
use crate::token::{TokenId, Vocabulary};

/// The newest manifest that this program understands.
pub const SCHEMA: u32 = 1;

/// Files up to this size are summed whenever a package is opened; larger ones only by [`Package::verify`].
const ALWAYS_SUMMED: u64 = 64 << 20;

/// The largest manifest that is read, in bytes.
const MOST_MANIFEST: u64 = 16 << 20;

/// What a package says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest's form.
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// What wrote the package.
    #[serde(default)]
    pub producer: String,
    /// Precision of the language model's body: fp32, fp16, int8 or int4.
    pub precision: String,
    /// Licence of the weights.
    #[serde(default)]
    pub license: String,
    /// Where the weights come from.
    #[serde(default)]
    pub origin: String,
    /// Whose work the weights were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// Whether the training run was not finished.
    #[serde(default)]
    pub half_trained: bool,
    /// Layout of the token ids.
    pub vocabulary: Vocabulary,
    /// The modalities that the model can produce.
    pub modalities: BTreeMap<Modality, ModalityConfig>,
    /// What is said on the user's behalf.
    #[serde(default)]
    pub prompts: Prompts,
    /// How the model reasons in sound, if it was trained to.
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
    /// The codec, if the model makes sound.
    #[serde(default)]
    pub codec: Option<CodecConfig>,
    /// The enhancer after the codec, if there is one.
    #[serde(default)]
    pub enhancer: Option<EnhancerConfig>,
    /// What the package refuses.
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
}

/// A modality that the model can produce.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModalityConfig {
    /// Its modality token.
    pub token: TokenId,
    /// Settings to generate it with unless the caller has others.
    #[serde(default)]
    pub generation: SegmentConfig,
}

/// What the program says on the user's behalf.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
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
pub struct LanguageModelConfig {
    /// Size of a hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads.
    pub num_key_value_heads: usize,
    /// Size of a head in the graph and its cache.
    pub head_dim: usize,
    /// Size of the model's own heads, whose halves are turned; the rest of `head_dim` is zeros.
    #[serde(default)]
    pub rotary_dim: Option<usize>,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The most positions the graph can hold.
    pub max_position_embeddings: usize,
}

/// How sound becomes the encoder's input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AudioEncoderConfig {
    /// Which tower: `af_whisper` or `qwen2_5_omni`.
    pub kind: String,
    /// Samples a second.
    pub sampling_rate: u32,
    /// Samples of an analysis frame.
    pub n_fft: usize,
    /// Samples from frame to frame.
    pub hop_length: usize,
    /// Bins of the mel spectrogram.
    pub num_mel_bins: usize,
    /// Mel frames of a chunk of the graph.
    pub chunk_frames: usize,
    /// Longer sound is cut into windows of this many seconds.
    pub window_seconds: usize,
    /// Whether a window is filled with silence before the mel.
    pub pad_to_window: bool,
    /// Whether a window is brought to zero mean and unit variance.
    pub normalize: bool,
}

/// The codec's rates and sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodecConfig {
    /// Which codec: `xcodec` or `ualm_spectral`.
    pub kind: String,
    /// Samples a second.
    pub sampling_rate: u32,
    /// Samples of a frame.
    pub hop_length: usize,
    /// Codes of a codebook.
    pub codebook_size: usize,
    /// How many frames on each side a frame's samples depend on.
    pub context_frames: usize,
    /// Whether the decoder wants the absolute number of the first frame.
    #[serde(default)]
    pub indexed: bool,
}

/// What the enhancer gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnhancerConfig {
    /// Samples a second.
    pub sampling_rate: u32,
    /// Channels.
    pub channels: usize,
}

/// What a package refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The longest sound it listens to, in seconds.
    pub input_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { input_seconds: 600.0 }
    }
}

/// Size and SHA-256 of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal digits.
    pub sha256: String,
}

/// A package whose manifest was read and whose files are there.
#[derive(Clone, Debug)]
pub struct Package {
    files: PackageFiles,
    manifest: Manifest,
    sha256: String,
}

impl Package {
    /// Opens the package in `folder`.
    ///
    /// Nothing of it has been given to ONNX Runtime then. Refuses, with an error of kind [`ErrorKind::Package`]: no or a
    /// broken manifest, a newer schema, a vocabulary, a modality or a size that makes no sense; a file that is missing,
    /// has another size or leaves the folder, by its name or by a link; any file of up to 64 MiB whose sum differs (larger
    /// files are summed by [`verify`](Self::verify)); a graph with operators of others than ONNX and ONNX Runtime, or with
    /// data in files that are not the package's.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::check(PackageFiles::Folder(folder.as_ref().to_path_buf()))
    }

    /// Opens the package whose `files` are in memory, each with its name in the folder: manifest.json, tokenizer.json,
    /// the graphs and their weights. They stay in memory as long as the package.
    ///
    /// Refuses what [`open`](Self::open) does.
    pub fn from_files<C: Into<Arc<[u8]>>>(files: impl IntoIterator<Item = (String, C)>) -> Result<Self> {
        Self::check(PackageFiles::Memory(files.into_iter().map(|(name, content)| (name, content.into())).collect()))
    }

    fn check(files: PackageFiles) -> Result<Self> {
        let (manifest, sha256) = read_manifest(&files)?;
        let package = Self { files, manifest, sha256 };
        check_manifest(&package.manifest).map_err(|e| e.context(package.files.describe("manifest.json")))?;
        package.check_files(ALWAYS_SUMMED)?;
        package.check_graphs()?;
        Ok(package)
    }

    /// The package's folder; an empty path for a package in memory.
    pub fn folder(&self) -> &Path {
        match &self.files {
            PackageFiles::Folder(folder) => folder,
            PackageFiles::Memory(_) => Path::new(""),
        }
    }

    pub(crate) fn files(&self) -> &PackageFiles {
        &self.files
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest, which holds the sums of all other files: it names the package. Lower-case hexadecimal
    /// digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.manifest.files.values().map(|file| file.size).sum()
    }

    /// Sums every file, however large.
    pub fn verify(&self) -> Result<()> {
        self.check_files(u64::MAX)
    }

    fn check_files(&self, summed: u64) -> Result<()> {
        self.manifest.files.iter().try_for_each(|(name, sum)| self.files.check(name, sum, summed))
    }

    fn check_graphs(&self) -> Result<()> {
        self.manifest.graph_files().try_for_each(|(_, file)| {
            let check = |bytes: Cow<[u8]>| onnx::check(&bytes, &self.manifest.files);
            self.files.read(file, onnx::MOST_BYTES).and_then(check).map_err(|e| e.context(self.files.describe(file)))
        })
    }
}

/// Refuses a manifest that makes no sense.
pub(crate) fn check_manifest(manifest: &Manifest) -> Result<()> {
    check_sizes(manifest)?;
    manifest.vocabulary.validate()?;
    for (modality, config) in &manifest.modalities {
        if config.token >= manifest.vocabulary.text.start {
            return refused(format!("the token {} of modality {modality} is not a special id", config.token));
        }
        if modality.is_sound() && manifest.codec.is_none() {
            return refused(format!("modality {modality} is offered, but there is no codec"));
        }
        config.generation.validate(*modality).or_else(|e| refused(e.to_string()))?;
    }
    if let Some(reasoning) = &manifest.reasoning {
        reasoning.validate()?;
    }
    check_names(manifest)
}

fn refused<T>(what: String) -> Result<T> {
    Err(Error::new(ErrorKind::Package, what))
}

/// Refuses sizes that no model has: what is computed from the others stays far from overflowing.
fn check_sizes(manifest: &Manifest) -> Result<()> {
    let model = &manifest.language_model;
    let mut sizes = vec![
        ("hidden_size", model.hidden_size, 1..=1 << 17),
        ("num_hidden_layers", model.num_hidden_layers, 1..=1 << 10),
        ("num_attention_heads", model.num_attention_heads, 1..=1 << 12),
        ("num_key_value_heads", model.num_key_value_heads, 1..=1 << 12),
        ("head_dim", model.head_dim, 2..=1 << 12),
        ("rotary_dim", model.rotary_dim.unwrap_or(2), 2..=model.head_dim),
        ("max_position_embeddings", model.max_position_embeddings, 1..=1 << 24),
        ("vocabulary size", manifest.vocabulary.size, 1..=1 << 26),
        ("streams", manifest.vocabulary.streams, 1..=1 << 10),
    ];
    if let Some(audio) = &manifest.audio_encoder {
        sizes.extend([
            ("audio_encoder sampling_rate", audio.sampling_rate as usize, MOST_RATE),
            ("n_fft", audio.n_fft, 1..=1 << 18),
            ("audio_encoder hop_length", audio.hop_length, 1..=1 << 18),
            ("num_mel_bins", audio.num_mel_bins, 1..=1 << 12),
            ("chunk_frames", audio.chunk_frames, 1..=1 << 20),
            ("window_seconds", audio.window_seconds, 1..=3600),
        ]);
    }
    if let Some(codec) = &manifest.codec {
        sizes.extend([
            ("codec sampling_rate", codec.sampling_rate as usize, MOST_RATE),
            ("codec hop_length", codec.hop_length, 1..=1 << 18),
            ("codebook_size", codec.codebook_size, 1..=manifest.vocabulary.codebook_size()),
            ("context_frames", codec.context_frames, 0..=1 << 16),
        ]);
    }
    if let Some(enhancer) = &manifest.enhancer {
        sizes.extend([
            ("enhancer sampling_rate", enhancer.sampling_rate as usize, MOST_RATE),
            ("channels", enhancer.channels, 1..=64),
        ]);
    }
    if let Some((name, size, range)) = sizes.into_iter().find(|(_, size, range)| !range.contains(size)) {
        let (least, most) = range.into_inner();
        return refused(format!("{name} is {size}, which makes no sense; expected {least} … {most}"));
    }
    let seconds = manifest.limits.input_seconds;
    if !(model.head_dim.is_multiple_of(2) && model.rope_theta.is_finite() && model.rope_theta > 0.0) {
        return refused(format!("sizes of the language model that make no sense: {model:?}"));
    }
    if !(seconds.is_finite() && seconds > 0.0) {
        return refused(format!("limits.input_seconds is {seconds}, which makes no sense; expected a number above 0"));
    }
    Ok(())
}

/// Sample rates that sound can be converted to, in hertz.
const MOST_RATE: RangeInclusive<usize> = 1..=768_000;

/// Refuses names that leave the folder, and files that are used and not summed.
fn check_names(manifest: &Manifest) -> Result<()> {
    if let Some(file) = manifest.files.keys().find(|file| !stays_inside(file)) {
        return refused(format!("the file name {file:?} leaves the folder"));
    }
    for (name, file) in manifest.graph_files() {
        if !manifest.files.contains_key(file) {
            return refused(format!("graph {name:?} is in {file:?}, which is not among the files"));
        }
        if !file.ends_with(".onnx") {
            return refused(format!("graph {name:?} is in {file:?}; expected a file .onnx"));
        }
    }
    match manifest.files.contains_key(TOKENIZER) {
        true => Ok(()),
        false => refused(format!("{TOKENIZER} is not among the files")),
    }
}

/// The tokenizer's file.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Bytes of the largest tokenizer that is read.
pub(crate) const MOST_TOKENIZER: u64 = 256 << 20;

/// The manifest and its sum.
fn read_manifest(files: &PackageFiles) -> Result<(Manifest, String)> {
    let path = files.describe("manifest.json");
    let text = files.read("manifest.json", MOST_MANIFEST).map_err(|e| {
        let what = format!("{}: no model package is here: manifest.json cannot be read", files.describe(""));
        Error::new(ErrorKind::Package, what).with_source(e)
    })?;
    let broken = |e: serde_json::Error| Error::new(ErrorKind::Package, format!("{}: not a manifest: {e}", path));
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let Versioned { schema } = serde_json::from_slice(&text).map_err(broken)?;
    if schema > SCHEMA {
        let what = format!("{}: schema {schema}, but this program knows up to {SCHEMA}: update ualm", path);
        return Err(Error::new(ErrorKind::Package, what));
    }
    let manifest = serde_json::from_slice(&text).map_err(broken)?;
    Ok((manifest, hexadecimal(&Sha256::digest(&text))))
}

/// Whether a file's name is a plain relative path.
fn stays_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}
