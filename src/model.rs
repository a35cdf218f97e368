//! A loaded model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ndarray::Array2;

use crate::audio::{DecodeOptions, Waveform};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{GenerationConfig, Parts, Segment};
use crate::graph::{
    AudioDecoder, AudioEncoder, CodecDecoder, CodecEncoder, Decoder, DecoderGraphs, Enhancer, GraphLoader, GraphTime,
    LanguageModel, Placements,
};
use crate::limits::{Limits, check_seconds};
use crate::modality::{Modality, SegmentConfig};
use crate::package::{MOST_TOKENIZER, Manifest, Package, TOKENIZER};
use crate::prompt::{Ears, Message, Prompt};
use crate::provider::ProviderReport;
use crate::runtime::{Placing, Runtime, RuntimeOptions};
use crate::session::Session;
use crate::text::TextTokenizer;
use crate::token::{Codes, Frames, TokenId};

/// The most segments of a reply unless the caller says otherwise.
const MAX_SEGMENTS: usize = 8;

/// A loaded model: immutable, shared between threads, cheap to clone.
///
/// The language model is loaded at once; the audio encoder, the codec and the enhancer when they are first used.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    limits: Limits,
}

struct Inner {
    runtime: &'static Runtime,
    options: RuntimeOptions,
    placing: Placing,
    placements: Placements,
    package: Package,
    tokenizer: TextTokenizer,
    decoder: Arc<DecoderGraphs>,
    modalities: BTreeMap<Modality, TokenId>,
    audio_encoder: OnceLock<AudioEncoder>,
    codec_encoder: OnceLock<CodecEncoder>,
    codec_decoder: OnceLock<CodecDecoder>,
    enhancer: OnceLock<Enhancer>,
}

