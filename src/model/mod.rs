//! A loaded model: its graphs, limits and reports. [`settings`], [`prompts`] and [`sound`] have the rest of its methods.

mod prompts;
mod settings;
mod sound;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::audio::DecodeOptions;
use crate::cancel::Cancel;
use crate::codec::{Codec, Enhancer, PackageCodec};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::Rules;
use crate::language_model::LanguageModel;
use crate::limits::Limits;
use crate::listen::AudioEncoder;
use crate::package::{MAX_TOKENIZER, Manifest, Package, TOKENIZER};
use crate::provider::{GraphPlacement, Provider, ProviderReport, Providers};
use crate::runtime::{GraphLoader, GraphTime, Placing, Runtime, RuntimeOptions, load_once};
use crate::text::TextTokenizer;

/// A loaded model: immutable, shared between threads, cheap to clone.
///
/// The language model is loaded at once; the audio encoder, the codecs and the enhancers on first use.
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
    /// Loads the package in `folder`, with the default options of ONNX Runtime.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(folder, &RuntimeOptions::default())
    }

    /// Loads the package in `folder`, with ONNX Runtime started with `options`.
    ///
    /// # Errors
    /// The library is missing or too old; a requested provider cannot serve a graph; the package is damaged,
    /// incomplete, newer than this version, or one of its graphs violates the contract.
    pub fn load_with(folder: impl AsRef<Path>, options: &RuntimeOptions) -> Result<Self> {
        Self::from_package(Package::open(folder)?, options)
    }

    /// Loads `package`, which may be in memory, with ONNX Runtime started with `options`.
    ///
    /// # Errors
    /// The library is missing or too old; one of the graphs violates the contract.
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

    /// Loads this model again with every graph on the CPU in the package's own form, as the reference of a comparison. A
    /// language model that already runs that way is shared.
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

    /// Loads this model again with ONNX Runtime's profiler, which records every run of the graphs in `folder`; the records
    /// are complete when the model is dropped.
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

    /// Returns the same model with the token `cancel`, which stops the model's calls and those of the sessions and engines
    /// opened on it; the loaded graphs are shared. [`Session::set_cancel`](crate::Session::set_cancel) changes the token of a
    /// session.
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Returns the token that stops the calls of this model.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Returns decode options that enforce the input limits and keep each recording's own sample rate.
    pub fn decode_options(&self) -> DecodeOptions {
        DecodeOptions::default().max_seconds(self.input_seconds()).max_bytes(self.limits.decoded_bytes)
    }

    fn input_seconds(&self) -> f64 {
        self.limits.input_seconds.unwrap_or(self.manifest().limits.input_seconds)
    }

    /// Returns the package.
    pub fn package(&self) -> &Package {
        self.inner.loader.package()
    }

    /// Returns the package's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.inner.loader.package().manifest()
    }

    /// Returns the ONNX Runtime that runs the model.
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

    /// Returns the placement of every graph loaded so far.
    pub(crate) fn placements(&self) -> Vec<GraphPlacement> {
        self.inner.loader.placements().all()
    }

    /// Returns the number of runs of every graph loaded so far, and their time, by the graph's name.
    pub fn graph_times(&self) -> BTreeMap<String, GraphTime> {
        self.inner.loader.placements().times()
    }

    /// Returns the graphs of the language model.
    pub(crate) fn language_model(&self) -> &Arc<LanguageModel> {
        &self.inner.language_model
    }

    /// Returns the rules of the model's conversations.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.inner.rules
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

/// Returns the codecs of a package, none of whose graphs is loaded yet.
fn codecs_of(loader: &Arc<GraphLoader>) -> BTreeMap<String, Arc<PackageCodec>> {
    let codec = |(name, config): (&String, &_)| (name.clone(), Arc::new(PackageCodec::new(name, config, loader)));
    loader.package().manifest().codecs.iter().map(codec).collect()
}

fn read_tokenizer(package: &Package) -> Result<TextTokenizer> {
    let json = package.files().read(TOKENIZER, MAX_TOKENIZER);
    let tokenizer = json.and_then(|json| TextTokenizer::from_bytes(&json, &package.manifest().tokens));
    tokenizer.map_err(|e| e.context(package.files().describe(TOKENIZER)))
}
