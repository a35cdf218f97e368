//! The graphs of the language model, which all its sequences share.

use std::sync::{Mutex, OnceLock};

use ort::memory::Allocator;
use ort::value::Tensor;

use super::body::Body;
use super::embedding::Embedding;
use super::head::OutputHead;
use super::key_value_cache::{CacheShape, KeyValueCache, Rotary};
use super::{GraphLoader, Head, check_finite};
use crate::error::{Error, ErrorKind, Result};
use crate::package::Manifest;
use crate::prompt::FeatureSlot;
use crate::token::Frames;

/// The graphs of the language model.
pub struct DecoderGraphs {
    pub(super) embedding: Embedding,
    pub(super) body: Body,
    text_head: OutputHead,
    audio_head: Option<OutputHead>,
    pub(super) hidden: usize,
    pub(super) streams: usize,
    pub(super) max_positions: usize,
    pub(super) cache: CacheShape,
    pub(super) rotary: Rotary,
    /// The cache of one pad frame at position 0.
    pad: OnceLock<Mutex<KeyValueCache>>,
}

impl DecoderGraphs {
    /// Loads `embed`, `llm`, `text_head` and, if the package has it, `audio_head`.
    pub fn load(loader: &GraphLoader, manifest: &Manifest) -> Result<Self> {
        let (sizes, vocabulary) = (&manifest.language_model, &manifest.vocabulary);
        let hidden = sizes.hidden_size;
        let file = |name| manifest.graph(name);
        let audio_columns = vocabulary.audio.iter().map(|block| block.len()).sum::<usize>() + 2;
        let body = Body::load(loader, manifest)?;
        let audio_head = |file: &str| OutputHead::load(loader, "audio_head", file, hidden, audio_columns);
        Ok(Self {
            embedding: Embedding::load(loader, file("embed")?, vocabulary.streams, hidden)?,
            text_head: OutputHead::load(loader, "text_head", file("text_head")?, hidden, vocabulary.text.end as usize)?,
            audio_head: manifest.graphs.get("audio_head").map(|f| audio_head(f)).transpose()?,
            hidden,
            streams: vocabulary.streams,
            max_positions: sizes.max_position_embeddings,
            cache: CacheShape {
                layers: sizes.num_hidden_layers,
                heads: sizes.num_key_value_heads,
                head_size: sizes.head_dim,
                is_half: body.is_half(),
            },
            body,
            rotary: Rotary::new(sizes.rope_theta, sizes.head_dim, sizes.rotary_dim.unwrap_or(sizes.head_dim)),
            pad: OnceLock::new(),
        })
    }

    /// The most positions that a sequence can hold.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Bytes of the cache of `rows` sequences with room for `capacity` positions each.
    pub fn cache_bytes(&self, rows: usize, capacity: usize) -> u64 {
        self.cache.bytes(rows, capacity)
    }

    /// Frames to embeddings [frames, hidden], flattened, `features` in their slots.
    pub fn embed(&self, frames: &Frames, features: &[FeatureSlot]) -> Result<Vec<f32>> {
        for slot in features {
            let (rows, columns) = slot.features.dim();
            if columns != self.hidden || slot.start.checked_add(rows).is_none_or(|end| end > frames.len()) {
                let what = format!("features {rows} × {columns} at frame {} of {}", slot.start, frames.len());
                let expected = format!("expected rows of {} within the prompt", self.hidden);
                return Err(Error::new(ErrorKind::Invalid, format!("{what}; {expected}")));
            }
        }
        let shape = [1, frames.len(), self.hidden];
        let mut embeds = Tensor::<f32>::new(&Allocator::default(), shape).map_err(|e| self.body.failed(&e))?;
        let mut run = self.embedding.bind(1, frames.len(), &mut embeds)?;
        self.embedding.run(&mut run, frames.ids())?;
        let mut embeds = embeds.extract_tensor().1.to_vec();
        for slot in features {
            let rows = embeds.chunks_exact_mut(self.hidden).skip(slot.start);
            for (row, feature) in rows.zip(slot.features.rows()) {
                feature.iter().zip(row).for_each(|(value, cell)| *cell = *value);
            }
        }
        check_finite("embed", "embedding of prompt frame", &embeds, self.hidden)?;
        Ok(embeds)
    }

    /// The graph of `head`.
    pub(super) fn head(&self, head: Head) -> Result<&OutputHead> {
        let missing = || Error::new(ErrorKind::Package, "the package has no audio_head, so it cannot make sound");
        match head {
            Head::Text => Ok(&self.text_head),
            Head::Audio => self.audio_head.as_ref().ok_or_else(missing),
        }
    }

    /// The cache of one pad frame at position 0; computed when it is first needed.
    #[allow(unsafe_code)]
    pub(super) fn pad(&self) -> Result<&Mutex<KeyValueCache>> {
        if let Some(pad) = self.pad.get() {
            return Ok(pad);
        }
        let mut cache = KeyValueCache::new(self.cache, 1, 1)?;
        // SAFETY: the run ends before the cache does.
        let mut run = unsafe { self.body.bind(&mut cache, 0..1, 1)? };
        run.embeds.extract_tensor_mut().1.fill(0.0);
        self.body.run(&mut run, &[1])?;
        check_finite("llm", "hidden state", run.hidden.extract_tensor().1, self.hidden)?;
        Ok(self.pad.get_or_init(|| Mutex::new(cache)))
    }
}
