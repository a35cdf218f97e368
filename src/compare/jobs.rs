//! The runs of a comparison.

use std::sync::Arc;

use super::GraphComparison;
use super::difference::{Bounds, Difference, Output, Values, worst};
use super::inputs::{codes, sound, text};
use crate::cancel::Cancel;
use crate::codec::{Codec as _, Pace};
use crate::error::Result;
use crate::language_model::{Batch, HeadId, LanguageModel, Prefix, Sequence, SingleSequence, StateMark};
use crate::limits::Limits;
use crate::modality::Modality;
use crate::model::Model;
use crate::package::{Arithmetic, CodecConfig};
use crate::provider::GraphPlacement;
use crate::token::{TokenId, Tokens};

/// Positions of the two prompts. Some kernels of attention change at 32 positions.
const PROMPTS: [usize; 2] = [31, 64];
/// Steps after a prompt.
const STEPS: usize = 3;
/// Positions of the two rows of different lengths, which step together.
const ROWS: [usize; 2] = [9, 5];

/// The advice for providers without a known remedy.
const OTHERS: &str = "try other options, or another version, of the provider (docs/providers.md)";

/// A run of some graphs, and the outputs of the CPU on the same inputs.
pub(super) struct Job<'m> {
    graphs: Vec<GraphPlacement>,
    bounds: Bounds,
    expected: Vec<Output>,
    run: Box<dyn Fn() -> Result<Vec<Output>> + Sync + 'm>,
    /// True if every graph runs where the model places it; false if some run on the CPU instead.
    pub is_as_placed: bool,
}

impl Job<'_> {
    /// Runs the graphs and compares the outputs; `how` precedes the name of the run in messages.
    pub(super) fn compare(&self, how: &str) -> GraphComparison {
        let compared = GraphComparison {
            graphs: self.graphs.iter().map(|placed| placed.graph.clone()).collect(),
            providers: self.providers(),
            instructions: self.instructions(),
            difference: None,
            codes: None,
            bound: self.bounds.numbers,
            run: None,
            failure: None,
        };
        match (self.run)().and_then(|found| worst(&found, &self.expected)) {
            Ok(found) => {
                let run = format!("{how}{}", found.run);
                let bound = self.bounds.on(&found);
                let failure = (found.size > bound).then(|| self.difference(&found, bound, how, &run));
                let difference = Some(found.size).filter(|size| size.is_finite());
                GraphComparison { difference, codes: found.codes, bound, run: Some(run), failure, ..compared }
            }
            Err(error) => {
                let words = error.full_message();
                let words: Vec<_> = words.split_whitespace().collect();
                let words = words.join(" ");
                let what = format!("{how}it fails: {}", words.trim_end_matches('.'));
                GraphComparison { failure: Some(self.failure(&what, OTHERS)), ..compared }
            }
        }
    }

    /// Describes a difference beyond `bound` in `run`.
    fn difference(&self, found: &Difference, bound: f64, how: &str, run: &str) -> String {
        let reference = if self.instructions().is_empty() { "on the CPU" } else { "in the portable form" };
        let what = match found.codes {
            Some([different, all]) => {
                format!("{different} of {all} codes differ; at most {} % may differ", 100.0 * bound)
            }
            None if found.size.is_finite() => {
                format!("the difference is {:.1e} of the largest value; at most {bound:e} is allowed", found.size)
            }
            None => "a number is not finite, or is where the CPU gives zeros alone".to_owned(),
        };
        // options against wrong numbers do not help graphs that are right when they run alone
        let provider = self.graphs.first().map_or("", |placed| &placed.provider);
        let other = if how.is_empty() { remedy(provider) } else { OTHERS };
        self.failure(&format!("not as {reference} ({run}): {what}"), other)
    }

    /// Returns the providers of the graphs, without repetitions in a row.
    fn providers(&self) -> Vec<String> {
        let mut providers: Vec<_> = self.graphs.iter().map(|placed| placed.provider.clone()).collect();
        providers.dedup();
        providers
    }

    /// Returns the instruction sets for which files of the graphs were chosen, each once.
    fn instructions(&self) -> Vec<String> {
        let mut instructions: Vec<_> = self.graphs.iter().filter_map(|placed| placed.instructions.clone()).collect();
        instructions.dedup();
        instructions
    }

    /// Describes a failure of the graphs on their provider, with the advice to use the CPU, or `other`.
    fn failure(&self, what: &str, other: &str) -> String {
        let names: Vec<_> = self.graphs.iter().map(|placed| placed.graph.as_str()).collect();
        let providers = self.providers();
        let instructions = self.instructions();
        if !instructions.is_empty() && self.graphs.iter().all(|placed| placed.instructions.is_some()) {
            let [names, providers, instructions] = [names.join(", "), providers.join(", "), instructions.join(", ")];
            let way = "Ask for the portable forms (cpu:vnni=0), and report it with the processor's name";
            return format!("{names} on {providers}, for {instructions}: {what}. {way}");
        }
        let way: Vec<_> = names.iter().map(|name| format!("{name}=cpu")).collect();
        let [names, providers, way] = [names.join(", "), providers.join(", "), way.join(",")];
        format!("{names} on {providers}: {what}. Ask for the CPU ({way}), or {other}")
    }
}

