//! Measures prefill and steps of the language model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ualm::{
    Checkpoint, CopiedBytes, Error, ErrorKind, Event, GenerationConfig, GraphTime, Message, Modality, Model, Prompt,
    Result, Session,
};

use super::figure::{Figure, LimitedBy, milliseconds};
use super::min_times::MinTimes;

/// Measured steps of a run.
const STEPS: usize = 24;
/// The scale of guidance; any but 1 costs the same.
const GUIDANCE: f32 = 3.0;

/// Returns a prompt of `len` positions for a reply of `modality`. In families whose prompts select the modality, the
/// prompt has at least one word, and may be a few positions shorter than `len`.
pub fn prompt_of(model: &Model, modality: Modality, len: usize) -> Result<Prompt> {
    if model.chooses_modality() {
        return exact_prompt(model, len);
    }
    let prompt = |words: usize| model.prompt_for(modality, &[Message::text("rain ".repeat(words.max(1)))]);
    let one = prompt(1)?.len();
    let many = prompt(101)?.len();
    prompt(1 + 100 * len.saturating_sub(one) / (many - one).max(1))
}

/// Returns a prompt of exactly `len` positions: an empty prompt filled with words, or its last part if it is longer.
fn exact_prompt(model: &Model, len: usize) -> Result<Prompt> {
    let words = model.text_tokens("rain falls on a roof while a dog barks and a bell rings ")?;
    let empty = model.prompt(&[Message::text("")])?;
    let width = empty.tokens().width();
    let (open, close) = empty.tokens().ids().split_at((empty.len() - 1) * width);
    let said = words.ids().iter().cycle().take(len.saturating_sub(empty.len()) * width);
    let ids: Vec<_> = open.iter().chain(said).chain(close).copied().collect();
    let cut = ids.len().saturating_sub(len * width);
    Ok(Prompt::from_tokens(model.tokens(ids[cut..].to_vec())?))
}

/// Returns the settings of a run of exactly `steps` steps of `modality`.
pub fn exactly(model: &Model, modality: Modality, guidance: f32, steps: usize) -> GenerationConfig {
    let mut config = model.config().only(modality).thinking(false);
    let settings = config.segment_mut(modality);
    settings.guidance = guidance;
    settings.max_steps = steps;
    settings.min_steps = steps;
    config
}

/// Measures the prefill of a prompt of `len` positions.
pub fn prefill(model: &Model, min_times: &MinTimes, len: usize, runs: usize) -> Result<Figure> {
    let prompt = prompt_of(model, Modality::Text, len)?;
    let mut session = model.session();
    let start = session.mark();
    let figure = Figure::timed(format!("prefill of {len}"), runs, || {
        session.rewind(&start)?;
        session.checkpoint(&prompt).map(drop)
    })?;
    let limit = min_times.of(model, |model| model.session().checkpoint(&prompt).map(drop))?;
    Ok(figure.limited(limit, LimitedBy::Operations))
}

/// Measures the cost that guidance adds to the prefill of `len` positions: the unconditional prompt, and the copy of
/// the conditional one.
pub fn unconditional_prefill(model: &Model, len: usize, runs: usize) -> Result<Figure> {
    let prompt = prompt_of(model, Modality::Audio, len)?;
    let config = exactly(model, Modality::Audio, GUIDANCE, 1);
    let mut samples = Vec::new();
    for _ in 0..=runs {
        // a session caches the unconditional prompt
        let mut session = model.session();
        let checkpoint = session.checkpoint(&prompt)?;
        let start = Instant::now();
        session.generate_from(&checkpoint, &config)?.next().transpose()?;
        samples.push(milliseconds(start.elapsed()));
    }
    Ok(Figure::new(format!("unconditional prefill of {len}"), "ms", samples.split_off(1)))
}

/// Measures steps of text, and of sound without and with guidance, after a prompt of `context` positions. Speech is
/// measured only if it has another head than audio.
pub fn steps(model: &Model, min_times: &MinTimes, context: usize, runs: usize) -> Result<Vec<Figure>> {
    let modalities = &model.manifest().modalities;
    let head = |modality| modalities.get(&modality).map(|config| &config.head);
    let mut kinds = vec![(Modality::Text, 1.0), (Modality::Audio, 1.0), (Modality::Audio, GUIDANCE)];
    if head(Modality::Speech) != head(Modality::Audio) {
        kinds.extend([(Modality::Speech, 1.0), (Modality::Speech, GUIDANCE)]);
    }
    kinds.retain(|(modality, _)| modalities.contains_key(modality));
    let measure = |kind: (Modality, f32)| {
        let mut session = model.session();
        let checkpoint = session.checkpoint(&prompt_of(model, kind.0, context)?)?;
        let figure = step(&mut session, &checkpoint, kind, context, runs)?;
        let rows = if kind.1 == 1.0 { 1 } else { 2 };
        let limit = min_times.of_step(model, &figure, rows, context)?;
        Ok(figure.limited(limit, LimitedBy::Memory))
    };
    kinds.into_iter().map(measure).collect()
}

