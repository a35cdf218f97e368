//! A sequence with a cache of its own.

use std::sync::Arc;

use super::{Batch, HeadId, LanguageModel, Prefix, Prepared, Sequence, StateMark};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::prompt::FeatureSlot;
use crate::token::{TokenId, Tokens};

/// The maximum number of positions of a prompt that are embedded and run at once; a prefill can be cancelled between such
/// chunks.
const PREFILL_CHUNK: usize = 512;
/// Capacities are multiples of this.
const CACHE_STEP: usize = 256;

/// A [`Sequence`] with a cache of its own, which grows.
pub(crate) struct SingleSequence {
    graphs: Arc<LanguageModel>,
    position: usize,
    /// Row 0 is the sequence; row 1, which is added when guidance first begins, the unconditional sequence.
    batch: Option<Batch>,
    guided: bool,
    /// The tokens at the beginning of row 1, kept for further replies to the same prompt.
    prepared: Option<Prepared>,
    /// Hidden states of the last position, [rows, hidden].
    hidden: Vec<f32>,
    max_positions: usize,
    /// The maximum size of the cache in bytes.
    memory: u64,
}

impl SingleSequence {
    /// Creates an empty sequence within `limits`.
    pub(crate) fn new(graphs: Arc<LanguageModel>, limits: &Limits) -> Self {
        Self {
            max_positions: graphs.max_positions().min(limits.context),
            memory: limits.cache_bytes(),
            graphs,
            position: 0,
            batch: None,
            guided: false,
            prepared: None,
            hidden: Vec::new(),
        }
    }

