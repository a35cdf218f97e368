//! The graphs of the language model, which all its sequences share.

#![expect(clippy::indexing_slicing, reason = "positions are within the prompt, which is checked before")]

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use super::HeadId;
use super::body::Body;
use super::embedding::Embedding;
use super::head::OutputHead;
use super::rotary::Rotary;
use crate::cache::{CacheShape, KeyValueCache};
use crate::error::{Error, ErrorKind, Result};
use crate::package::{Manifest, StateConfig};
use crate::prompt::FeatureSlot;
use crate::runtime::{Buffer, Graph, GraphLoader, check_finite};
use crate::token::{Interval, Tokens};

/// The graphs of the language model.
pub(crate) struct LanguageModel {
    pub(super) embedding: Arc<Embedding>,
    pub(super) body: Arc<Body>,
    /// True if long prompts run on the form of the body for long prompts, if there is one.
    has_prefill: bool,
    heads: Vec<Arc<OutputHead>>,
    pub(super) hidden: usize,
    pub(super) width: usize,
    pub(super) max_positions: usize,
    pub(super) cache: CacheShape,
    pub(super) rotary: Rotary,
    /// The cache of one pad at position 0.
    pad: OnceLock<Mutex<KeyValueCache>>,
}

impl LanguageModel {
    /// Loads `embed`, `llm` and the heads.
    pub(crate) fn load(loader: &Arc<GraphLoader>, manifest: &Manifest) -> Result<Self> {
        let sizes = &manifest.language_model;
        let hidden = sizes.hidden_size;
        let width = manifest.tokens.width;
        let [StateConfig::Attention(attention)] = &sizes.state[..] else {
            let what = format!("language_model.state has {} entries; expected one of attention", sizes.state.len());
            return Err(Error::new(ErrorKind::Package, what));
        };
        let body = Body::load(loader, hidden, attention, sizes.max_positions)?;
        let columns = |ids: &[Interval]| ids.iter().map(Interval::len).sum();
        let head = |(name, ids): (&String, &Vec<_>)| OutputHead::load(loader, name, hidden, columns(ids)).map(Arc::new);
        let heads = manifest.heads.iter().map(head);
        Ok(Self {
            embedding: Arc::new(Embedding::load(loader, width, hidden)?),
            heads: heads.collect::<Result<_>>()?,
            hidden,
            width,
            max_positions: sizes.max_positions.min(body.capacity().unwrap_or(usize::MAX)),
            cache: CacheShape {
                layers: attention.layers,
                heads: attention.heads,
                head_size: attention.head_size,
                is_half: body.is_half(),
            },
            body: Arc::new(body),
            has_prefill: true,
            rotary: Rotary::new(attention.rotary.theta, attention.head_size, attention.rotary.size),
            pad: OnceLock::new(),
        })
    }

    /// Loads the graphs that are not loaded yet.
    ///
    /// # Errors
    /// A graph cannot be loaded.
    pub(crate) fn load_all(&self) -> Result<()> {
        self.body.load_all()
    }

    /// Loads the graph for a prompt of `positions`.
    ///
    /// # Errors
    /// A graph cannot be loaded.
    pub(crate) fn load_for(&self, positions: usize) -> Result<()> {
        self.of_prompt(positions).map(drop)
    }

    /// Returns the graph of the layers for every position of a prompt of `positions` in all. The choice depends on the prompt
    /// and not on its chunks. The form for long prompts is loaded with the first of them.
    ///
    /// # Errors
    /// The graph cannot be loaded.
    pub(super) fn of_prompt(&self, positions: usize) -> Result<&Arc<Graph>> {
        if self.has_prefill { self.body.of_prompt(positions) } else { Ok(self.body.graph()) }
    }

