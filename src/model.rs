//! A loaded model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ndarray::Array2;

use crate::audio::{DecodeOptions, Waveform};
use crate::cancel::Cancel;
use crate::codec::{Codec, Enhancer, PackageCodec};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{GenerationConfig, Rules, Segment};
use crate::language_model::LanguageModel;
use crate::limits::{Limits, check_seconds};
use crate::listen::AudioEncoder;
use crate::modality::{Modality, SegmentConfig};
use crate::package::{CodecConfig, MOST_TOKENIZER, Manifest, Package, Purpose, TOKENIZER};
use crate::prompt::{Choice, Layouter, Message, Prompt, SoundEncoder, TaskName};
use crate::provider::{GraphPlacement, Provider, ProviderReport, Providers};
use crate::runtime::{GraphLoader, GraphTime, Placing, Runtime, RuntimeOptions, load_once};
use crate::text::TextTokenizer;
use crate::token::{Codes, End, Layout, TokenId, Tokens};

/// The most segments of a reply unless the caller says otherwise.
const MAX_SEGMENTS: usize = 8;

/// A loaded model: immutable, shared between threads, cheap to clone.
///
/// The language model is loaded at once; the audio encoder, the codec and the enhancer when they are first used.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    limits: Limits,
    cancel: Cancel,
}

struct Inner {
    options: RuntimeOptions,
    loader: Arc<GraphLoader>,
    rules: Arc<Rules>,
    language_model: Arc<LanguageModel>,
    audio_encoder: OnceLock<AudioEncoder>,
    codecs: BTreeMap<String, Arc<PackageCodec>>,
    enhancers: BTreeMap<String, OnceLock<Enhancer>>,
}

impl Inner {
    fn new(
        options: RuntimeOptions,
        loader: Arc<GraphLoader>,
        rules: Arc<Rules>,
        language_model: Arc<LanguageModel>,
        codecs: BTreeMap<String, Arc<PackageCodec>>,
    ) -> Self {
        let enhancers = loader.package().manifest().enhancers.keys().map(|name| (name.clone(), OnceLock::new()));
        let enhancers = enhancers.collect();
        Self { options, rules, language_model, audio_encoder: OnceLock::new(), codecs, enhancers, loader }
    }
}