/// Returns the advice for a provider whose numbers differ from the CPU's.
fn remedy(provider: &str) -> &'static str {
    let (name, options) = provider.split_once(':').unwrap_or((provider, ""));
    match name {
        "webgpu" if options.contains("preferredLayout=NHWC") => "leave preferredLayout at its default here (NCHW)",
        "cuda" if !options.contains("use_tf32=0") => "try cuda:use_tf32=0",
        _ => OTHERS,
    }
}

/// Returns the runs for the graphs of `model` that `elsewhere` places on other providers than the CPU, or in forms for the
/// processor. `reference` has the package's own graphs on the CPU.
///
/// # Errors
/// A graph fails on the CPU.
pub(super) fn all<'m>(model: &'m Model, reference: &Model, elsewhere: &[GraphPlacement]) -> Result<Vec<Job<'m>>> {
    let mut jobs = of_step(model, reference, elsewhere)?;
    jobs.extend(of_sound(model, reference, elsewhere)?);
    Ok(jobs)
}

/// Returns the bounds for a graph by its arithmetic: of the file that runs, which may be a variant for the provider, or of the
/// provider, if that is less exact.
fn bounds(model: &Model, placed: &GraphPlacement) -> Result<Bounds> {
    if placed.instructions.is_some() {
        return Ok(Bounds::of_form());
    }
    let of_file = model.package().arithmetic(&placed.file)?;
    Ok(Bounds::of(if placed.in_float16 { of_file.max(Arithmetic::Half) } else { of_file }))
}

/// Returns the runs of the graphs of a step: each graph alone, with the others on the CPU, then all as they are placed.
fn of_step<'m>(model: &'m Model, reference: &Model, elsewhere: &[GraphPlacement]) -> Result<Vec<Job<'m>>> {
    let manifest = model.manifest();
    let is_of_step = |name: &str| ["embed", "llm"].contains(&name) || manifest.heads.contains_key(name);
    let moved: Vec<_> = elsewhere.iter().filter(|placed| is_of_step(&placed.graph)).cloned().collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    let inputs = Arc::new(StepInputs::new(model));
    let limits = *model.limits();
    let expected = inputs.run(reference.language_model(), &limits)?;
    // the numbers of a graph pass through the others, so that their arithmetic also bounds the difference
    let all = model.placements();
    let of_step = all.iter().filter(|placed| is_of_step(&placed.graph)).map(|placed| bounds(model, placed));
    let bounds = of_step.collect::<Result<Vec<_>>>()?.into_iter().reduce(Bounds::or);
    let Some(bounds) = bounds else { return Ok(Vec::new()) };
    let job = |graphs: Vec<GraphPlacement>, language_model: Arc<LanguageModel>, is_as_placed| {
        let inputs = Arc::clone(&inputs);
        let run = Box::new(move || inputs.run(&language_model, &limits));
        Job { graphs, bounds, expected: expected.clone(), run, is_as_placed }
    };
    let mixed = |takes: &dyn Fn(&str) -> bool| {
        let heads = manifest.heads.keys().map(String::as_str);
        Arc::new(reference.language_model().with_graphs_of(model.language_model(), heads, takes))
    };
    let mut jobs = Vec::new();
    if moved.len() > 1 {
        for placed in &moved {
            jobs.push(job(vec![placed.clone()], mixed(&|name| name == placed.graph), false));
        }
    }
    jobs.push(job(moved, mixed(&|_| true), true));
    Ok(jobs)
}