    /// Returns the cache, grown to at least `rows` and `positions` with its contents kept.
    fn room(&mut self, rows: usize, positions: usize) -> Result<&mut Batch> {
        if positions > self.max_positions {
            let max = self.max_positions;
            let what = format!("{positions} positions are needed, but the model's context holds {max}");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        let old_rows = self.batch.as_ref().map_or(0, Batch::rows);
        let old_capacity = self.batch.as_ref().map_or(0, Batch::capacity);
        if old_rows < rows || old_capacity < positions {
            let capacity = if old_capacity < positions {
                self.graphs.capacity(positions.next_multiple_of(CACHE_STEP).min(self.max_positions))
            } else {
                old_capacity
            };
            let rows = rows.max(old_rows);
            self.check_memory(rows, capacity)?;
            let mut larger = Batch::new(Arc::clone(&self.graphs), rows, capacity)?;
            if let Some(batch) = &self.batch {
                larger.copy_row_of(batch, 0, self.position)?;
                larger.copy_row_of(batch, 1, self.unconditional_len())?;
            }
            self.batch = Some(larger);
        }
        self.batch.as_mut().ok_or_else(|| Error::new(ErrorKind::Graph, "no cache"))
    }

    /// Checks that a new cache of `rows` sequences, together with the present one, stays within the limit on memory.
    fn check_memory(&self, rows: usize, capacity: usize) -> Result<()> {
        let held = self.batch.as_ref().map_or(0, |batch| self.graphs.cache_bytes(batch.rows(), batch.capacity()));
        let asked = self.graphs.cache_bytes(rows, capacity);
        if held.saturating_add(asked) > self.memory {
            let megabytes = [asked, held, self.memory].map(|bytes| bytes.div_ceil(1_000_000));
            let what = format!(
                "a cache of {capacity} positions for {rows} sequences takes {} MB, beside {} MB in use; the limit on memory is {} MB: \
                 ask for fewer steps, or give a shorter prompt",
                megabytes[0], megabytes[1], megabytes[2]
            );
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }

    /// Returns the number of positions that row 1 holds.
    fn unconditional_len(&self) -> usize {
        if self.guided { self.position } else { self.prepared.as_ref().map_or(0, Prepared::len) }
    }

    /// Runs `tokens` as the beginning of the unconditional row; the first `shared` are copied from the conditional row.
    fn prepare_unconditional(&mut self, tokens: &Tokens, shared: usize, cancel: &Cancel) -> Result<()> {
        if self.prepared.as_ref().is_some_and(|prepared| prepared.is_for(tokens, shared)) {
            return Ok(());
        }
        self.prepared = None;
        self.room(2, tokens.len())?.copy_row(0, 1, shared)?;
        let rest = tokens.slice(shared..tokens.len());
        self.run_prompt(1, shared, &rest, &[], cancel, &mut Vec::new())?;
        self.prepared = Some(Prepared::new(tokens, shared));
        Ok(())
    }

    /// Runs `tokens` chunk by chunk in `row`, after its first `before` positions, and writes the hidden state of the last
    /// position to `hidden`.
    fn run_prompt(
        &mut self,
        row: usize,
        before: usize,
        tokens: &Tokens,
        features: &[FeatureSlot],
        cancel: &Cancel,
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        let graphs = Arc::clone(&self.graphs);
        let batch = self.room(1, before + tokens.len())?;
        let mut start = 0;
        while start < tokens.len() {
            cancel.check()?;
            let end = tokens.len().min(start + PREFILL_CHUNK);
            let embeds = graphs.embed_part(tokens, features, start..end)?;
            batch.prefill(row, before + end, tokens.len(), &embeds, hidden)?;
            start = end;
        }
        Ok(())
    }
}

impl Sequence for SingleSequence {
    fn position(&self) -> usize {
        self.position
    }

    fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn reserve(&mut self, positions: usize) -> Result<()> {
        self.room(1, positions).map(drop)
    }

    fn mark(&self) -> StateMark {
        StateMark::at(self.position)
    }

    fn rewind(&mut self, mark: &StateMark) {
        self.position = self.position.min(mark.position());
        if self.position == 0 {
            self.prepared = None;
        }
    }

    fn fork(&mut self, mark: &StateMark) -> Result<Box<dyn Sequence>> {
        let position = mark.position();
        let mut fork = Self {
            graphs: Arc::clone(&self.graphs),
            position: 0,
            batch: None,
            guided: false,
            prepared: self.prepared.clone(),
            hidden: Vec::new(),
            max_positions: self.max_positions,
            memory: self.memory,
        };
        let prepared = fork.unconditional_len();
        let rows = if prepared > 0 { 2 } else { 1 };
        let room = fork.room(rows, position.max(prepared))?;
        if let Some(batch) = &self.batch {
            room.copy_row_of(batch, 0, position)?;
            room.copy_row_of(batch, 1, prepared)?;
        }
        fork.position = position;
        Ok(Box::new(fork))
    }

    fn prefill(&mut self, tokens: &Tokens, features: &[FeatureSlot], cancel: &Cancel) -> Result<()> {
        self.graphs.check_features(tokens, features)?;
        let mut hidden = std::mem::take(&mut self.hidden);
        let run = self.run_prompt(0, self.position, tokens, features, cancel, &mut hidden);
        self.hidden = hidden;
        run?;
        self.position += tokens.len();
        Ok(())
    }

    fn step(&mut self, position: &[TokenId]) -> Result<()> {
        let end = self.position + 1;
        let lens: &[usize] = if self.guided { &[end, end] } else { &[end] };
        let rows = lens.len();
        let mut hidden = std::mem::take(&mut self.hidden);
        let batch = self.room(rows, end)?;
        batch.step(std::iter::repeat_n(position, rows), lens)?;
        hidden.clear();
        for row in 0..rows {
            hidden.extend_from_slice(batch.hidden(rows, row)?);
        }
        self.hidden = hidden;
        self.position = end;
        Ok(())
    }

    fn prepare_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()> {
        prefix.check(self.position)?;
        match prefix {
            Prefix::Pads => {
                let position = self.position;
                self.prepared = None;
                self.room(2, position)?.fill_with_pads(1, position)
            }
            Prefix::Tokens { tokens, shared } => self.prepare_unconditional(tokens, shared, cancel),
        }
    }

    fn begin_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()> {
        self.prepare_guidance(prefix, cancel)?;
        self.guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        self.guided = false;
        self.hidden.truncate(self.graphs.hidden);
        Ok(())
    }

    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]> {
        match &mut self.batch {
            Some(batch) => batch.logits(head, &self.hidden),
            None => Err(Error::new(ErrorKind::Invalid, "nothing was run yet, so there are no logits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ualm_testing::{copied_package, package, skip_without_fixtures};

    use super::*;
    use crate::modality::Modality;
    use crate::package::{Manifest, Package};
    use crate::provider::{Provider, Providers};
    use crate::runtime::{GraphLoader, Placing, Runtime, RuntimeOptions};

    fn sequences(name: &str) -> (SingleSequence, SingleSequence, Manifest) {
        let (one, two, manifest, _) = sequences_in(&package(name));
        (one, two, manifest)
    }

    /// Returns two sequences of a package, its manifest, and the file of its body.
    fn sequences_in(folder: &Path) -> (SingleSequence, SingleSequence, Manifest, String) {
        let package = Package::open(folder).unwrap();
        let runtime = Runtime::start(&RuntimeOptions::default()).unwrap();
        let manifest = package.manifest().clone();
        let placing = Placing::new(&RuntimeOptions::default()).unwrap();
        let loader = Arc::new(GraphLoader::new(runtime, package, placing));
        let graphs = Arc::new(LanguageModel::load(&loader, &manifest).unwrap());
        let body = loader.placements().all().iter().find(|graph| graph.graph == "llm").unwrap().file.clone();
        let new = || SingleSequence::new(Arc::clone(&graphs), &Limits::default());
        (new(), new(), manifest, body)
    }

    /// Returns the heads of text and of sound.
    fn heads(manifest: &Manifest) -> [HeadId; 2] {
        ["text_head", "audio_head"].map(|name| HeadId(manifest.heads.keys().position(|head| head == name).unwrap()))
    }

    /// Returns a position of sound: a code in every book.
    fn codes(manifest: &Manifest, code: u32) -> Vec<TokenId> {
        manifest.modalities[&Modality::Audio].layout.books.iter().map(|book| book.start + code).collect()
    }

    fn text(manifest: &Manifest, tokens: impl IntoIterator<Item = u32>) -> Tokens {
        let mut text = manifest.tokens.tokens();
        for token in tokens {
            text.push_single(manifest.tokens.text.ids.start + token, 0);
        }
        text
    }

    fn pads(manifest: &Manifest, len: usize) -> Tokens {
        let mut pads = manifest.tokens.tokens();
        for _ in 0..len {
            pads.push_single(0, 0);
        }
        pads
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        let largest = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    }

    /// Under guidance the rows are two sequences, the prompt and its unconditional counterpart of pads or tokens, which continue
    /// with the same positions.
    #[test]
    fn guidance_is_two_sequences() {
        skip_without_fixtures!();
        for name in ["tiny-omni-fp32", "tiny-afwhisper-fp32", "synthetic-fp32"] {
            let (mut guided, mut alone, manifest) = sequences(name);
            let [text_head, audio_head] = heads(&manifest);
            let cancel = Cancel::new();
            let none = [];
            let others = text(&manifest, (0..37).map(|i| i * 3 % 50));
            let filled = Prefix::Tokens { tokens: &others, shared: 0 };
            for (prefix, beside) in [(Prefix::Pads, pads(&manifest, 37)), (filled, others.clone())] {
                guided.rewind(&StateMark::START);
                alone.rewind(&StateMark::START);
                guided.prefill(&text(&manifest, 0..37), &none, &cancel).unwrap();
                alone.prefill(&beside, &none, &cancel).unwrap();
                guided.begin_guidance(prefix, &cancel).unwrap();
                for step in 0..3 {
                    let position = codes(&manifest, step);
                    guided.step(&position).unwrap();
                    alone.step(&position).unwrap();
                    let both = guided.logits(audio_head).unwrap().to_vec();
                    let error = distance(&both[both.len() / 2..], alone.logits(audio_head).unwrap());
                    assert!(error < 1e-5, "{name}, {prefix:?}, step {step}: {error}");
                }
                let both = guided.logits(text_head).unwrap().to_vec();
                guided.end_guidance().unwrap();
                assert_eq!(guided.logits(text_head).unwrap(), &both[..both.len() / 2]);
            }
            let error = guided.begin_guidance(filled, &cancel).unwrap_err();
            assert!(error.message().contains("37 positions; expected 40"), "{error}");
        }
    }

    /// The float16 forms for CUDA are taken as variants for the provider of the tests: float16 within, and in the cache.
    #[test]
    fn a_float16_variant_is_picked_and_gives_nearly_the_same() {
        skip_without_fixtures!();
        let folder = tempfile::tempdir().unwrap();
        let copy = copied_package("tiny-afwhisper-fp32", &folder.path().join("copy"));
        let manifest = copy.join("manifest.json");
        let json = std::fs::read_to_string(&manifest).unwrap();
        assert!(json.contains("\"cuda\": {"));
        let providers = Providers::from_environment().unwrap().of("llm");
        let provider = providers.first().map_or("cpu", Provider::name);
        std::fs::write(&manifest, json.replace("\"cuda\": {", &format!("\"{provider}\": {{"))).unwrap();
        let (mut half, mut alone, manifest, file) = sequences_in(&copy);
        let (mut float, _, _, base) = sequences_in(&package("tiny-afwhisper-fp32"));
        assert_eq!((file.as_str(), base.as_str()), ("llm.cuda.onnx", "llm.onnx"));
        assert!(half.graphs.cache.is_half && !float.graphs.cache.is_half);

        let audio_head = heads(&manifest)[1];
        let cancel = Cancel::new();
        let none = [];
        alone.prefill(&pads(&manifest, 37), &none, &cancel).unwrap();
        for sequence in [&mut half, &mut float] {
            sequence.prefill(&text(&manifest, 0..37), &none, &cancel).unwrap();
            sequence.begin_guidance(Prefix::Pads, &cancel).unwrap();
        }
        for step in 0..3 {
            let position = codes(&manifest, step);
            for sequence in [&mut half, &mut float, &mut alone] {
                sequence.step(&position).unwrap();
            }
            let both = half.logits(audio_head).unwrap().to_vec();
            let error = distance(&both, float.logits(audio_head).unwrap());
            assert!(error < 1e-2, "step {step}: {error}");
            let error = distance(&both[both.len() / 2..], alone.logits(audio_head).unwrap());
            assert!(error < 1e-2, "step {step}, pads: {error}");
        }
    }

    /// A cache that grows and a sequence that is rewound change nothing.
    #[test]
    fn growing_and_rewinding_change_nothing() {
        skip_without_fixtures!();
        let (mut grown, mut roomy, manifest) = sequences("synthetic-fp32");
        let [text_head, _] = heads(&manifest);
        let cancel = Cancel::new();
        let none = [];
        let tokens = |range: std::ops::Range<u32>| text(&manifest, range.map(|i| i % 200));
        roomy.reserve(500).unwrap();
        roomy.prefill(&tokens(0..400), &none, &cancel).unwrap();
        grown.prefill(&tokens(0..250), &none, &cancel).unwrap();
        let mark = grown.mark();
        grown.prefill(&tokens(7..90), &none, &cancel).unwrap();
        grown.rewind(&mark);
        grown.prefill(&tokens(250..400), &none, &cancel).unwrap();
        assert_eq!(grown.position(), 400);
        let error = distance(grown.logits(text_head).unwrap(), roomy.logits(text_head).unwrap());
        assert!(error < 1e-5, "{error}");
        assert_eq!(grown.reserve(513).unwrap_err().kind(), ErrorKind::Limit);
    }
}
