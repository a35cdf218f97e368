//! Prompts and steps of the language model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ualm::{
    Cancel, Checkpoint, Error, ErrorKind, Event, GenerationConfig, GraphTime, Message, Modality, Model, Prompt, Result,
    Session,
};

use super::figure::{Figure, milliseconds};

/// Steps of a run that count.
const STEPS: usize = 24;
/// The scale of guidance; any but 1 costs the same.
const GUIDANCE: f32 = 3.0;

/// Returns a prompt of `len` positions for a reply of `modality`. Where the prompt decides what is made, it is not shorter
/// than one of a word, and at most a few positions shorter than `len`.
pub fn prompt_of(model: &Model, modality: Modality, len: usize) -> Result<Prompt> {
    if model.chooses_modality() {
        return exact_prompt(model, len);
    }
    let prompt =
        |words: usize| model.prompt_for(modality, &[Message::text("rain ".repeat(words.max(1)))], &Cancel::new());
    let (one, many) = (prompt(1)?.len(), prompt(101)?.len());
    prompt(1 + 100 * len.saturating_sub(one) / (many - one).max(1))
}

/// Returns a prompt of exactly `len` positions: words between those of an empty prompt, or the last part of them.
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
    (settings.guidance, settings.max_steps, settings.min_steps) = (guidance, steps, steps);
    config
}

/// Running a prompt of `len` positions.
pub fn prefill(model: &Model, len: usize, runs: usize) -> Result<Figure> {
    let prompt = prompt_of(model, Modality::Text, len)?;
    let mut session = model.session();
    let start = session.mark();
    Figure::timed(format!("prefill of {len}"), runs, || {
        session.rewind(&start)?;
        session.checkpoint(&prompt, &Cancel::new()).map(drop)
    })
}

/// The cost that guidance adds to running a prompt of `len` positions: the unconditional branch, and the copy of the
/// other one.
pub fn unconditional_prefill(model: &Model, len: usize, runs: usize) -> Result<Figure> {
    let prompt = prompt_of(model, Modality::Audio, len)?;
    let config = exactly(model, Modality::Audio, GUIDANCE, 1);
    let mut samples = Vec::new();
    for _ in 0..=runs {
        // a session keeps an unconditional prompt that it has run
        let mut session = model.session();
        let checkpoint = session.checkpoint(&prompt, &Cancel::new())?;
        let start = Instant::now();
        session.generate_from(&checkpoint, &config, &Cancel::new())?.next().transpose()?;
        samples.push(milliseconds(start.elapsed()));
    }
    Ok(Figure::new(format!("unconditional prefill of {len}"), "ms", samples.split_off(1)))
}

/// Steps of text, and of sound without and with guidance, after a prompt of `context` positions. Speech is measured where
/// its steps are others than those of audio.
pub fn steps(model: &Model, context: usize, runs: usize) -> Result<Vec<Figure>> {
    let modalities = &model.manifest().modalities;
    let head = |modality| modalities.get(&modality).map(|config| &config.head);
    let mut kinds = vec![(Modality::Text, 1.0), (Modality::Audio, 1.0), (Modality::Audio, GUIDANCE)];
    if head(Modality::Speech) != head(Modality::Audio) {
        kinds.extend([(Modality::Speech, 1.0), (Modality::Speech, GUIDANCE)]);
    }
    kinds.retain(|(modality, _)| modalities.contains_key(modality));
    let measure = |kind: (Modality, f32)| {
        let mut session = model.session();
        let checkpoint = session.checkpoint(&prompt_of(model, kind.0, context)?, &Cancel::new())?;
        step(&mut session, &checkpoint, kind, context, runs)
    };
    kinds.into_iter().map(measure).collect()
}

/// Milliseconds a step, and where they go: the mean over the steps of a run, the first run left out.
fn step(
    session: &mut Session,
    checkpoint: &Checkpoint,
    (modality, guidance): (Modality, f32),
    context: usize,
    runs: usize,
) -> Result<Figure> {
    let config = exactly(session.model(), modality, guidance, STEPS + 1);
    run_steps(session, checkpoint, &config)?;
    let (mut samples, mut parts) = (Vec::new(), BTreeMap::<String, f64>::new());
    for _ in 0..runs {
        let (time, spent) = run_steps(session, checkpoint, &config)?;
        samples.push(time);
        for (graph, time) in spent {
            *parts.entry(graph).or_default() += time / runs as f64;
        }
    }
    let own = samples.iter().sum::<f64>() / runs as f64 - parts.values().sum::<f64>();
    parts.insert("own".into(), own);
    let guided = if config.segment(modality).is_guided() { ", guidance" } else { "" };
    let name = format!("{modality} step{guided}, context {context}");
    Ok(Figure { parts, ..Figure::new(name, "ms", samples) })
}

/// Milliseconds of one step after `checkpoint`, the mean of [`STEPS`], whole and by graph. One more is made and does not
/// count: what follows the last one, the codec above all, comes with it.
fn run_steps(
    session: &mut Session,
    checkpoint: &Checkpoint,
    config: &GenerationConfig,
) -> Result<(f64, BTreeMap<String, f64>)> {
    let model = session.model().clone();
    let clock = || (Instant::now(), model.graph_times());
    let (mut times, mut steps) = (Vec::new(), STEPS as f64);
    for event in session.generate_from(checkpoint, config, &Cancel::new())? {
        match event? {
            Event::SegmentStarted { .. } => times.push(clock()),
            Event::AudioProgress { .. } if times.len() <= STEPS => times.push(clock()),
            Event::SegmentEnded { .. } if times.len() == 1 => {
                times.push(clock());
                steps += 1.0;
            }
            _ => {}
        }
    }
    let [(begun, before), .., (ended, after)] = &times[..] else {
        return Err(Error::new(ErrorKind::Graph, "no step was made"));
    };
    let mean = |time: Duration| milliseconds(time) / steps;
    let spent = |(graph, time): (&String, &GraphTime)| {
        let earlier = before.get(graph).copied().unwrap_or_default();
        (time.runs > earlier.runs).then(|| (graph.clone(), mean(time.spent - earlier.spent)))
    };
    Ok((mean(*ended - *begun), after.iter().filter_map(spent).collect()))
}
