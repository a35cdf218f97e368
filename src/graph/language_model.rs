//! The language model: embeddings in, logits out, the cache between them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use super::embedding::{Embedding, EmbeddingRun};
use super::head::{HeadRun, OutputHead};
use super::key_value_cache::{CacheShape, KeyValueCache, Rotary};
use super::session::{Graph, Port};
use super::{GraphLoader, Head, LanguageModel};
use crate::cancel::Cancel;
use crate::package::Manifest;
use crate::prompt::FeatureSlot;
use crate::token::{Frames, TokenId};
use crate::{Error, ErrorKind, Result};

/// Positions of a prompt that are run at once; between such chunks a run can be cancelled.
const PREFILL_CHUNK: usize = 512;
/// Capacities are multiples of this.
const CACHE_STEP: usize = 256;

/// The graphs that every decoder of a model shares.
pub struct DecoderGraphs {
    embedding: Embedding,
    body: Graph,
    text_head: OutputHead,
    audio_head: Option<OutputHead>,
    hidden: usize,
    max_positions: usize,
    cache: CacheShape,
    rotary: Rotary,
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
        let body = load_body(loader, manifest)?;
        let audio_head = |file: &str| OutputHead::load(loader, "audio_head", file, hidden, audio_columns);
        Ok(Self {
            embedding: Embedding::load(loader, file("embed")?, vocabulary.streams, hidden)?,
            text_head: OutputHead::load(loader, "text_head", file("text_head")?, hidden, vocabulary.text.end as usize)?,
            audio_head: manifest.graphs.get("audio_head").map(|f| audio_head(f)).transpose()?,
            hidden,
            max_positions: sizes.max_position_embeddings,
            cache: CacheShape {
                layers: sizes.num_hidden_layers,
                heads: sizes.num_key_value_heads,
                head_size: sizes.head_dim,
                is_half: body.is_half("past_key_values.0.key"),
            },
            body,
            rotary: Rotary::new(sizes.rope_theta, sizes.head_dim, sizes.rotary_dim.unwrap_or(sizes.head_dim)),
            pad: OnceLock::new(),
        })
    }

    /// Frames to embeddings [frames, hidden], flattened, `features` in their slots.
    pub fn embed(&self, frames: &Frames, features: &[FeatureSlot]) -> Result<Vec<f32>> {
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
        Ok(embeds)
    }

    /// The cache of one pad frame at position 0; computed when it is first needed.
    fn pad(&self) -> Result<&Mutex<KeyValueCache>> {
        if let Some(pad) = self.pad.get() {
            return Ok(pad);
        }
        let mut cache = KeyValueCache::new(self.cache, 1, 1)?;
        let mut run = BodyRun::new(self, &mut cache, 1)?;
        run.embeds.extract_tensor_mut().1.fill(0.0);
        run.run(self, 1)?;
        Ok(self.pad.get_or_init(|| Mutex::new(cache)))
    }
}

fn load_body(loader: &GraphLoader, manifest: &Manifest) -> Result<Graph> {
    let sizes = &manifest.language_model;
    let hidden = Some(sizes.hidden_size);
    let cache = [None, Some(sizes.num_key_value_heads), None, Some(sizes.head_dim)];
    let mut inputs = vec![
        Port::float("inputs_embeds", &[None, None, hidden]),
        Port::int32("seqlens_k", &[None]),
        Port::int32("total_sequence_length", &[]),
    ];
    let mut outputs = vec![Port::float("hidden_states", &[None, None, hidden])];
    for layer in 0..sizes.num_hidden_layers {
        for part in ["key", "value"] {
            inputs.push(Port::float_or_half(format!("past_key_values.{layer}.{part}"), &cache));
            outputs.push(Port::float_or_half(format!("present.{layer}.{part}"), &cache));
        }
    }
    loader.load("llm", manifest.graph("llm")?, &inputs, &outputs)
}

/// A run of the body over some positions, bound to a cache.
struct BodyRun {
    binding: IoBinding,
    /// Shape [rows, positions, hidden].
    embeds: Tensor<f32>,
    /// Shape [rows, positions, hidden].
    hidden: Tensor<f32>,
    last_positions: Tensor<i32>,
    total: Tensor<i32>,
}

