//! A model package: its manifest, its files, and whether they are what the manifest says (`onnx/README.md`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audio::Waveform;
use crate::modality::{Modality, SegmentConfig};
use crate::reasoning::ReasoningConfig;
use crate::token::{TokenId, Vocabulary};
use crate::{Error, ErrorKind, Result};

/// The newest manifest that this program understands.
pub const SCHEMA: u32 = 1;

/// Files up to this size are summed whenever a package is opened; larger ones only by [`Package::verify`].
const ALWAYS_SUMMED: u64 = 64 << 20;

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

impl Limits {
    /// Refuses sound that is longer than the package takes.
    pub(crate) fn check(&self, sound: &Waveform) -> Result<()> {
        let (found, most) = (sound.seconds(), self.input_seconds);
        if found > most {
            let what = format!("the audio is {found:.1} s long; this package takes at most {most:.1} s");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
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
    folder: PathBuf,
    manifest: Manifest,
    sha256: String,
}

impl Package {
    /// Opens the package in `folder`.
    ///
    /// Refuses, with an error of kind [`ErrorKind::Package`]: no or a broken manifest, a newer schema, a vocabulary or a
    /// modality that makes no sense, a file that is missing, has another size or leaves the folder, and any file of up to
    /// 64 MiB whose sum differs. Larger files are summed by [`verify`](Self::verify).
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        let (manifest, sha256) = read_manifest(&folder)?;
        let package = Self { folder, manifest, sha256 };
        package.check_manifest().map_err(|e| e.context(package.folder.join("manifest.json").display()))?;
        package.check_files(ALWAYS_SUMMED)?;
        Ok(package)
    }

    /// The package's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
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

    fn check_manifest(&self) -> Result<()> {
        let manifest = &self.manifest;
        let fail = |what: String| Err(Error::new(ErrorKind::Package, what));
        manifest.vocabulary.validate()?;
        for (modality, config) in &manifest.modalities {
            if config.token >= manifest.vocabulary.text.start {
                return fail(format!("the token {} of modality {modality} is not a special id", config.token));
            }
            if modality.is_sound() && manifest.codec.is_none() {
                return fail(format!("modality {modality} is offered, but there is no codec"));
            }
        }
        if let Some(reasoning) = &manifest.reasoning {
            reasoning.validate()?;
        }
        for (name, file) in manifest.graphs.iter().chain(manifest.variants.values().flatten()) {
            if !manifest.files.contains_key(file) {
                return fail(format!("graph {name:?} is in {file:?}, which is not among the files"));
            }
        }
        if let Some(file) = manifest.files.keys().find(|file| !stays_inside(file)) {
            return fail(format!("the file name {file:?} leaves the folder"));
        }
        let sizes = &manifest.language_model;
        let all = [sizes.hidden_size, sizes.num_hidden_layers, sizes.num_key_value_heads, sizes.head_dim];
        if all.contains(&0)
            || sizes.max_position_embeddings == 0
            || !sizes.head_dim.is_multiple_of(2)
            || sizes.rotary_dim.is_some_and(|size| size > sizes.head_dim)
        {
            return fail(format!("sizes of the language model that make no sense: {sizes:?}"));
        }
        if let Some(audio) = &manifest.audio_encoder {
            let all = [audio.n_fft, audio.hop_length, audio.num_mel_bins, audio.chunk_frames, audio.window_seconds];
            if all.contains(&0) || audio.sampling_rate == 0 {
                return fail(format!("sizes of the audio encoder that make no sense: {audio:?}"));
            }
        }
        if let Some(codec) = &manifest.codec {
            let codes = 1..=manifest.vocabulary.codebook_size();
            if codec.hop_length == 0 || codec.sampling_rate == 0 || !codes.contains(&codec.codebook_size) {
                return fail(format!("sizes of the codec that make no sense: {codec:?}"));
            }
        }
        Ok(())
    }

    fn check_files(&self, summed: u64) -> Result<()> {
        self.manifest.files.iter().try_for_each(|(name, sum)| check_file(&self.folder.join(name), sum, summed))
    }
}

/// The manifest and its sum.
fn read_manifest(folder: &Path) -> Result<(Manifest, String)> {
    let path = folder.join("manifest.json");
    let text = std::fs::read(&path).map_err(|e| {
        let what = format!("{}: no model package is here: manifest.json cannot be read", folder.display());
        Error::new(ErrorKind::Package, what).with_source(e)
    })?;
    let broken =
        |e: serde_json::Error| Error::new(ErrorKind::Package, format!("{}: not a manifest: {e}", path.display()));
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let Versioned { schema } = serde_json::from_slice(&text).map_err(broken)?;
    if schema > SCHEMA {
        let what = format!("{}: schema {schema}, but this program knows up to {SCHEMA}: update ualm", path.display());
        return Err(Error::new(ErrorKind::Package, what));
    }
    let manifest = serde_json::from_slice(&text).map_err(broken)?;
    Ok((manifest, hexadecimal(&Sha256::digest(&text))))
}

/// Whether a file's name is a plain relative path.
fn stays_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

fn check_file(path: &Path, sum: &FileSum, summed: u64) -> Result<()> {
    let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("{}: {what}", path.display())));
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) => return fail(format!("a file of the package is missing: {e}")),
    };
    if size != sum.size {
        return fail(format!("{size} bytes; the manifest says {}", sum.size));
    }
    if size > summed {
        return Ok(());
    }
    let found = sha256(path)?;
    if found != sum.sha256.to_lowercase() {
        return fail(format!("damaged: its SHA-256 is {found}; the manifest says {}", sum.sha256));
    }
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let failed = |e| Error::new(ErrorKind::Io, format!("{}: cannot be read", path.display())).with_source(e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
