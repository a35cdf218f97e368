//! With which settings the turns and segments of a chain are made, and what is said in it that the model does not write.

use ualm::audio::Waveform;
use ualm::{Checkpoint, GenerationConfig, Message, Modality, Model, Record, Result, Stage, Stages};

/// Settings for a turn that is made of `stages` up to the first that is no segment: those of the turn before it in
/// `record`, or the package's, as `change` leaves them.
pub(super) fn turn_config(
    model: &Model,
    record: &Record,
    stages: &[Stage],
    seed: u64,
    change: impl FnOnce(&mut GenerationConfig),
) -> GenerationConfig {
    let mut config = record.turns.last().map_or_else(|| model.config(), |turn| turn.config.clone());
    change(&mut config);
    config.seed = seed;
    config.force = stages.iter().map_while(|stage| stage.modality()).collect();
    config.max_segments = config.force.len().max(1);
    config.insist = true;
    config
}

/// `config`, but for one segment of `modality` at `place`.
pub(super) fn segment_config(mut config: GenerationConfig, place: &Checkpoint, modality: Modality) -> GenerationConfig {
    config.force.resize(place.segments(), modality);
    config.force.push(modality);
    config.max_segments = config.force.len();
    config
}

/// `place`, where `text` is given rather than written by the model; `config` leaves room for it.
///
/// # Errors
/// A text that cannot be tokenized.
pub(super) fn with_text(
    place: Checkpoint,
    text: &str,
    model: &Model,
    config: &mut GenerationConfig,
) -> Result<Checkpoint> {
    let mut frames = model.text_frames(text)?;
    frames.push_single(model.manifest().vocabulary.special.eot);
    config.text.max_steps = config.text.max_steps.max(frames.len());
    Ok(place.with_kept(Modality::Text, frames))
}

/// What is said when the model is to hear `sound`.
pub(super) fn listening(model: &Model, sound: Waveform) -> Vec<Message> {
    let words = model.manifest().reasoning.as_ref().and_then(|config| config.listen_prompt.clone());
    std::iter::once(Message::audio(sound)).chain(words.map(Message::text)).collect()
}

/// The plan in `record`, whose chain has or begins with `stages`.
pub(super) fn plan_of<'a>(record: &'a Record, stages: &Stages) -> Option<&'a str> {
    let index = stages.iter().position(|stage| *stage == Stage::Plan)?;
    let cut = stages.cut(index);
    Some(&record.turns.get(cut.turn)?.segments.get(cut.segment)?.text)
}
