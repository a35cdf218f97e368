//! The check of a manifest, before anything is computed from it.

use std::ops::RangeInclusive;

use super::TOKENIZER;
use super::manifest::{
    AttentionConfig, CPU_VNNI, CausalState, CodecConfig, DecodingConfig, Manifest, ModalityConfig, PREFILL, StateConfig,
};
use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;
use crate::system::is_portable;
use crate::token::{Interval, Pattern};

/// Sample rates that sound can be converted to, in hertz.
const RATES: RangeInclusive<usize> = 1..=768_000;

/// The name of a size in the manifest, its value, and the allowed values.
type Size = (String, usize, RangeInclusive<usize>);

/// Checks that a manifest is consistent.
///
/// # Errors
/// [`ErrorKind::Package`] with the field, the value found and the values expected.
pub(crate) fn check_manifest(manifest: &Manifest) -> Result<()> {
    check_sizes(manifest)?;
    manifest.tokens.validate()?;
    manifest
        .heads
        .iter()
        .try_for_each(|(name, ids)| check_head(manifest, name, ids).map_err(|e| e.context(format!("heads.{name}"))))?;
    if manifest.modalities.is_empty() {
        return refused("no modalities; expected one at least".into());
    }
    for (modality, config) in &manifest.modalities {
        check_modality(manifest, *modality, config).map_err(|e| e.context(format!("modalities.{modality}")))?;
    }
    for (purpose, config) in &manifest.settings {
        config.validate(Modality::Text).or_else(|e| refused(format!("settings.{purpose:?}: {e}")))?;
    }
    check_all_named(manifest)?;
    check_variants(manifest)?;
    let modalities: Vec<_> = manifest.modalities.keys().copied().collect();
    manifest.template.validate(&modalities, &manifest.tokens)?;
    if let Some(reasoning) = &manifest.reasoning {
        reasoning.validate()?;
    }
    check_names(manifest)
}

fn refused<T>(what: String) -> Result<T> {
    Err(Error::new(ErrorKind::Package, what))
}

/// Checks that all sizes are plausible, so that computations from them cannot overflow.
fn check_sizes(manifest: &Manifest) -> Result<()> {
    let model = &manifest.language_model;
    let size = |name: &str, size, range| (name.to_owned(), size, range);
    let mut sizes: Vec<Size> = vec![
        size("hidden_size", model.hidden_size, 1..=1 << 17),
        size("max_positions", model.max_positions, 1..=1 << 24),
        size("entries of language_model.state", model.state.len(), 1..=1),
    ];
    for StateConfig::Attention(AttentionConfig { layers, heads, head_size, rotary }) in &model.state {
        sizes.extend([
            size("layers", *layers, 1..=1 << 10),
            size("heads", *heads, 1..=1 << 12),
            size("head_size", *head_size, 2..=1 << 12),
            size("rotary.size", rotary.size, 2..=*head_size),
        ]);
        if !(head_size.is_multiple_of(2) && rotary.theta.is_finite() && rotary.theta > 0.0) {
            return refused(format!(
                "head_size is {head_size} and rotary.theta {}; expected an even number and one above 0",
                rotary.theta
            ));
        }
    }
    if let Some(audio) = &manifest.audio_encoder {
        sizes.extend([
            size("audio_encoder.sampling_rate", audio.sampling_rate as usize, RATES),
            size("n_fft", audio.n_fft, 1..=1 << 18),
            size("audio_encoder.hop_length", audio.hop_length, 1..=1 << 18),
            size("num_mel_bins", audio.num_mel_bins, 1..=1 << 12),
            size("chunk_frames", audio.chunk_frames, 1..=1 << 20),
            size("window_seconds", audio.window_seconds, 1..=3600),
        ]);
    }
    for (name, codec) in &manifest.codecs {
        let size = |field, size, range| (format!("codecs.{name}.{field}"), size, range);
        sizes.extend([
            size("sampling_rate", codec.sampling_rate as usize, RATES),
            size("hop_length", codec.hop_length, 1..=1 << 18),
            size("books", codec.books, 1..=1 << 10),
            size("codebook_size", codec.codebook_size, 1..=1 << 26),
            size("most_frames", codec.most_frames.unwrap_or(1), 1..=1 << 24),
        ]);
        match codec.decoding {
            DecodingConfig::Windowed { context_frames, .. } => {
                sizes.push(size("context_frames", context_frames, 0..=1 << 16));
            }
            DecodingConfig::Causal {
                chunk,
                lookahead,
                max_frames,
                state: CausalState { layers, heads, head_size },
            } => {
                sizes.extend([
                    size("books", codec.books, 1..=1),
                    size("max_frames", max_frames, 1..=1 << 24),
                    size("chunk", chunk, 1..=max_frames),
                    size("lookahead", lookahead, 0..=1 << 10),
                    size("state.layers", layers, 1..=1 << 10),
                    size("state.heads", heads, 1..=1 << 12),
                    size("state.head_size", head_size, 1..=1 << 12),
                ]);
            }
        }
    }
    for (name, enhancer) in &manifest.enhancers {
        let size = |field, size, range| (format!("enhancers.{name}.{field}"), size, range);
        sizes.extend([
            size("sampling_rate", enhancer.sampling_rate as usize, RATES),
            size("channels", enhancer.channels, 1..=64),
        ]);
    }
    if let Some((name, size, range)) = sizes.into_iter().find(|(_, size, range)| !range.contains(size)) {
        return refused(format!("{name} is {size}; expected {range:?}"));
    }
    let seconds = manifest.limits.input_seconds;
    if !(seconds.is_finite() && seconds > 0.0) {
        return refused(format!("limits.input_seconds is {seconds}; expected a number above 0"));
    }
    Ok(())
}

