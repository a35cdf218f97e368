//! `inspect`: what a package says of itself.

use std::fmt::Write;

use ualm::package::{CPU_VNNI, Manifest, ModalityConfig, Package, StateConfig};
use ualm::{Modality, Processor, Result};

use crate::args::{Common, Inspect};
use crate::output::{print, print_json, printable};
use crate::setup::{named_package, package_folder};

/// `ualm inspect`.
pub fn run(common: &Common, args: &Inspect) -> Result<()> {
    let folder = match &args.package {
        Some(package) => named_package(common, package)?,
        None => package_folder(common)?,
    };
    let package = Package::open(folder)?;
    if args.verify {
        package.verify()?;
    }
    if common.json {
        return print_json(package.manifest());
    }
    print(&printable(&describe(&package, args.verify)))
}

/// A page for a person.
fn describe(package: &Package, verified: bool) -> String {
    let manifest = package.manifest();
    let mut page = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(page, "{name:<16} {what}");
    };
    line("name", manifest.name.clone());
    line("folder", package.folder().display().to_string());
    line("schema", manifest.schema.to_string());
    line("precision", manifest.precision.clone());
    line("size", format!("{:.1} MB in {} files", package.size() as f64 / 1e6, manifest.files.len()));
    line("checked", if verified { "every byte of every file" } else { "sizes, and sums of files up to 64 MiB" }.into());
    line("licence", or_unknown(&manifest.license));
    line("origin", or_unknown(&manifest.origin));
    if let Some(attribution) = &manifest.attribution {
        let mut lines = attribution.lines();
        let first = lines.next().unwrap_or_default();
        match lines.count() {
            0 => line("attribution", first.to_owned()),
            more => line("attribution", format!("{first} … and {more} more lines (--json shows them)")),
        }
    }
    if manifest.half_trained {
        line("training", "not finished".into());
    }
    line("language model", language_model(manifest));
    line("vocabulary", vocabulary(manifest));
    for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
        if let Some(config) = manifest.modalities.get(&modality) {
            line(modality.name(), settings(config));
        }
    }
    if manifest.modalities.contains_key(&Modality::Thinking) {
        let when = if manifest.template.thinks { "unless told not to" } else { "when asked to" };
        line("thinks", format!("before it answers in text, {when}, with the settings of text"));
    }
    if let Some(audio) = &manifest.audio_encoder {
        let rate = format!("{} Hz, {} mel bins", audio.sampling_rate, audio.num_mel_bins);
        line("hears", format!("{}, {rate}, windows of {} s", audio.kind, audio.window_seconds));
    }
    for (name, codec) in &manifest.codecs {
        let rate = codec.frames_per_second();
        let codes = format!("{} streams of {} codes", codec.books, codec.codebook_size);
        line("makes", format!("{name}, {} Hz, {rate} frames a second, {codes}", codec.sampling_rate));
    }
    for enhancer in manifest.enhancers.values() {
        line("enhancer", format!("to {} Hz, {} channels", enhancer.sampling_rate, enhancer.channels));
    }
    if let Some(reasoning) = &manifest.reasoning {
        let modes: Vec<_> = reasoning.modes.iter().map(|mode| mode.name()).collect();
        let is_by_prompt = manifest.is_by_prompt();
        let ear = if reasoning.listen || is_by_prompt { ", hearing its sounds" } else { "" };
        let modes = if is_by_prompt { "by prompt".to_owned() } else { modes.join(", ") };
        line("reasons", format!("{modes}; {} unless told{ear}", reasoning.default.name()));
    }
    line("listens to", format!("at most {} s", manifest.limits.input_seconds));
    if !manifest.known_words.is_empty() {
        line("knows", manifest.known_words.join(" "));
    }
    for (graph, file) in &manifest.graphs {
        line(&format!("graph {graph}"), file_and_size(manifest, file));
    }
    for (provider, graphs) in &manifest.variants {
        let what = match &**provider {
            CPU_VNNI => format!("{provider}, for processors with VNNI ({})", this_processor()),
            _ => provider.clone(),
        };
        line("variants", what);
        for (graph, file) in graphs {
            line(&format!("  {graph}"), file_and_size(manifest, file));
        }
    }
    page
}

fn this_processor() -> String {
    let processor = Processor::get();
    processor.vnni().map_or_else(|| "this one has none".to_owned(), |vnni| format!("this one has {vnni}"))
}

/// Returns the file of a graph with its size, that of its own weights included.
fn file_and_size(manifest: &Manifest, file: &str) -> String {
    let data = manifest.files.get(&format!("{file}.data")).map_or(0, |f| f.size);
    let size = data + manifest.files.get(file).map_or(0, |f| f.size);
    format!("{file}, {:.2} MB", size as f64 / 1e6)
}

fn settings(modality: &ModalityConfig) -> String {
    let g = &modality.generation;
    let sampling = format!("temperature {}, top-k {}, top-p {}", g.temperature, g.top_k, g.top_p);
    let ids = if modality.layout.strict { "" } else { ", drawn from the whole vocabulary" };
    format!("{sampling}, guidance {}, at most {} steps{ids}", g.guidance, g.max_steps)
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "not stated".into() } else { text.into() }
}

fn language_model(manifest: &Manifest) -> String {
    let model = &manifest.language_model;
    let entry = |entry: &StateConfig| match entry {
        StateConfig::Attention(attention) => {
            let (layers, heads, size) = (attention.layers, attention.heads, attention.head_size);
            format!("{layers} layers × {}, {heads} key/value heads of {size}", model.hidden_size)
        }
        other => format!("{other:?}"),
    };
    let state: Vec<_> = model.state.iter().map(entry).collect();
    format!("{}, context {}", state.join("; "), model.max_positions)
}

fn vocabulary(manifest: &Manifest) -> String {
    let tokens = &manifest.tokens;
    let (text, width) = (tokens.text.ids, tokens.width);
    let each = if width == 1 { "one a position".into() } else { format!("{width} a position") };
    format!("{} ids, {each}: text {}–{}", tokens.size, text.start, text.end - 1)
}