/// Measures the mean time of a step, in all and by graph, after a warm-up run.
fn step(
    session: &mut Session,
    checkpoint: &Checkpoint,
    (modality, guidance): (Modality, f32),
    context: usize,
    runs: usize,
) -> Result<Figure> {
    let config = exactly(session.model(), modality, guidance, STEPS + 1);
    run_steps(session, checkpoint, &config)?;
    let mut samples = Vec::new();
    let mut parts = BTreeMap::<String, f64>::new();
    let mut copied_bytes = None;
    for _ in 0..runs {
        let mean = run_steps(session, checkpoint, &config)?;
        samples.push(mean.time);
        copied_bytes = mean.copied_bytes;
        for (graph, time) in mean.by_graph {
            *parts.entry(graph).or_default() += time / runs as f64;
        }
    }
    let own = samples.iter().sum::<f64>() / runs as f64 - parts.values().sum::<f64>();
    parts.insert("own".into(), own);
    let guided = if config.segment(modality).is_guided() { ", guidance" } else { "" };
    let name = format!("{modality} step{guided}, context {context}");
    Ok(Figure { parts, copied_bytes, ..Figure::new(name, "ms", samples) })
}

/// The mean over [`STEPS`] steps.
struct MeanStep {
    /// Time in milliseconds.
    time: f64,
    /// Milliseconds in each graph.
    by_graph: BTreeMap<String, f64>,
    /// Bytes copied to devices, and back; `None` if there were none.
    copied_bytes: Option<[u64; 2]>,
}

/// The counters at a moment.
struct Count {
    at: Instant,
    graphs: BTreeMap<String, GraphTime>,
    copied: Vec<CopiedBytes>,
}

impl Count {
    fn of(model: &Model) -> Self {
        let copied = model.runtime().copied_bytes().into_values().collect();
        Self { at: Instant::now(), graphs: model.graph_times(), copied }
    }

    /// Returns the bytes copied to devices, and back.
    fn bytes(&self) -> [u64; 2] {
        let sum = |bytes: fn(&CopiedBytes) -> u64| self.copied.iter().map(bytes).sum();
        [sum(|copied| copied.uploaded), sum(|copied| copied.downloaded)]
    }
}

/// Runs steps after `checkpoint`. One more step than is measured is made, since the work after the last step, such as
/// decoding, is part of its time.
fn run_steps(session: &mut Session, checkpoint: &Checkpoint, config: &GenerationConfig) -> Result<MeanStep> {
    let model = session.model().clone();
    let mut counts = Vec::new();
    let mut steps = STEPS as u32;
    for event in session.generate_from(checkpoint, config)? {
        match event? {
            Event::SegmentStarted { .. } => counts.push(Count::of(&model)),
            Event::AudioProgress { .. } if counts.len() <= STEPS => counts.push(Count::of(&model)),
            Event::SegmentEnded { .. } if counts.len() == 1 => {
                counts.push(Count::of(&model));
                steps += 1;
            }
            _ => {}
        }
    }
    let [before, .., after] = &counts[..] else {
        return Err(Error::new(ErrorKind::Graph, "no step was made"));
    };
    let mean = |time: Duration| milliseconds(time) / f64::from(steps);
    let spent = |(graph, time): (&String, &GraphTime)| {
        let earlier = before.graphs.get(graph).copied().unwrap_or_default();
        (time.runs > earlier.runs).then(|| (graph.clone(), mean(time.spent - earlier.spent)))
    };
    let [[to, back], [to_before, back_before]] = [after, before].map(Count::bytes);
    let copied = [to - to_before, back - back_before].map(|bytes| bytes / u64::from(steps));
    Ok(MeanStep {
        time: mean(after.at - before.at),
        by_graph: after.graphs.iter().filter_map(spent).collect(),
        copied_bytes: Some(copied).filter(|copied| *copied != [0, 0]),
    })
}