/// The inputs of the language model.
struct StepInputs {
    prompts: Vec<Tokens>,
    /// An unconditional sequence beside the last prompt.
    beside: Tokens,
    rows: Vec<Tokens>,
    /// Positions to step with, sound among them if the model makes sound.
    steps: Vec<Vec<TokenId>>,
}

impl StepInputs {
    fn new(model: &Model) -> Self {
        let manifest = model.manifest();
        let max = model.language_model().max_positions().min(model.limits().context);
        let room = max.saturating_sub(2 * STEPS + 1).max(1);
        let positions = |len: usize, seed| text(manifest, len.min(room), seed);
        let prompts: Vec<_> = PROMPTS.iter().zip(1..).map(|(len, seed)| positions(*len, seed)).collect();
        let last = prompts.last().map_or(0, Tokens::len) + STEPS;
        let mut steps: Vec<Vec<TokenId>> = text(manifest, STEPS, 5).iter().map(<[_]>::to_vec).collect();
        for (modality, codec) in model.sounds() {
            // a segment that does not fit its layout is refused there; the steps are of text then
            let laid = model.layout(modality).and_then(|layout| layout.lay(&codes(codec, STEPS, 6)));
            let sounding = laid.iter().flat_map(Tokens::iter).map(<[_]>::to_vec);
            steps = steps.into_iter().take(1).chain(sounding).take(STEPS).collect();
        }
        Self {
            beside: text(manifest, last, 3),
            rows: ROWS.iter().zip(7..).map(|(len, seed)| positions(*len, seed)).collect(),
            prompts,
            steps,
        }
    }

    /// Runs `graphs` as replies do, and returns the logits of every head after every run.
    fn run(&self, graphs: &Arc<LanguageModel>, limits: &Limits) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        let cancel = Cancel::new();
        let mut sequence = SingleSequence::new(Arc::clone(graphs), limits);
        for prompt in &self.prompts {
            let run = format!("{} positions", prompt.len());
            sequence.rewind(&StateMark::START);
            sequence.prefill(prompt, &[], &cancel)?;
            note(&run, &mut sequence, graphs, &mut outputs)?;
            for (step, position) in self.steps.iter().enumerate() {
                sequence.step(position)?;
                note(&format!("step {} after {run}", step + 1), &mut sequence, graphs, &mut outputs)?;
            }
        }
        let mark = sequence.mark();
        let beside =
            Prefix::Tokens { tokens: &self.beside.slice(0..mark.position().min(self.beside.len())), shared: 0 };
        sequence.begin_guidance(beside, &cancel)?;
        for position in &self.steps {
            sequence.step(position)?;
            note("a step with guidance", &mut sequence, graphs, &mut outputs)?;
        }
        sequence.end_guidance()?;
        let mut fork = sequence.fork(&mark)?;
        if let Some(position) = self.steps.first() {
            fork.step(position)?;
            note("a step of a fork", &mut *fork, graphs, &mut outputs)?;
        }
        self.run_rows(graphs, &mut outputs)?;
        Ok(outputs)
    }

    /// Runs rows of different lengths together, as an engine does.
    fn run_rows(&self, graphs: &Arc<LanguageModel>, outputs: &mut Vec<Output>) -> Result<()> {
        let longest = self.rows.iter().map(Tokens::len).max().unwrap_or(0);
        let mut batch = Batch::new(Arc::clone(graphs), self.rows.len(), longest + STEPS)?;
        let mut lens: Vec<_> = self.rows.iter().map(Tokens::len).collect();
        for (row, tokens) in self.rows.iter().enumerate() {
            batch.prefill(row, tokens.len(), tokens.len(), &graphs.embed(tokens, &[])?, &mut Vec::new())?;
        }
        for first in 0..self.steps.len() {
            for len in &mut lens {
                *len += 1;
            }
            // each row steps with another position
            let positions = self.steps.iter().cycle().skip(first).take(lens.len()).map(Vec::as_slice);
            batch.step(positions, &lens)?;
            let mut hidden = Vec::new();
            for row in 0..lens.len() {
                hidden.extend_from_slice(batch.hidden(lens.len(), row)?);
            }
            let run = "rows of different lengths".to_owned();
            outputs.push(Output { run: run.clone(), values: Values::Numbers(hidden.clone()) });
            for head in 0..graphs.heads() {
                let logits = batch.logits(HeadId(head), &hidden)?.to_vec();
                outputs.push(Output { run: run.clone(), values: Values::Numbers(logits) });
            }
        }
        Ok(())
    }
}