impl BodyRun {
    fn new(graphs: &DecoderGraphs, cache: &mut KeyValueCache, positions: usize) -> Result<Self> {
        let rows = cache.rows();
        let mut bind = || -> ort::Result<Self> {
            let allocator = Allocator::default();
            let embeds = Tensor::<f32>::new(&allocator, [rows, positions, graphs.hidden])?;
            let mut hidden = Tensor::<f32>::new(&allocator, [rows, positions, graphs.hidden])?;
            let last_positions = Tensor::<i32>::new(&allocator, [rows])?;
            let total = Tensor::from_array(((), vec![0i32]))?;
            let mut binding = graphs.body.binding().map_err(|e| ort::Error::new(e.to_string()))?;
            binding.bind_input("inputs_embeds", &embeds)?;
            binding.bind_input("seqlens_k", &last_positions)?;
            binding.bind_input("total_sequence_length", &total)?;
            binding.bind_output("hidden_states", &mut hidden)?;
            cache.bind(&mut binding)?;
            Ok(Self { binding, embeds, hidden, last_positions, total })
        };
        bind().map_err(|e| graphs.body.failed(&e))
    }

    /// Runs `embeds`, after which every row holds `len` positions.
    fn run(&mut self, graphs: &DecoderGraphs, len: usize) -> Result<()> {
        let total = i32::try_from(len).map_err(|_| Error::new(ErrorKind::Limit, "too many positions"))?;
        self.last_positions.extract_tensor_mut().1.fill(total - 1);
        self.total.extract_tensor_mut().1.fill(total);
        graphs.body.run_bound(&self.binding)
    }
}

/// A run of one frame: embedding and body, the one writing into the other's input.
struct StepRun {
    embedding: EmbeddingRun,
    body: BodyRun,
}

impl StepRun {
    fn new(graphs: &DecoderGraphs, cache: &mut KeyValueCache) -> Result<Self> {
        let mut body = BodyRun::new(graphs, cache, 1)?;
        let embedding = graphs.embedding.bind(cache.rows(), 1, &mut body.embeds)?;
        Ok(Self { embedding, body })
    }

    fn run(&mut self, graphs: &DecoderGraphs, frame: &[TokenId], len: usize) -> Result<()> {
        graphs.embedding.run(&mut self.embedding, frame)?;
        self.body.run(graphs, len)
    }
}

/// A cache with its step, bound once.
struct Branch {
    cache: KeyValueCache,
    step: StepRun,
}

impl Branch {
    fn new(graphs: &DecoderGraphs, rows: usize, capacity: usize) -> Result<Self> {
        let mut cache = KeyValueCache::new(graphs.cache, rows, capacity)?;
        let step = StepRun::new(graphs, &mut cache)?;
        Ok(Self { cache, step })
    }
}

/// Bound runs of the heads, for one row and for two; made when first needed.
#[derive(Default)]
struct HeadRuns([[Option<HeadRun>; 2]; 2]);

/// One sequence on the graphs of a model: [`LanguageModel`] on ONNX Runtime.
pub struct Decoder {
    graphs: Arc<DecoderGraphs>,
    position: usize,
    conditional: Option<Branch>,
    /// Row 0 conditional, row 1 unconditional.
    guided: Option<Branch>,
    /// Where guidance began, while it is on.
    guided_from: Option<usize>,
    heads: HeadRuns,
    /// Hidden states of the last position, [rows, hidden].
    hidden: Vec<f32>,
}

impl Decoder {
    /// An empty sequence.
    pub fn new(graphs: Arc<DecoderGraphs>) -> Self {
        Self {
            graphs,
            position: 0,
            conditional: None,
            guided: None,
            guided_from: None,
            heads: HeadRuns::default(),
            hidden: Vec::new(),
        }
    }

    /// The conditional branch with room for `positions`; what it held is kept.
    fn branch(&mut self, positions: usize) -> Result<&mut Branch> {
        let capacity = self.conditional.as_ref().map_or(0, |branch| branch.cache.capacity());
        if capacity < positions {
            if positions > self.graphs.max_positions {
                let most = self.graphs.max_positions;
                let what = format!("{positions} positions are needed, but the model's context holds {most}");
                return Err(Error::new(ErrorKind::Limit, what));
            }
            let roomy = positions.next_multiple_of(CACHE_STEP).min(self.graphs.max_positions);
            let mut larger = Branch::new(&self.graphs, 1, roomy)?;
            if let Some(branch) = &self.conditional {
                larger.cache.copy_first_row(&branch.cache, 0..self.position);
            }
            self.conditional = Some(larger);
        }
        self.conditional.as_mut().ok_or_else(|| Error::new(ErrorKind::Graph, "no cache"))
    }

    /// Runs one chunk of a prompt, embeddings [positions, hidden].
    fn prefill_chunk(&mut self, embeds: &[f32]) -> Result<()> {
        let graphs = Arc::clone(&self.graphs);
        let positions = embeds.len() / graphs.hidden;
        let end = self.position + positions;
        let branch = self.branch(end)?;
        let mut run = BodyRun::new(&graphs, &mut branch.cache, positions)?;
        run.embeds.extract_tensor_mut().1.copy_from_slice(embeds);
        run.run(&graphs, end)?;
        let hidden = run.hidden.extract_tensor().1;
        self.hidden.clear();
        self.hidden.extend_from_slice(&hidden[hidden.len() - graphs.hidden..]);
        self.position = end;
        Ok(())
    }
}

