//! The check of a manifest, before anything is computed from it.

use std::ops::RangeInclusive;

use super::TOKENIZER;
use super::manifest::{
    AttentionConfig, AudioEncoderConfig, CPU_VNNI, CausalState, CodecConfig, DecodingConfig, LanguageModelConfig,
    Manifest, ModalityConfig, PREFILL, StateConfig,
};
use crate::count::counted;
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
    for (name, ids) in &manifest.heads {
        check_head(manifest, name, ids).map_err(|e| e.context(format!("heads.{name}")))?;
    }
    if manifest.modalities.is_empty() {
        return refused("no modalities; expected at least one".into());
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
    let mut sizes = sizes_of_model(&manifest.language_model);
    if let Some(encoder) = &manifest.audio_encoder {
        sizes.extend(sizes_of_encoder(encoder));
    }
    for (name, codec) in &manifest.codecs {
        sizes.extend(named(&format!("codecs.{name}"), sizes_of_codec(codec)));
    }
    for (name, enhancer) in &manifest.enhancers {
        let sizes_of_enhancer =
            vec![("sampling_rate", enhancer.sampling_rate as usize, RATES), ("channels", enhancer.channels, 1..=64)];
        sizes.extend(named(&format!("enhancers.{name}"), sizes_of_enhancer));
    }
    if let Some((name, size, range)) = sizes.into_iter().find(|(_, size, range)| !range.contains(size)) {
        return refused(format!("{name} is {size}; expected {range:?}"));
    }
    for StateConfig::Attention(AttentionConfig { head_size, rotary, .. }) in &manifest.language_model.state {
        if !(head_size.is_multiple_of(2) && rotary.theta.is_finite() && rotary.theta > 0.0) {
            return refused(format!(
                "head_size is {head_size} and rotary.theta {}; expected an even number and one above 0",
                rotary.theta
            ));
        }
    }
    let seconds = manifest.limits.input_seconds;
    if !(seconds.is_finite() && seconds > 0.0) {
        return refused(format!("limits.input_seconds is {seconds}; expected a number above 0"));
    }
    Ok(())
}

/// Names `sizes` as fields of `section`.
fn named(section: &str, sizes: Vec<(&str, usize, RangeInclusive<usize>)>) -> Vec<Size> {
    sizes.into_iter().map(|(field, size, range)| (format!("{section}.{field}"), size, range)).collect()
}

fn sizes_of_model(model: &LanguageModelConfig) -> Vec<Size> {
    let mut sizes = vec![
        ("hidden_size", model.hidden_size, 1..=1 << 17),
        ("max_positions", model.max_positions, 1..=1 << 24),
        ("entries of language_model.state", model.state.len(), 1..=1),
    ];
    for StateConfig::Attention(AttentionConfig { layers, heads, head_size, rotary }) in &model.state {
        sizes.extend([
            ("layers", *layers, 1..=1 << 10),
            ("heads", *heads, 1..=1 << 12),
            ("head_size", *head_size, 2..=1 << 12),
            ("rotary.size", rotary.size, 2..=*head_size),
        ]);
    }
    sizes.into_iter().map(|(name, size, range)| (name.to_owned(), size, range)).collect()
}

fn sizes_of_encoder(encoder: &AudioEncoderConfig) -> Vec<Size> {
    let sizes = [
        ("audio_encoder.sampling_rate", encoder.sampling_rate as usize, RATES),
        ("n_fft", encoder.n_fft, 1..=1 << 18),
        ("audio_encoder.hop_length", encoder.hop_length, 1..=1 << 18),
        ("num_mel_bins", encoder.num_mel_bins, 1..=1 << 12),
        ("chunk_frames", encoder.chunk_frames, 1..=1 << 20),
        ("window_seconds", encoder.window_seconds, 1..=3600),
    ];
    sizes.into_iter().map(|(name, size, range)| (name.to_owned(), size, range)).collect()
}

fn sizes_of_codec(codec: &CodecConfig) -> Vec<(&str, usize, RangeInclusive<usize>)> {
    let mut sizes = vec![
        ("sampling_rate", codec.sampling_rate as usize, RATES),
        ("hop_length", codec.hop_length, 1..=1 << 18),
        ("books", codec.books, 1..=1 << 10),
        ("codebook_size", codec.codebook_size, 1..=1 << 26),
        ("most_frames", codec.most_frames.unwrap_or(1), 1..=1 << 24),
    ];
    match codec.decoding {
        DecodingConfig::Windowed { context_frames, .. } => {
            sizes.push(("context_frames", context_frames, 0..=1 << 16));
        }
        DecodingConfig::Causal { chunk, lookahead, max_frames, state } => {
            let CausalState { layers, heads, head_size } = state;
            sizes.extend([
                ("books", codec.books, 1..=1),
                ("max_frames", max_frames, 1..=1 << 24),
                ("chunk", chunk, 1..=max_frames),
                ("lookahead", lookahead, 0..=1 << 10),
                ("state.layers", layers, 1..=1 << 10),
                ("state.heads", heads, 1..=1 << 12),
                ("state.head_size", head_size, 1..=1 << 12),
            ]);
        }
    }
    sizes
}

/// Checks that a head has a graph, and columns that are not empty, lie in the vocabulary and repeat no id.
fn check_head(manifest: &Manifest, name: &str, ids: &[Interval]) -> Result<()> {
    manifest.graph(name)?;
    let size = manifest.tokens.size;
    if ids.is_empty() {
        return refused("no ids; expected the ids of its columns".into());
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
        return refused(format!("{}; its codec has {}", counted(books.len(), "book"), codec.books));
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

/// Checks that every variant belongs to a graph of the package, or is [`PREFILL`] among the forms for the CPU.
fn check_variants(manifest: &Manifest) -> Result<()> {
    for (provider, graphs) in &manifest.variants {
        let is_known = |name: &str| manifest.graphs.contains_key(name) || (provider == CPU_VNNI && name == PREFILL);
        if let Some(name) = graphs.keys().find(|name| !is_known(name)) {
            return refused(format!("variants.{provider}.{name} belongs to no graph of the package"));
        }
    }
    Ok(())
}

/// Checks that no file name leaves the folder, and that all files in use are listed with their checksums.
fn check_names(manifest: &Manifest) -> Result<()> {
    if let Some(file) = manifest.files.keys().find(|file| !is_portable(file)) {
        return refused(format!("the file name {file:?} leaves the folder, or is invalid on some systems"));
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
