//! Conversion of manifests of schema 1, which described one model family, to schema 2 with the constants of that family.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifest::{
    AttentionConfig, AudioEncoderConfig, CodecConfig, DecodingConfig, EnhancerConfig, FileSum, LanguageModelConfig,
    Limits, Manifest, ModalityConfig, Prompts, RotaryConfig, SCHEMA, StateConfig,
};
use crate::chain::ReasoningConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::{Choice, ContentWrap, History, Piece, Role, Task, TaskName, Template, Turn, Unconditional, Wrap};
use crate::token::{Ends, Interval, LayoutConfig, Pattern, TextIds, TokenId, Vocabulary};

/// A manifest of schema 1.
#[derive(Deserialize)]
pub(super) struct V1 {
    name: String,
    #[serde(default)]
    producer: String,
    precision: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    origin: String,
    #[serde(default)]
    attribution: Option<String>,
    #[serde(default)]
    half_trained: bool,
    vocabulary: VocabularyV1,
    modalities: BTreeMap<Modality, ModalityV1>,
    #[serde(default)]
    prompts: Prompts,
    #[serde(default)]
    reasoning: Option<ReasoningConfig>,
    #[serde(default)]
    known_words: Vec<String>,
    language_model: LanguageModelV1,
    #[serde(default)]
    audio_encoder: Option<AudioEncoderConfig>,
    #[serde(default)]
    codec: Option<CodecV1>,
    #[serde(default)]
    enhancer: Option<EnhancerV1>,
    #[serde(default)]
    limits: Limits,
    graphs: BTreeMap<String, String>,
    #[serde(default)]
    variants: BTreeMap<String, BTreeMap<String, String>>,
    files: BTreeMap<String, FileSum>,
}

#[derive(Deserialize)]
struct VocabularyV1 {
    size: usize,
    streams: usize,
    special: SpecialV1,
    text: Interval,
    audio: Vec<Interval>,
}

#[derive(Deserialize)]
struct SpecialV1 {
    pad: TokenId,
    bos: TokenId,
    eos: TokenId,
    eot: TokenId,
    system: TokenId,
    user: TokenId,
    assistant: TokenId,
    text: TokenId,
    audio: TokenId,
    speech: TokenId,
}

#[derive(Deserialize)]
struct ModalityV1 {
    token: TokenId,
    #[serde(default)]
    generation: SegmentConfig,
}

#[derive(Deserialize)]
struct LanguageModelV1 {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    #[serde(default)]
    rotary_dim: Option<usize>,
    rope_theta: f64,
    max_position_embeddings: usize,
}

#[derive(Deserialize)]
struct CodecV1 {
    kind: String,
    sampling_rate: u32,
    hop_length: usize,
    codebook_size: usize,
    context_frames: usize,
    #[serde(default)]
    indexed: bool,
}

#[derive(Deserialize)]
struct EnhancerV1 {
    sampling_rate: u32,
    channels: usize,
}

/// The names of the heads and of the enhancer in schema 1.
const TEXT_HEAD: &str = "text_head";
const AUDIO_HEAD: &str = "audio_head";
const ENHANCER: &str = "enhancer";

/// Converts a manifest of schema 1. The result must still pass the check of manifests.
///
/// # Errors
/// [`ErrorKind::Package`] for defects that the check of the result cannot find.
pub(super) fn convert(v1: V1) -> Result<Manifest> {
    v1.vocabulary.check(&v1.modalities)?;
    let makes_sound = v1.modalities.keys().any(|modality| modality.is_sound());
    let codec = v1.codec.as_ref().filter(|_| makes_sound);
    let codec_name = codec.map(|codec| codec.kind.clone());
    let enhancer = v1.enhancer.filter(|_| makes_sound);
    let has_enhancer = enhancer.is_some();
    let modality = |(modality, config): (&Modality, &ModalityV1)| {
        let codec = codec_name.clone().filter(|_| modality.is_sound());
        let enhancer = (has_enhancer && modality.is_sound()).then(|| ENHANCER.to_owned());
        (*modality, v1.vocabulary.modality(*modality, codec, enhancer, config.generation))
    };
    Ok(Manifest {
        schema: SCHEMA,
        name: v1.name,
        family: "ualm".into(),
        formerly: Vec::new(),
        producer: v1.producer,
        precision: v1.precision,
        license: v1.license,
        origin: v1.origin,
        attribution: v1.attribution,
        half_trained: v1.half_trained,
        tokens: v1.vocabulary.space(),
        heads: v1.vocabulary.heads(makes_sound),
        modalities: v1.modalities.iter().map(modality).collect(),
        absent: BTreeMap::new(),
        template: v1.vocabulary.template(&v1.modalities),
        prompts: v1.prompts,
        settings: BTreeMap::new(),
        reasoning: v1.reasoning,
        known_words: v1.known_words,
        languages: vec!["en".to_owned()],
        language_model: v1.language_model.config(),
        audio_encoder: v1.audio_encoder,
        codecs: codec.map(|codec| (codec.kind.clone(), codec.config(v1.vocabulary.streams))).into_iter().collect(),
        enhancers: enhancer.map(|enhancer| (ENHANCER.to_owned(), enhancer.config())).into_iter().collect(),
        limits: v1.limits,
        graphs: v1.graphs,
        variants: v1.variants,
        files: v1.files,
    })
}