impl LanguageModel for Decoder {
    fn position(&self) -> usize {
        self.position
    }

    fn max_positions(&self) -> usize {
        self.graphs.max_positions
    }

    fn reserve(&mut self, positions: usize) -> Result<()> {
        self.branch(positions).map(drop)
    }

    fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    fn prefill(&mut self, frames: &Frames, features: &[FeatureSlot], cancel: &Cancel) -> Result<()> {
        let start = self.position;
        let embeds = self.graphs.embed(frames, features)?;
        self.reserve(start + frames.len())?;
        let run = embeds.chunks(PREFILL_CHUNK * self.graphs.hidden).try_for_each(|chunk| {
            cancel.check()?;
            self.prefill_chunk(chunk)
        });
        if run.is_err() {
            self.rewind(start);
        }
        run
    }

    fn step(&mut self, frame: &[TokenId]) -> Result<()> {
        let end = self.position + 1;
        let branch = if self.guided_from.is_some() {
            self.guided.as_mut()
        } else {
            self.branch(end)?;
            self.conditional.as_mut()
        };
        let branch = branch.ok_or_else(|| Error::new(ErrorKind::Graph, "no cache to write to"))?;
        branch.step.run(&self.graphs, frame, end)?;
        self.hidden.clear();
        self.hidden.extend_from_slice(branch.step.body.hidden.extract_tensor().1);
        self.position = end;
        Ok(())
    }

    fn begin_guidance(&mut self) -> Result<()> {
        let graphs = Arc::clone(&self.graphs);
        let capacity = self.branch(self.position)?.cache.capacity();
        if self.guided.as_ref().is_none_or(|branch| branch.cache.capacity() != capacity) {
            self.guided = None;
            self.guided = Some(Branch::new(&graphs, 2, capacity)?);
        }
        if let (Some(guided), Some(conditional)) = (&mut self.guided, &self.conditional) {
            guided.cache.copy_first_row(&conditional.cache, 0..self.position);
            let pad = graphs.pad()?.lock().unwrap_or_else(PoisonError::into_inner);
            guided.cache.fill_with_pads(&pad, self.position, &graphs.rotary);
            self.guided_from = Some(self.position);
        }
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        if let (Some(from), Some(guided), Some(conditional)) =
            (self.guided_from.take(), &self.guided, &mut self.conditional)
        {
            conditional.cache.copy_first_row(&guided.cache, from..self.position);
            self.hidden.truncate(self.graphs.hidden);
        }
        Ok(())
    }

    fn logits(&mut self, head: Head) -> Result<&mut [f32]> {
        let missing = || Error::new(ErrorKind::Package, "the package has no audio_head, so it cannot make sound");
        let (graph, index) = match head {
            Head::Text => (&self.graphs.text_head, 0),
            Head::Audio => (self.graphs.audio_head.as_ref().ok_or_else(missing)?, 1),
        };
        let rows = self.hidden.len() / self.graphs.hidden;
        if rows == 0 {
            return Err(Error::new(ErrorKind::Invalid, "nothing was run yet, so there are no logits"));
        }
        let slot = &mut self.heads.0[index][rows - 1];
        let run = match slot {
            Some(run) => run,
            None => slot.insert(graph.bind(rows)?),
        };
        graph.run(run, &self.hidden)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::graph::Placements;
    use crate::package::Package;
    use crate::runtime::{Placing, Runtime, RuntimeOptions};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures/packages").join(name)
    }

    fn decoders(name: &str) -> (Decoder, Decoder, Manifest) {
        let (one, two, manifest, _) = decoders_in(&fixture(name));
        (one, two, manifest)
    }

    /// Two decoders of a package, its manifest, and the file that its body is in.
    fn decoders_in(folder: &Path) -> (Decoder, Decoder, Manifest, String) {
        let package = Package::open(folder).expect("fixtures: run `make test`, or `make fixtures` once");
        let runtime = Runtime::start(&RuntimeOptions::default()).unwrap();
        let (placing, placements) = (Placing::new(&RuntimeOptions::default()).unwrap(), Placements::default());
        let loader = GraphLoader::new(runtime, &package, &placing, &placements);
        let graphs = Arc::new(DecoderGraphs::load(&loader, package.manifest()).unwrap());
        let body = placements.all().iter().find(|graph| graph.graph == "llm").unwrap().file.clone();
        (Decoder::new(Arc::clone(&graphs)), Decoder::new(graphs), package.manifest().clone(), body)
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        let largest = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    }