/// Checks that a head has a graph, and columns that are not empty, lie in the vocabulary and repeat no id.
fn check_head(manifest: &Manifest, name: &str, ids: &[Interval]) -> Result<()> {
    manifest.graph(name)?;
    let size = manifest.tokens.size;
    if ids.is_empty() {
        return refused("no ids; expected those of its columns".into());
    }
    for (number, interval) in ids.iter().enumerate() {
        if interval.is_empty() || interval.end as usize > size {
            return refused(format!("{interval:?}; expected ids within 0..{size}"));
        }
        if let Some(other) = ids.iter().take(number).find(|other| other.overlaps(interval)) {
            return refused(format!("{interval:?} overlaps {other:?}; expected each id once"));
        }
    }
    Ok(())
}

fn check_modality(manifest: &Manifest, modality: Modality, config: &ModalityConfig) -> Result<()> {
    if !manifest.heads.contains_key(&config.head) {
        return refused(format!("head is {:?}, which is not among the heads", config.head));
    }
    manifest.layout(config)?;
    config.generation.validate(modality).or_else(|e| refused(e.to_string()))?;
    match &config.codec {
        None if modality.is_sound() => return refused("no codec; expected one for sound".into()),
        Some(_) if !modality.is_sound() => return refused("a codec; expected none for text".into()),
        None => {}
        Some(name) => match manifest.codecs.get(name) {
            None => return refused(format!("codec is {name:?}, which is not among the codecs")),
            Some(codec) => check_codes(config, codec)?,
        },
    }
    match &config.enhancer {
        Some(name) if !manifest.enhancers.contains_key(name) => {
            refused(format!("enhancer is {name:?}, which is not among the enhancers"))
        }
        Some(_) if config.codec.is_none() => refused("an enhancer, but no codec".into()),
        _ => Ok(()),
    }
}

/// Checks that the books of a layout have room for the codes of `codec`.
fn check_codes(config: &ModalityConfig, codec: &CodecConfig) -> Result<()> {
    let books = &config.layout.books;
    if books.len() != codec.books {
        return refused(format!("{} books; its codec has {}", books.len(), codec.books));
    }
    let pads = usize::from(config.layout.pattern == Pattern::Delayed);
    match books.iter().position(|book| book.len() < codec.codebook_size + pads) {
        Some(book) => refused(format!("book {book} is too small for the {} codes of its codec", codec.codebook_size)),
        None => Ok(()),
    }
}

/// Checks that a modality names every head, codec and enhancer, and that the graphs of these exist.
fn check_all_named(manifest: &Manifest) -> Result<()> {
    let modalities = || manifest.modalities.values();
    if let Some(head) = manifest.heads.keys().find(|head| !modalities().any(|config| config.head == **head)) {
        return refused(format!("heads.{head} is named by no modality"));
    }
    for (name, codec) in &manifest.codecs {
        if !modalities().any(|config| config.codec.as_ref() == Some(name)) {
            return refused(format!("codecs.{name} is named by no modality"));
        }
        manifest.graph(&codec.decoder)?;
        codec.encoder.as_ref().map_or(Ok(""), |encoder| manifest.graph(encoder))?;
    }
    for (name, enhancer) in &manifest.enhancers {
        if !modalities().any(|config| config.enhancer.as_ref() == Some(name)) {
            return refused(format!("enhancers.{name} is named by no modality"));
        }
        manifest.graph(&enhancer.graph)?;
    }
    Ok(())
}

/// Checks that every variant is one of a graph of the package; that for long prompts is another form of `llm`, for the CPU.
fn check_variants(manifest: &Manifest) -> Result<()> {
    for (provider, graphs) in &manifest.variants {
        let is_known = |name: &str| manifest.graphs.contains_key(name) || (provider == CPU_VNNI && name == PREFILL);
        if let Some(name) = graphs.keys().find(|name| !is_known(name)) {
            return refused(format!("variants.{provider}.{name} is of no graph of the package"));
        }
    }
    Ok(())
}

/// Checks that no file name leaves the folder, and that all files in use are listed with their checksums.
fn check_names(manifest: &Manifest) -> Result<()> {
    if let Some(file) = manifest.files.keys().find(|file| !is_portable(file)) {
        return refused(format!("the file name {file:?} leaves the folder, or is none on some systems"));
    }
    for (name, file) in manifest.graph_files() {
        if !manifest.files.contains_key(file) {
            return refused(format!("graph {name:?} is in {file:?}, which is not among the files"));
        }
        if !file.ends_with(".onnx") {
            return refused(format!("graph {name:?} is in {file:?}; expected a file .onnx"));
        }
    }
    if !manifest.files.contains_key(TOKENIZER) {
        return refused(format!("{TOKENIZER} is not among the files"));
    }
    Ok(())
}