impl VocabularyV1 {
    /// Checks that there is one block for each stream, and that the control ids are below those of text.
    fn check(&self, modalities: &BTreeMap<Modality, ModalityV1>) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("vocabulary: {what}")));
        if self.audio.len() != self.streams {
            return fail(format!("streams is {}, but there are {} audio blocks", self.streams, self.audio.len()));
        }
        if self.special.pad != 0 {
            return fail(format!("pad is {}; expected 0", self.special.pad));
        }
        let s = &self.special;
        let special = [s.bos, s.eos, s.eot, s.system, s.user, s.assistant, s.text, s.audio, s.speech];
        let tokens = modalities.values().map(|modality| modality.token);
        match special.into_iter().chain(tokens).find(|id| *id >= self.text.start) {
            Some(id) => fail(format!("the special id {id} is not below the text ids")),
            None => Ok(()),
        }
    }

    fn space(&self) -> Vocabulary {
        let text = TextIds { ids: self.text, zero_is_pad: true };
        Vocabulary::new(self.size, self.streams, Some(self.special.pad), text)
    }

    fn heads(&self, makes_sound: bool) -> BTreeMap<String, Vec<Interval>> {
        let mut heads = BTreeMap::from([(TEXT_HEAD.to_owned(), vec![Interval { start: 0, end: self.text.end }])]);
        if makes_sound {
            let ends = [self.special.eos, self.special.eot].map(Interval::of);
            heads.insert(AUDIO_HEAD.to_owned(), self.audio.iter().copied().chain(ends).collect());
        }
        heads
    }

    fn modality(
        &self,
        modality: Modality,
        codec: Option<String>,
        enhancer: Option<String>,
        generation: SegmentConfig,
    ) -> ModalityConfig {
        let (pattern, books, head) = if modality.is_sound() {
            (Pattern::Delayed, self.audio.clone(), AUDIO_HEAD)
        } else {
            (Pattern::Interleaved, vec![self.text], TEXT_HEAD)
        };
        let ends = Ends::new(vec![self.special.eos], vec![self.special.eot]);
        ModalityConfig {
            layout: LayoutConfig::new(pattern, books, ends),
            head: head.into(),
            codec,
            enhancer,
            generation,
        }
    }

    /// Returns the template of schema 1: `[bos]`, then for each message `[role] [modality] content [eot or eos]`; a
    /// segment of a reply is `[assistant] [modality] content [eot or eos]`.
    fn template(&self, modalities: &BTreeMap<Modality, ModalityV1>) -> Template {
        let s = &self.special;
        let ids = |ids: &[TokenId]| ids.iter().copied().map(Piece::Id).collect::<Vec<_>>();
        let turn = |role| Turn {
            open: ids(&[role]),
            join: ids(&[s.eot, role]),
            close: ids(&[s.eos]),
            after: None,
            strip: false,
        };
        let roles = [(Role::System, s.system), (Role::User, s.user), (Role::Assistant, s.assistant)];
        let turns = roles.into_iter().map(|(role, token)| (role, turn(token))).collect();
        let task = Task::new(ids(&[s.bos]), turns, ids(&[s.assistant]));
        let announced = [
            (Modality::Text, s.text, None),
            (Modality::Audio, s.audio, Some(s.pad)),
            (Modality::Speech, s.speech, Some(s.pad)),
        ];
        let wrap =
            |(modality, token, feature)| (modality, ContentWrap { open: ids(&[token]), feature, close: Vec::new() });
        let opener = |(modality, config): (&Modality, &ModalityV1)| {
            (*modality, Wrap { open: ids(&[config.token]), close: Vec::new() })
        };
        Template {
            tasks: BTreeMap::from([(TaskName::Text, task)]),
            content: announced.into_iter().map(wrap).collect(),
            segments: modalities.iter().map(opener).collect(),
            between: ids(&[s.assistant]),
            thinks: false,
            history: History::AsMade,
            choice: Choice::ByOpener,
            unconditional: Unconditional::Pads,
        }
    }
}

impl LanguageModelV1 {
    fn config(&self) -> LanguageModelConfig {
        let rotary = RotaryConfig::new(self.rotary_dim.unwrap_or(self.head_dim), self.rope_theta);
        let attention = AttentionConfig::new(self.num_hidden_layers, self.num_key_value_heads, self.head_dim, rotary);
        LanguageModelConfig::new(
            self.hidden_size,
            self.max_position_embeddings,
            vec![StateConfig::Attention(attention)],
        )
    }
}

impl CodecV1 {
    fn config(&self, books: usize) -> CodecConfig {
        CodecConfig {
            encoder: Some("codec_encoder".into()),
            decoder: "codec_decoder".into(),
            sampling_rate: self.sampling_rate,
            hop_length: self.hop_length,
            books,
            codebook_size: self.codebook_size,
            most_frames: None,
            decoding: DecodingConfig::Windowed { context_frames: self.context_frames, indexed: self.indexed },
        }
    }
}

impl EnhancerV1 {
    fn config(&self) -> EnhancerConfig {
        EnhancerConfig { graph: ENHANCER.into(), sampling_rate: self.sampling_rate, channels: self.channels }
    }
}

#[cfg(test)]
mod tests;