    /// Under guidance the rows are two sequences: the prompt, and as many pad frames; both go on with the same frames.
    #[test]
    fn guidance_is_two_sequences() {
        for name in ["tiny-omni-fp32", "tiny-afwhisper-fp32", "synthetic-fp32"] {
            let (mut guided, mut pads, manifest) = decoders(name);
            let (streams, text) = (manifest.vocabulary.streams, manifest.vocabulary.text.start);
            let mut prompt = Frames::new(streams);
            (0..37).for_each(|i| prompt.push_single(text + i));
            let (cancel, none) = (Cancel::new(), []);
            guided.prefill(&prompt, &none, &cancel).unwrap();
            pads.prefill(&Frames::pads(streams, 37), &none, &cancel).unwrap();
            guided.begin_guidance().unwrap();
            for step in 0..3 {
                let frame: Vec<_> = manifest.vocabulary.audio.iter().map(|block| block.start + step).collect();
                guided.step(&frame).unwrap();
                pads.step(&frame).unwrap();
                let both = guided.logits(Head::Audio).unwrap().to_vec();
                let error = distance(&both[both.len() / 2..], pads.logits(Head::Audio).unwrap());
                assert!(error < 1e-5, "{name}, step {step}: {error}");
            }
            let conditional = guided.logits(Head::Text).unwrap()[..text as usize].to_vec();
            guided.end_guidance().unwrap();
            assert_eq!(guided.logits(Head::Text).unwrap()[..text as usize], conditional);
        }
    }

    /// The form for CUDA, taken as a variant for the CPU, which can run it: float16 within, and in the cache.
    #[test]
    fn a_float16_variant_is_picked_and_gives_nearly_the_same() {
        let (folder, source) = (tempfile::tempdir().unwrap(), fixture("tiny-afwhisper-fp32"));
        for entry in std::fs::read_dir(&source).unwrap().flatten() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let manifest = folder.path().join("manifest.json");
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("\"cuda\": {"));
        std::fs::write(&manifest, text.replace("\"cuda\": {", "\"cpu\": {")).unwrap();
        let (mut half, mut pads, manifest, file) = decoders_in(folder.path());
        let (mut float, _, _, base) = decoders_in(&source);
        assert_eq!((file.as_str(), base.as_str()), ("llm.cuda.onnx", "llm.onnx"));
        assert!(half.graphs.cache.is_half && !float.graphs.cache.is_half);

        let (streams, text) = (manifest.vocabulary.streams, manifest.vocabulary.text.start);
        let mut prompt = Frames::new(streams);
        (0..37).for_each(|i| prompt.push_single(text + i));
        let (cancel, none) = (Cancel::new(), []);
        pads.prefill(&Frames::pads(streams, 37), &none, &cancel).unwrap();
        for decoder in [&mut half, &mut float] {
            decoder.prefill(&prompt, &none, &cancel).unwrap();
            decoder.begin_guidance().unwrap();
        }
        for step in 0..3 {
            let frame: Vec<_> = manifest.vocabulary.audio.iter().map(|block| block.start + step).collect();
            [&mut half, &mut float, &mut pads].into_iter().for_each(|decoder| decoder.step(&frame).unwrap());
            let both = half.logits(Head::Audio).unwrap().to_vec();
            let error = distance(&both, float.logits(Head::Audio).unwrap());
            assert!(error < 1e-2, "step {step}: {error}");
            let error = distance(&both[both.len() / 2..], pads.logits(Head::Audio).unwrap());
            assert!(error < 1e-2, "step {step}, pads: {error}");
        }
    }

    /// A cache that grows and a sequence that is rewound change nothing.
    #[test]
    fn growing_and_rewinding_change_nothing() {
        let (mut grown, mut roomy, manifest) = decoders("synthetic-fp32");
        let text = manifest.vocabulary.text.start;
        let (cancel, none) = (Cancel::new(), []);
        let frames = |range: std::ops::Range<u32>| {
            let mut frames = Frames::new(manifest.vocabulary.streams);
            range.for_each(|i| frames.push_single(text + i % 200));
            frames
        };
        roomy.reserve(500).unwrap();
        roomy.prefill(&frames(0..400), &none, &cancel).unwrap();
        grown.prefill(&frames(0..250), &none, &cancel).unwrap();
        grown.prefill(&frames(7..90), &none, &cancel).unwrap();
        grown.rewind(250);
        grown.prefill(&frames(250..400), &none, &cancel).unwrap();
        assert_eq!(grown.position(), 400);
        let error = distance(grown.logits(Head::Text).unwrap(), roomy.logits(Head::Text).unwrap());
        assert!(error < 1e-5, "{error}");
        assert_eq!(grown.reserve(513).unwrap_err().kind(), ErrorKind::Limit);
    }
}