/// Appends the logits of every head.
fn note(run: &str, sequence: &mut dyn Sequence, graphs: &LanguageModel, outputs: &mut Vec<Output>) -> Result<()> {
    for head in 0..graphs.heads() {
        let logits = sequence.logits(HeadId(head))?.to_vec();
        outputs.push(Output { run: run.to_owned(), values: Values::Numbers(logits) });
    }
    Ok(())
}

/// A run of a graph for sound.
type SoundRun = Box<dyn Fn(&Model) -> Result<Vec<Output>> + Sync>;

/// Returns the runs of the graphs for sound.
fn of_sound<'m>(model: &'m Model, reference: &Model, elsewhere: &[GraphPlacement]) -> Result<Vec<Job<'m>>> {
    let manifest = model.manifest();
    let mut runs: Vec<(&str, SoundRun)> = Vec::new();
    if let Some(config) = &manifest.audio_encoder {
        let rate = config.sampling_rate;
        runs.push(("audio_encoder", Box::new(move |model| listen(model, rate))));
    }
    for (modality, codec) in model.sounds() {
        let rate = codec.sampling_rate;
        if let Some(encoder) = &codec.encoder {
            runs.push((encoder, Box::new(move |model| encode(model, modality, rate))));
        }
        let config = codec.clone();
        runs.push((&codec.decoder, Box::new(move |model| decode(model, modality, &config))));
        if let Some((_, enhancer)) = manifest.enhancer(modality) {
            runs.push((&enhancer.graph, Box::new(move |model| enhance(model, modality, rate))));
        }
    }
    let mut jobs: Vec<Job<'m>> = Vec::new();
    for placed in elsewhere {
        // modalities may share a codec
        let Some(at) = runs.iter().position(|(graph, _)| *graph == placed.graph) else { continue };
        let (_, run) = runs.swap_remove(at);
        let expected = run(reference)?;
        let run = Box::new(move || run(model));
        let graphs = vec![placed.clone()];
        jobs.push(Job { graphs, bounds: bounds(model, placed)?, expected, run, is_as_placed: true });
    }
    Ok(jobs)
}

fn listen(model: &Model, rate: u32) -> Result<Vec<Output>> {
    let lengths = [("a sound of 1 s", 1.0, 11), ("a sound of 2.6 s", 2.6, 12)];
    let features = |(run, seconds, seed): (&str, f32, u64)| {
        let features = model.audio_features(&sound(rate, seconds, seed)?)?;
        Ok(Output { run: run.to_owned(), values: Values::Numbers(features.into_iter().collect()) })
    };
    lengths.into_iter().map(features).collect()
}

fn encode(model: &Model, modality: Modality, rate: u32) -> Result<Vec<Output>> {
    let lengths = [("a sound of 2 s", 2.0, 13), ("a sound of 1.3 s", 1.3, 14)];
    let codes = |(run, seconds, seed): (&str, f32, u64)| {
        let codes = model.encode_codes(modality, &sound(rate, seconds, seed)?)?;
        Ok(Output { run: run.to_owned(), values: Values::Codes(codes.into_iter().collect()) })
    };
    lengths.into_iter().map(codes).collect()
}

fn decode(model: &Model, modality: Modality, config: &CodecConfig) -> Result<Vec<Output>> {
    let whole = model.decode_codes(modality, &codes(config, 64, 15))?;
    let mut clip = model.codec(modality)?.clip(Pace::Streamed, model.limits().cache_bytes())?;
    let mut streamed = Vec::new();
    clip.push(&codes(config, 48, 16), &mut streamed)?;
    clip.finish(&mut streamed)?;
    let output = |run: &str, samples| Output { run: run.to_owned(), values: Values::Numbers(samples) };
    Ok(vec![output("64 frames", whole.into_samples()), output("48 other frames, streamed", streamed)])
}