impl Model {
    /// Loads the package in `folder`, with ONNX Runtime as it is found by default.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(folder, &RuntimeOptions::default())
    }

    /// Loads the package in `folder` with ONNX Runtime started as `options` say.
    ///
    /// # Errors
    /// The library is missing or too old; a provider that was asked for cannot serve a graph; the package is damaged,
    /// incomplete, newer than this version, or one of its graphs does not keep the contract.
    pub fn load_with(folder: impl AsRef<Path>, options: &RuntimeOptions) -> Result<Self> {
        Self::from_package(Package::open(folder)?, options)
    }

    /// Loads `package`, which may be in memory, with ONNX Runtime started as `options` say.
    ///
    /// # Errors
    /// The library is missing or too old; one of the graphs does not keep the contract.
    pub fn from_package(package: Package, options: &RuntimeOptions) -> Result<Self> {
        let runtime = Runtime::start(options)?;
        let loader = Arc::new(GraphLoader::new(runtime, package, Placing::new(options)?));
        let manifest = loader.package().manifest();
        loader.check_providers()?;
        let language_model = Arc::new(LanguageModel::load(&loader, manifest)?);
        let tokenizer = read_tokenizer(loader.package())?;
        let codecs = codecs_of(&loader);
        let shared = codecs.iter().map(|(name, codec)| (name.clone(), Arc::clone(codec) as Arc<dyn Codec>)).collect();
        let rules = Arc::new(Rules::new(manifest, tokenizer, &shared)?);
        let inner = Inner::new(options.clone(), loader, rules, language_model, codecs);
        Ok(Self { inner: Arc::new(inner), limits: Limits::default(), cancel: Cancel::new() })
    }

    /// Loads this model once more with every graph on the CPU in the package's own form, to compare with; a language model that
    /// runs so already is shared.
    ///
    /// # Errors
    /// A graph cannot be loaded.
    pub(crate) fn on_cpu(&self) -> Result<Self> {
        let portable = Providers::cpu().prefer(Provider::portable_cpu());
        let options = self.inner.options.clone().providers(portable);
        let loader = GraphLoader::new(self.runtime(), self.package().clone(), Placing::new(&options)?);
        let loader = Arc::new(loader);
        let heads = &self.manifest().heads;
        let is_of_step = |graph: &str| ["embed", "llm"].contains(&graph) || heads.contains_key(graph);
        let is_moved = self.placements().iter().any(|placed| is_of_step(&placed.graph) && !placed.is_reference());
        let language_model = if is_moved {
            Arc::new(LanguageModel::load(&loader, self.manifest())?)
        } else {
            Arc::clone(&self.inner.language_model)
        };
        let codecs = codecs_of(&loader);
        let inner = Inner::new(options, loader, Arc::clone(&self.inner.rules), language_model, codecs);
        Ok(Self { inner: Arc::new(inner), ..self.clone() })
    }

    /// Loads this model once more so that ONNX Runtime records every run of its graphs in `folder`; the records are complete
    /// when the model is dropped.
    ///
    /// # Errors
    /// A graph cannot be loaded.
    pub(crate) fn recorded(&self, folder: &Path) -> Result<Self> {
        let placing = Placing::new(&self.inner.options)?.recording(folder);
        let loader = Arc::new(GraphLoader::new(self.runtime(), self.package().clone(), placing));
        let language_model = Arc::new(LanguageModel::load(&loader, self.manifest())?);
        let codecs = codecs_of(&loader);
        let inner =
            Inner::new(self.inner.options.clone(), loader, Arc::clone(&self.inner.rules), language_model, codecs);
        Ok(Self { inner: Arc::new(inner), ..self.clone() })
    }

    /// Returns the same model with other limits; the loaded graphs are shared.
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// Returns the limits this model enforces.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the same model, whose calls `cancel` stops, and those of the sessions and engines that are opened on it; the
    /// loaded graphs are shared. A session of it may get another token ([`Session::set_cancel`](crate::Session::set_cancel)).
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Returns the token that stops the calls of this model.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Decode options that enforce the input limits and keep each recording's own sample rate.
    pub fn decode_options(&self) -> DecodeOptions {
        let (max_seconds, max_bytes) = (Some(self.input_seconds()), Some(self.limits.decoded_bytes));
        DecodeOptions { sample_rate: None, max_seconds, max_bytes }
    }

    fn input_seconds(&self) -> f64 {
        self.limits.input_seconds.unwrap_or(self.manifest().limits.input_seconds)
    }

    /// The package that was loaded.
    pub fn package(&self) -> &Package {
        self.inner.loader.package()
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.inner.loader.package().manifest()
    }

    /// The ONNX Runtime that it runs on.
    pub fn runtime(&self) -> &'static Runtime {
        self.inner.loader.runtime()
    }

    /// Reports the requested execution providers, whether each loaded, and where every graph loaded so far runs.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `UALM_PROVIDER` was changed to a list that cannot be read.
    pub fn provider_report(&self) -> Result<ProviderReport> {
        let report = self.runtime().provider_report(&self.inner.options)?;
        Ok(ProviderReport { graphs: self.placements(), ..report })
    }

    /// Where each graph that is loaded by now runs.
    pub(crate) fn placements(&self) -> Vec<GraphPlacement> {
        self.inner.loader.placements().all()
    }

    /// How often and how long each graph that is loaded by now has run, by its name.
    pub fn graph_times(&self) -> BTreeMap<String, GraphTime> {
        self.inner.loader.placements().times()
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
            thinking: self.manifest().template.thinks && self.thinks(),
        }
    }

    /// Returns the package's defaults for text made for `purpose`, without thinking.
    pub fn config_for(&self, purpose: Purpose) -> GenerationConfig {
        let config = self.config().only(Modality::Text).thinking(false);
        let text = self.manifest().settings.get(&purpose).copied().unwrap_or(config.text);
        GenerationConfig { text, ..config }
    }

    /// Returns the package's defaults for a reply to `messages`: as [`config`](Self::config), but with its settings of
    /// answers about sound where sound is heard.
    pub fn config_about(&self, messages: &[Message]) -> GenerationConfig {
        let config = self.config();
        if messages.iter().any(Message::is_heard) {
            GenerationConfig { text: self.config_for(Purpose::Ask).text, thinking: false, ..config }
        } else {
            config
        }
    }

    /// Returns whether the model thinks before it answers `messages` in text: as `asked`, else as the package says.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when thinking is asked of a model that cannot, or about sound.
    pub fn thinking(&self, asked: Option<bool>, messages: &[Message]) -> Result<bool> {
        let hears = messages.iter().any(Message::is_heard);
        match asked {
            Some(true) if !self.thinks() => Err(self.lacks("thinking: its model answers at once")),
            Some(true) if hears => {
                let what = "thinking was asked for about sound; the model thinks about text alone: leave it out";
                Err(Error::new(ErrorKind::Invalid, what))
            }
            Some(asked) => Ok(asked),
            None => Ok(self.config().thinking && !hears),
        }
    }

    /// Returns whether the model chooses what each segment of a reply is made of. Otherwise the prompt decides: it is laid
    /// out for what is to be made ([`prompt_for`](Self::prompt_for)).
    pub fn chooses_modality(&self) -> bool {
        self.manifest().template.choice == Choice::ByOpener
    }

    /// Returns whether the model can think before it answers in text.
    pub fn thinks(&self) -> bool {
        self.manifest().modalities.contains_key(&Modality::Thinking)
    }

    /// Returns the instruction to translate speech into English.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a package that has none, because its model does not translate.
    pub fn translation(&self) -> Result<&str> {
        let (manifest, words) = (self.manifest(), &self.manifest().prompts.translate);
        let lacking = || {
            let what =
                format!("{} does not translate: transcribe it in the language in which it is spoken", manifest.name);
            Error::new(ErrorKind::Invalid, what)
        };
        Some(&**words).filter(|words| !words.is_empty()).ok_or_else(lacking)
    }

    /// Returns the words of a transcript without the sentence that the model puts around them; `text` itself if it has no
    /// such sentence.
    pub fn unwrap_transcript<'t>(&self, text: &'t str) -> &'t str {
        let frames = &self.manifest().prompts.transcript;
        frames.iter().find_map(|frame| frame.content(text)).unwrap_or(text).trim()
    }

    /// The graphs of the language model.
    pub(crate) fn language_model(&self) -> &Arc<LanguageModel> {
        &self.inner.language_model
    }

    /// The rules of its conversations.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.inner.rules
    }

    /// The layout of segments of `modality`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot produce it.
    pub fn layout(&self, modality: Modality) -> Result<&Layout> {
        self.inner.rules.voice(modality).map(|voice| &voice.layout)
    }

    /// Positions that `ids` are, one position after another, each as wide as this model's.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `ids` ends within a position, or holds an id that the model does not have.
    pub fn tokens(&self, ids: Vec<TokenId>) -> Result<Tokens> {
        let vocabulary = &self.manifest().tokens;
        let tokens = Tokens::from_ids(vocabulary.non_zero_width(), ids)?;
        vocabulary.check(&tokens)?;
        Ok(tokens)
    }

    /// Positions of one id each in column 0, as text has them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an id that the model does not have.
    pub fn single_tokens(&self, ids: &[TokenId]) -> Result<Tokens> {
        let vocabulary = &self.manifest().tokens;
        let mut tokens = vocabulary.tokens();
        ids.iter().for_each(|id| tokens.push_single(*id, vocabulary.filler()));
        vocabulary.check(&tokens)?;
        Ok(tokens)
    }

    /// Refuses tokens with which no segment of `modality` begins.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], with the position that does not fit.
    pub fn check_beginning(&self, modality: Modality, tokens: &Tokens) -> Result<()> {
        self.inner.rules.voice(modality)?.check_beginning(tokens, &self.manifest().tokens)
    }

    /// Modalities of sound that the package can make, with the codec of each, in their order.
    pub fn sounds(&self) -> impl Iterator<Item = (Modality, &CodecConfig)> {
        let manifest = self.manifest();
        manifest.modalities.keys().filter_map(|modality| Some((*modality, manifest.codec(*modality)?.1)))
    }

    /// Tokens of a text segment that says `text`, without an end.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the text cannot be tokenized.
    pub fn text_tokens(&self, text: &str) -> Result<Tokens> {
        self.single_tokens(&self.inner.rules.tokenizer.encode(text)?)
    }

    /// Tokens of a text segment that says `text` and lets another segment follow; where none follows another in this
    /// model's replies, the text ends the reply.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the text cannot be tokenized.
    pub fn closed_text_tokens(&self, text: &str) -> Result<Tokens> {
        let mut tokens = self.text_tokens(text)?;
        let voice = self.inner.rules.voice(Modality::Text)?;
        let Some(end) = voice.layout.ending_id(End::Segment).or_else(|| voice.layout.ending_id(End::Turn)) else {
            return Ok(tokens);
        };
        tokens.push_single(end, self.manifest().tokens.filler());
        Ok(tokens)
    }

    /// Positions that a conversation takes which holds `prompt` and a reply of one segment of at most `steps` positions.
    pub fn positions(&self, prompt: &Prompt, steps: usize) -> usize {
        prompt.len().saturating_add(self.inner.rules.overhead()).saturating_add(steps)
    }

    /// Lays out `messages`, which begin a conversation, for a reply in text, or, where the model chooses the modality, for
    /// any reply: sound is encoded, text tokenized.
    ///
    /// # Errors
    /// As [`Session::prompt`](crate::Session::prompt).
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.prompt_for(Modality::Text, messages)
    }

    /// [`prompt`](Self::prompt) for a reply that begins with a segment of `modality`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub fn prompt_for(&self, modality: Modality, messages: &[Message]) -> Result<Prompt> {
        self.lay_out(modality, messages, true)
    }

    /// Lays out `messages`, which begin a conversation, as the template's task `name`, for a reply of `modality`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub(crate) fn prompt_of(&self, name: TaskName, modality: Modality, messages: &[Message]) -> Result<Prompt> {
        self.layouter().prompt_of(name, modality, messages, true)
    }

    pub(crate) fn lay_out(&self, modality: Modality, messages: &[Message], begins: bool) -> Result<Prompt> {
        self.layouter().prompt(modality, messages, begins)
    }

    fn layouter(&self) -> Layouter<'_> {
        let Rules { template, vocabulary, tokenizer, .. } = &*self.inner.rules;
        Layouter { template, vocabulary, tokenizer, sound: self }
    }

    /// Encodes `sound` into language-model features, shape [positions, hidden size].
    ///
    /// # Errors
    /// The package cannot listen; sound that is too long or cannot be encoded.
    pub fn audio_features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        check_seconds(sound, self.input_seconds())?;
        let encoder = self.audio_encoder()?.ok_or_else(|| self.lacks("audio encoder: it cannot listen"))?;
        encoder.encode(sound, &self.cancel)
    }

    /// Embeds a prompt, shape [positions, hidden size], flattened, the features in their places.
    ///
    /// # Errors
    /// A prompt of another model.
    pub fn prompt_embeddings(&self, prompt: &Prompt) -> Result<Vec<f32>> {
        self.manifest().tokens.check(&prompt.tokens)?;
        self.inner.language_model.embed(&prompt.tokens, &prompt.features)
    }

    /// Encodes `sound` to the codes of `modality`, shape [books, frames].
    ///
    /// # Errors
    /// The modality has no codec, or one without an encoder; sound that is too long or cannot be encoded.
    pub fn encode_codes(&self, modality: Modality, sound: &Waveform) -> Result<Codes> {
        check_seconds(sound, self.input_seconds())?;
        self.codec(modality)?.encode(sound)
    }

    /// Decodes codes of `modality`, shape [books, frames].
    ///
    /// # Errors
    /// The modality has no codec; another number of books, or a code outside its codebook.
    pub fn decode_codes(&self, modality: Modality, codes: &Codes) -> Result<Waveform> {
        self.codec(modality)?.decode(codes, self.limits.cache_bytes())
    }

    pub(crate) fn codec(&self, modality: Modality) -> Result<&PackageCodec> {
        let found = self.manifest().codec(modality).and_then(|(name, _)| self.inner.codecs.get(name));
        found.map(|codec| &**codec).ok_or_else(|| self.lacks(&format!("codec for {modality}")))
    }

    /// Enhances sound of `modality`; `None` when the package has no enhancer for it.
    ///
    /// # Errors
    /// The enhancer cannot be loaded, or fails.
    pub fn enhance(&self, modality: Modality, sound: &Waveform) -> Result<Option<Waveform>> {
        let Some((name, _)) = self.manifest().enhancer(modality) else { return Ok(None) };
        self.enhancer(name)?.map(|enhancer| enhancer.enhance(sound)).transpose()
    }

    /// Returns the sound of `segment` as a listener is to hear it: through the enhancer of its modality, if there is one. A
    /// segment too short to hold sound gives an empty waveform, a text segment `None`.
    ///
    /// # Errors
    /// The enhancer cannot be loaded, or failed.
    pub fn heard(&self, segment: &Segment) -> Result<Option<Waveform>> {
        match &segment.audio {
            Some(sound) if !sound.is_empty() => {
                Ok(Some(self.enhance(segment.modality, sound)?.unwrap_or_else(|| sound.clone())))
            }
            other => Ok(other.clone()),
        }
    }

    /// Loads all remaining graphs, so that no later call blocks on loading or fails because of a broken graph.
    ///
    /// # Errors
    /// A graph that cannot be loaded.
    pub fn load_all(&self) -> Result<()> {
        self.inner.language_model.load_all()?;
        self.audio_encoder()?;
        self.inner.codecs.values().try_for_each(|codec| codec.load_all())?;
        self.inner.enhancers.keys().try_for_each(|name| self.enhancer(name).map(drop))
    }

    fn audio_encoder(&self) -> Result<Option<&AudioEncoder>> {
        let Some(config) = &self.manifest().audio_encoder else { return Ok(None) };
        let hidden = self.manifest().language_model.hidden_size;
        load_once(&self.inner.audio_encoder, || AudioEncoder::load(&self.inner.loader, config, hidden)).map(Some)
    }

    fn enhancer(&self, name: &str) -> Result<Option<&Enhancer>> {
        let found = self.manifest().enhancers.get(name).zip(self.inner.enhancers.get(name));
        found.map(|(config, cell)| load_once(cell, || Enhancer::load(&self.inner.loader, config))).transpose()
    }

    fn lacks(&self, what: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("the package {:?} has no {what}", self.manifest().name))
    }
}

impl SoundEncoder for Model {
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        self.audio_features(sound)
    }

    fn segment(&self, modality: Modality, sound: &Waveform) -> Result<Tokens> {
        self.cancel.check()?;
        self.layout(modality)?.lay(&self.encode_codes(modality, sound)?)
    }
}

/// Returns the codecs of a package, none of whose graphs is loaded yet.
fn codecs_of(loader: &Arc<GraphLoader>) -> BTreeMap<String, Arc<PackageCodec>> {
    let codec = |(name, config): (&String, &_)| (name.clone(), Arc::new(PackageCodec::new(name, config, loader)));
    loader.package().manifest().codecs.iter().map(codec).collect()
}

fn read_tokenizer(package: &Package) -> Result<TextTokenizer> {
    let json = package.files().read(TOKENIZER, MOST_TOKENIZER);
    let tokenizer = json.and_then(|json| TextTokenizer::from_bytes(&json, &package.manifest().tokens));
    tokenizer.map_err(|e| e.context(package.files().describe(TOKENIZER)))
}