    /// Returns a language model with the graphs of `other`, the same package on other providers, where `takes` says so for a
    /// graph's name, and with its own graphs elsewhere. `heads` are the names of the heads in order. All prompts run on `llm`,
    /// because the form for long prompts has other weights.
    pub(crate) fn with_graphs_of<'n>(
        &self,
        other: &Self,
        heads: impl Iterator<Item = &'n str>,
        takes: impl Fn(&str) -> bool,
    ) -> Self {
        let from = |name: &str| if takes(name) { other } else { self };
        let own = self.heads.iter().zip(&other.heads).zip(heads);
        Self {
            embedding: Arc::clone(&from("embed").embedding),
            body: Arc::clone(&from("llm").body),
            has_prefill: false,
            cache: from("llm").cache,
            max_positions: from("llm").max_positions,
            heads: own.map(|((own, other), name)| Arc::clone(if takes(name) { other } else { own })).collect(),
            rotary: self.rotary.clone(),
            pad: OnceLock::new(),
            ..*self
        }
    }

    /// Returns the maximum number of positions that a sequence can hold.
    pub(crate) fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Returns the capacity of a cache with room for `positions`: more than that where shapes are fixed.
    pub(crate) fn capacity(&self, positions: usize) -> usize {
        self.body.capacity().unwrap_or(positions)
    }

    /// Returns the bytes of the cache of `rows` sequences with room for `capacity` positions each.
    pub(crate) fn cache_bytes(&self, rows: usize, capacity: usize) -> u64 {
        self.cache.bytes(rows, capacity)
    }

    /// Embeds `tokens`, shape [positions, hidden], flattened, with `features` at their positions.
    pub(crate) fn embed(&self, tokens: &Tokens, features: &[FeatureSlot]) -> Result<Vec<f32>> {
        self.check_features(tokens, features)?;
        self.embed_part(tokens, features, 0..tokens.len())
    }

    /// Checks that `features` have the size of embeddings and lie within `tokens`.
    pub(super) fn check_features(&self, tokens: &Tokens, features: &[FeatureSlot]) -> Result<()> {
        for slot in features {
            let (rows, columns) = slot.features.dim();
            if columns != self.hidden || slot.start.checked_add(rows).is_none_or(|end| end > tokens.len()) {
                let what = format!("features {rows} × {columns} at position {} of {}", slot.start, tokens.len());
                let expected = format!("expected rows of {} within the prompt", self.hidden);
                return Err(Error::new(ErrorKind::Invalid, format!("{what}; {expected}")));
            }
        }
        Ok(())
    }

    /// Embeds the positions `part` of `tokens`, with `features`, which have been checked, at their positions.
    pub(super) fn embed_part(&self, tokens: &Tokens, features: &[FeatureSlot], part: Range<usize>) -> Result<Vec<f32>> {
        let shape = [1, part.len(), self.hidden];
        let mut embeds = Buffer::<f32>::on_host(&shape).map_err(|e| self.body.failed(&e))?;
        let mut run = self.embedding.bind(1, part.len(), &mut embeds)?;
        self.embedding.run(&mut run, &tokens.ids()[part.start * self.width..part.end * self.width], &mut embeds)?;
        let mut embeds = embeds.numbers().to_vec();
        for slot in features {
            let replaced = part.start.max(slot.start)..part.end.min(slot.start + slot.features.nrows());
            for position in replaced {
                let row = &mut embeds[(position - part.start) * self.hidden..][..self.hidden];
                for (value, feature) in row.iter_mut().zip(slot.features.row(position - slot.start)) {
                    *value = *feature;
                }
            }
        }
        let what = match part.start {
            0 => "embedding of prompt position".to_owned(),
            start => format!("after prompt position {start}: embedding of position"),
        };
        check_finite("embed", &what, &embeds, self.hidden)?;
        Ok(embeds)
    }

    /// Returns the number of heads.
    pub(crate) fn heads(&self) -> usize {
        self.heads.len()
    }

    /// Returns the graph of `head`.
    pub(super) fn head(&self, head: HeadId) -> Result<&OutputHead> {
        let missing = || Error::new(ErrorKind::Invalid, format!("the package has no head {}", head.0));
        self.heads.get(head.0).map(|head| &**head).ok_or_else(missing)
    }

    /// Returns the cache of one pad at position 0, computing it on first use.
    #[allow(unsafe_code)]
    pub(super) fn pad(&self) -> Result<&Mutex<KeyValueCache>> {
        if let Some(pad) = self.pad.get() {
            return Ok(pad);
        }
        let mut cache = self.body.cache(self.cache, 1, 1)?;
        // SAFETY: `cache` outlives the run.
        let mut run = unsafe { self.body.bind(self.body.graph(), &mut cache, 0..1, 1)? };
        run.embeds.numbers_mut().fill(0.0);
        run.embeds.upload().map_err(|e| self.body.failed(&e))?;
        run.run(&[1])?;
        check_finite("llm", "hidden state", run.hidden.numbers(), self.hidden)?;
        let mut pad = self.body.cache_of_one(self.cache)?;
        pad.copy_row_of(&cache, 0, 0, 1)?;
        Ok(self.pad.get_or_init(|| Mutex::new(pad)))
    }
}