fn enhance(model: &Model, modality: Modality, rate: u32) -> Result<Vec<Output>> {
    let lengths = [("a sound of 0.5 s", 0.5, 17), ("a sound of 0.3 s", 0.3, 18)];
    let enhanced = |(run, seconds, seed): (&str, f32, u64)| {
        let enhanced = model.enhance(modality, &sound(rate, seconds, seed)?)?;
        let samples = enhanced.iter().flat_map(|sound| sound.channels().iter().flatten().copied()).collect();
        Ok(Output { run: run.to_owned(), values: Values::Numbers(samples) })
    };
    lengths.into_iter().map(enhanced).collect()
}

#[cfg(test)]
mod tests {
    use ualm_testing::{package, skip_without_fixtures};

    use super::*;
    use crate::provider::Providers;
    use crate::runtime::RuntimeOptions;

    /// Calls `test` with jobs in which graphs on the CPU pretend to run elsewhere, so that they equal their references.
    fn with_jobs(name: &str, test: impl Fn(Vec<Job<'_>>)) {
        let portable = RuntimeOptions::default().providers("cpu:vnni=0".parse::<Providers>().unwrap());
        let model = Model::load_with(package(name), &portable).unwrap();
        model.load_all().unwrap();
        let elsewhere = |placed| GraphPlacement { provider: "useless:speed=high".into(), ..placed };
        let elsewhere: Vec<_> = model.placements().into_iter().map(elsewhere).collect();
        test(all(&model, &model.on_cpu().unwrap(), &elsewhere).unwrap());
    }

    #[test]
    fn all_graphs_of_every_family_are_compared() {
        skip_without_fixtures!();
        for (name, step, sound, quantized) in [
            ("enhanced-fp32", 4, 4, 0),
            ("tiny-afwhisper-int8", 4, 3, 5 + 1),
            ("tiny-audex-fp32", 4, 3, 0),
            ("tiny-audex-no-audio", 3, 2, 0),
        ] {
            with_jobs(name, |jobs| {
                assert_eq!(jobs.iter().filter(|job| job.graphs.len() == step).count(), 1, "{name}");
                assert_eq!(jobs.iter().filter(|job| !job.is_as_placed).count(), step, "{name}");
                assert_eq!(jobs.len(), step + 1 + sound, "{name}");
                let loose = jobs.iter().filter(|job| job.bounds.numbers > 1e-4).count();
                assert_eq!(loose, quantized, "{name}");
                for job in &jobs {
                    let compared = job.compare("");
                    assert_eq!((compared.difference, &compared.failure), (Some(0.0), &None), "{compared}");
                }
            });
        }
    }

    #[test]
    fn a_failure_names_graph_provider_difference_and_remedy() {
        skip_without_fixtures!();
        with_jobs("tiny-omni-fp32", |mut jobs| {
            for job in &mut jobs {
                match job.expected.last_mut().map(|output| &mut output.values) {
                    Some(Values::Numbers(numbers)) => {
                        for number in numbers {
                            *number *= 1.25;
                        }
                    }
                    Some(Values::Codes(codes)) => {
                        for code in codes {
                            *code += 1;
                        }
                    }
                    None => panic!("nothing was run"),
                }
                let compared = job.compare("two threads at once, ");
                let failure = compared.failure.as_ref().unwrap();
                let graph = &compared.graphs[0];
                let difference = match compared.codes {
                    Some([different, all]) => format!("{different} of {all} codes differ"),
                    None => "difference is 2.0e-1 of the largest value; at most 1e-4".to_owned(),
                };
                let run = format!("(two threads at once, {})", job.expected.last().unwrap().run);
                let way = format!("{graph}=cpu");
                for words in ["on useless:speed=high", graph, &difference, &run, &way] {
                    assert!(failure.contains(words), "expected {words:?} in: {failure}");
                }
                assert_eq!(compared.to_string(), *failure);
            }
        });
    }

    #[test]
    fn remedies_are_the_provider_s() {
        assert!(remedy("webgpu:preferredLayout=NHWC").contains("NCHW"));
        assert!(remedy("cuda:device_id=1").contains("use_tf32=0"));
        for other in ["webgpu", "cuda:use_tf32=0", "qnn"] {
            assert!(remedy(other).contains("other options"), "{other}");
        }
    }
}
