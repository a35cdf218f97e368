//! Measures end-to-end times: loading, the first sound, a whole clip; and peak memory.

use std::time::Instant;

use ualm::{Error, ErrorKind, Event, Message, Modality, Model, Result, RuntimeOptions};

use super::figure::{Figure, milliseconds};
use super::language_model::exactly;

const WORDS: &str = "a dog barking";

/// Measures loading the package of `model` again: lazily, and with every graph.
pub fn load(model: &Model, options: &RuntimeOptions, runs: usize) -> Result<Vec<Figure>> {
    let load = || Model::load_with(model.package().folder(), options);
    Ok(vec![
        Figure::timed("load", runs, || load().map(drop))?,
        Figure::timed("load every graph", runs, || load()?.load_all())?,
    ])
}

/// Measures the time from a prompt to the first samples, streamed, with the package's own settings.
pub fn first_sound(model: &Model, runs: usize) -> Result<Figure> {
    let steps = model.config().audio.max_steps;
    let mut config = exactly(model, Modality::Audio, model.config().audio.guidance, steps);
    config.stream_audio = true;
    Figure::timed("words to first sound", runs, || {
        let mut session = model.session();
        let prompt = session.prompt_for(Modality::Audio, &[Message::text(WORDS)])?;
        for event in session.generate(prompt, &config)? {
            if let Event::AudioChunk(_) = event? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Graph, "no sound was made"))
    })
}

/// Measures the real-time factor of a clip of `seconds`, prompt included, with the package's own settings.
pub fn clip(model: &Model, seconds: f64, runs: usize) -> Result<Option<Figure>> {
    let Some((_, codec)) = model.manifest().codec(Modality::Audio) else { return Ok(None) };
    let frames = (seconds * codec.frames_per_second()).ceil() as usize;
    let steps = model.layout(Modality::Audio)?.steps_for(frames);
    let config = exactly(model, Modality::Audio, model.config().audio.guidance, steps);
    let mut samples = Vec::new();
    for run in 0..=runs {
        let start = Instant::now();
        let mut session = model.session();
        let prompt = session.prompt_for(Modality::Audio, &[Message::text(WORDS)])?;
        let reply = session.generate(prompt, &config)?.into_reply()?;
        let made = reply.audio().map_or(0.0, |sound| sound.seconds());
        if run > 0 {
            samples.push(start.elapsed().as_secs_f64() / made);
        }
    }
    Ok(Some(Figure::new(format!("clip of {seconds} s, real-time factor"), "", samples)))
}

/// Returns the peak memory of the process; `None` where the system does not report it.
pub fn peak_memory() -> Option<Figure> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
    let megabytes = kilobytes.parse::<f64>().ok()? * 1024.0 / 1e6;
    Some(Figure::new("peak memory", "MB", vec![megabytes]))
}

/// Returns the time since `start`, for the first load of the process, library included.
pub fn first_load(start: Instant) -> Figure {
    Figure::new("first load", "ms", vec![milliseconds(start.elapsed())])
}