impl Model {
    /// Loads the package in `folder`, with ONNX Runtime as it is found by default.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(folder, &RuntimeOptions::default())
    }

    /// Loads the package in `folder` with ONNX Runtime started as `options` say.
    ///
    /// Errors: the library is missing or too old; a provider that was asked for cannot serve a graph; the package is damaged, incomplete, newer than this program, or one of
    /// its graphs does not keep the contract.
    pub fn load_with(folder: impl AsRef<Path>, options: &RuntimeOptions) -> Result<Self> {
        Self::from_package(Package::open(folder)?, options)
    }

    /// Loads `package`, which may be in memory, with ONNX Runtime started as `options` say.
    ///
    /// Errors: the library is missing or too old; one of the graphs does not keep the contract.
    pub fn from_package(package: Package, options: &RuntimeOptions) -> Result<Self> {
        let runtime = Runtime::start(options)?;
        let (placing, placements) = (Placing::new(options)?, Placements::default());
        let manifest = package.manifest();
        let loader = GraphLoader::new(runtime, &package, &placing, &placements);
        let decoder = Arc::new(DecoderGraphs::load(&loader, manifest)?);
        let tokenizer = read_tokenizer(&package)?;
        let modalities = manifest.modalities.iter().map(|(modality, config)| (*modality, config.token)).collect();
        let inner = Inner {
            runtime,
            options: options.clone(),
            placing,
            placements,
            tokenizer,
            decoder,
            modalities,
            package,
            audio_encoder: OnceLock::new(),
            codec_encoder: OnceLock::new(),
            codec_decoder: OnceLock::new(),
            enhancer: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner), limits: Limits::default() })
    }

    /// The same model with other limits; what is loaded is shared.
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { inner: Arc::clone(&self.inner), limits }
    }

    /// What it refuses.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How recordings are decoded so that they stay within the limits: at their own rate.
    pub fn decode_options(&self) -> DecodeOptions {
        let (max_seconds, max_bytes) = (Some(self.input_seconds()), Some(self.limits.decoded_bytes));
        DecodeOptions { sample_rate: None, max_seconds, max_bytes }
    }

    fn input_seconds(&self) -> f64 {
        self.limits.input_seconds.unwrap_or(self.manifest().limits.input_seconds)
    }

    /// The package that was loaded.
    pub fn package(&self) -> &Package {
        &self.inner.package
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.inner.package.manifest()
    }

    /// The ONNX Runtime that it runs on.
    pub fn runtime(&self) -> &'static Runtime {
        self.inner.runtime
    }

    /// Which providers were asked for, what came of them, and where the graphs run that are loaded by now.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `UALM_PROVIDER` was changed to something that makes no sense.
    pub fn provider_report(&self) -> Result<ProviderReport> {
        let report = self.inner.runtime.provider_report(&self.inner.options)?;
        Ok(ProviderReport { graphs: self.inner.placements.all(), ..report })
    }

    /// How often and how long each graph that is loaded by now has run, by its name.
    pub fn graph_times(&self) -> BTreeMap<String, GraphTime> {
        self.inner.placements.times()
    }

    /// The package's defaults for generation, with seed 0.
    pub fn config(&self) -> GenerationConfig {
        let defaults = |modality| {
            self.manifest().modalities.get(&modality).map_or_else(SegmentConfig::default, |config| config.generation)
        };
        GenerationConfig {
            seed: 0,
            text: defaults(Modality::Text),
            audio: defaults(Modality::Audio),
            speech: defaults(Modality::Speech),
            force: Vec::new(),
            max_segments: MAX_SEGMENTS,
            insist: false,
            stream_audio: false,
        }
    }

    /// A new conversation.
    pub fn session(&self) -> Session {
        Session::new(self.clone(), Box::new(Decoder::new(Arc::clone(&self.inner.decoder), &self.limits)))
    }

    /// The graphs of the language model.
    pub(crate) fn decoder(&self) -> &Arc<DecoderGraphs> {
        &self.inner.decoder
    }

    /// What a generation on `language_model` works with.
    pub(crate) fn parts<'a>(
        &'a self,
        language_model: &'a mut dyn LanguageModel,
        tail: &'a mut Frames,
    ) -> Result<Parts<'a>> {
        let audio_decoder = match self.manifest().codec {
            Some(_) => Some(self.codec_decoder()? as &dyn AudioDecoder),
            None => None,
        };
        Ok(Parts {
            language_model,
            audio_decoder,
            tail,
            tokenizer: &self.inner.tokenizer,
            vocabulary: &self.manifest().vocabulary,
            modalities: &self.inner.modalities,
            limits: &self.limits,
        })
    }

    /// Frames of a text segment that says `text`, without a closing one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the text cannot be tokenized.
    pub fn text_frames(&self, text: &str) -> Result<Frames> {
        let mut frames = Frames::new(self.manifest().vocabulary.streams);
        self.inner.tokenizer.encode(text)?.into_iter().for_each(|id| frames.push_single(id));
        Ok(frames)
    }

    /// The prompt of a new conversation that begins with `messages`: sound is encoded, text tokenized.
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.prompt_until(messages, &Cancel::new())
    }

    /// [`prompt`](Self::prompt), which `cancel` stops between two windows of a recording.
    pub fn prompt_until(&self, messages: &[Message], cancel: &Cancel) -> Result<Prompt> {
        self.lay_out(messages, true, cancel)
    }

    pub(crate) fn lay_out(&self, messages: &[Message], begins: bool, cancel: &Cancel) -> Result<Prompt> {
        let vocabulary = &self.manifest().vocabulary;
        Prompt::new(messages, begins, vocabulary, &self.inner.tokenizer, &Listening { model: self, cancel })
    }

    /// What the language model hears in `sound`: features [frames, hidden size], about 25 a second.
    pub fn audio_features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        self.listen_to(sound, &Cancel::new())
    }

    fn listen_to(&self, sound: &Waveform, cancel: &Cancel) -> Result<Array2<f32>> {
        check_seconds(sound, self.input_seconds())?;
        let encoder = load_once(&self.inner.audio_encoder, || {
            let config =
                self.manifest().audio_encoder.as_ref().ok_or_else(|| self.lacks("audio encoder: it cannot listen"))?;
            AudioEncoder::load(&self.loader(), self.manifest(), config)
        })?;
        encoder.encode(sound, cancel)
    }

    /// Embeddings of a prompt, [frames, hidden size] flattened, the features in their places.
    pub fn prompt_embeddings(&self, prompt: &Prompt) -> Result<Vec<f32>> {
        self.inner.decoder.embed(&prompt.frames, &prompt.features)
    }

    /// Codec codes of `sound`, shape [streams, frames].
    pub fn encode_codes(&self, sound: &Waveform) -> Result<Codes> {
        check_seconds(sound, self.input_seconds())?;
        let encoder = load_once(&self.inner.codec_encoder, || {
            let config = self.manifest().codec.as_ref().ok_or_else(|| self.lacks("codec"))?;
            CodecEncoder::load(&self.loader(), self.manifest(), config)
        })?;
        encoder.encode(sound)
    }

    /// The sound of codec codes, shape [streams, frames].
    pub fn decode_codes(&self, codes: &Codes) -> Result<Waveform> {
        self.codec_decoder()?.decode_clip(codes)
    }

    /// The sound after the package's enhancer; `None` when it has none.
    pub fn enhance(&self, sound: &Waveform) -> Result<Option<Waveform>> {
        let Some(config) = &self.manifest().enhancer else { return Ok(None) };
        let enhancer = load_once(&self.inner.enhancer, || Enhancer::load(&self.loader(), self.manifest(), config))?;
        enhancer.enhance(sound).map(Some)
    }

    /// Returns the sound of `segment` as a listener is to hear it: through the package's enhancer, if it has one. A segment
    /// too short to hold sound gives an empty waveform, a text segment `None`.
    ///
    /// # Errors
    /// The enhancer cannot be loaded, or failed.
    pub fn heard(&self, segment: &Segment) -> Result<Option<Waveform>> {
        match &segment.audio {
            Some(sound) if !sound.is_empty() => Ok(Some(self.enhance(sound)?.unwrap_or_else(|| sound.clone()))),
            other => Ok(other.clone()),
        }
    }

    /// Loads every graph that is not loaded yet, so that nothing waits later and nothing can be wrong unnoticed.
    pub fn load_all(&self) -> Result<()> {
        let manifest = self.manifest();
        if let Some(config) = &manifest.audio_encoder {
            load_once(&self.inner.audio_encoder, || AudioEncoder::load(&self.loader(), manifest, config))?;
        }
        if let Some(config) = &manifest.codec {
            load_once(&self.inner.codec_encoder, || CodecEncoder::load(&self.loader(), manifest, config))?;
            self.codec_decoder()?;
        }
        if let Some(config) = &manifest.enhancer {
            load_once(&self.inner.enhancer, || Enhancer::load(&self.loader(), manifest, config))?;
        }
        Ok(())
    }

    fn codec_decoder(&self) -> Result<&CodecDecoder> {
        load_once(&self.inner.codec_decoder, || {
            let config = self.manifest().codec.as_ref().ok_or_else(|| self.lacks("codec"))?;
            CodecDecoder::load(&self.loader(), self.manifest(), config)
        })
    }

    fn loader(&self) -> GraphLoader<'_> {
        GraphLoader::new(self.inner.runtime, &self.inner.package, &self.inner.placing, &self.inner.placements)
    }

    fn lacks(&self, what: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("the package {:?} has no {what}", self.manifest().name))
    }
}

/// A model that listens until it is stopped.
struct Listening<'a> {
    model: &'a Model,
    cancel: &'a Cancel,
}

impl Ears for Listening<'_> {
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        self.model.listen_to(sound, self.cancel)
    }

    fn codes(&self, sound: &Waveform) -> Result<Codes> {
        self.cancel.check()?;
        self.model.encode_codes(sound)
    }
}

fn read_tokenizer(package: &Package) -> Result<TextTokenizer> {
    let json = package.files().read(TOKENIZER, MOST_TOKENIZER);
    let tokenizer = json.and_then(|json| TextTokenizer::from_bytes(&json, &package.manifest().vocabulary));
    tokenizer.map_err(|e| e.context(package.files().describe(TOKENIZER)))
}

/// What `cell` holds, loaded now if nothing is there; two threads may both load, one result is kept.
fn load_once<T>(cell: &OnceLock<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(loaded) => Ok(loaded),
        None => {
            let loaded = load()?;
            Ok(cell.get_or_init(|| loaded))
        }
    }
}
