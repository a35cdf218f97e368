//! `inspect`: shows the manifest of a package.

use std::fmt::Write;

use ualm::internal::counted;
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

/// Formats the package as text.
fn describe(package: &Package, verified: bool) -> String {
    let manifest = package.manifest();
    let mut page = Page::default();
    describe_origin(&mut page, package, verified);
    describe_language_model(&mut page, manifest);
    describe_sound(&mut page, manifest);
    describe_abilities(&mut page, manifest);
    describe_graphs(&mut page, manifest);
    page.0
}

/// A page of lines, each with a name and a value.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        // writing to a string cannot fail
        let _ = writeln!(self.0, "{name:<16} {value}");
    }
}

fn describe_origin(page: &mut Page, package: &Package, verified: bool) {
    let manifest = package.manifest();
    page.line("name", &manifest.name);
    page.line("folder", package.folder().display());
    page.line("schema", manifest.schema);
    page.line("precision", &manifest.precision);
    page.line("size", format!("{:.1} MB in {} files", package.size() as f64 / 1e6, manifest.files.len()));
    page.line(
        "checked",
        if verified { "every byte of every file" } else { "sizes, and checksums of files up to 64 MiB" },
    );
    page.line("licence", or_unknown(&manifest.license));
    page.line("origin", or_unknown(&manifest.origin));
    if let Some(attribution) = &manifest.attribution {
        let mut lines = attribution.lines();
        let first = lines.next().unwrap_or_default();
        match lines.count() {
            0 => page.line("attribution", first),
            more => page.line("attribution", format!("{first} … and {more} more lines (--json shows them)")),
        }
    }
    if manifest.half_trained {
        page.line("training", "not finished");
    }
}

fn describe_language_model(page: &mut Page, manifest: &Manifest) {
    page.line("language model", language_model(manifest));
    page.line("vocabulary", vocabulary(manifest));
    for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
        if let Some(config) = manifest.modalities.get(&modality) {
            page.line(modality.name(), settings(config));
        }
    }
    if manifest.modalities.contains_key(&Modality::Thinking) {
        let when = if manifest.template.thinks { "by default" } else { "on request" };
        page.line("thinks", format!("before text answers, {when}, with the settings of text"));
    }
}

fn describe_sound(page: &mut Page, manifest: &Manifest) {
    if let Some(audio) = &manifest.audio_encoder {
        let rate = format!("{} Hz, {} mel bins", audio.sampling_rate, audio.num_mel_bins);
        page.line("hears", format!("{}, {rate}, windows of {} s", audio.kind, audio.window_seconds));
    }
    for (name, codec) in &manifest.codecs {
        let rate = codec.frames_per_second();
        let codes = format!("{} of {} codes", counted(codec.books, "stream"), codec.codebook_size);
        page.line("makes", format!("{name}, {} Hz, {rate} frames per second, {codes}", codec.sampling_rate));
    }
    for enhancer in manifest.enhancers.values() {
        page.line("enhancer", format!("to {} Hz, {}", enhancer.sampling_rate, counted(enhancer.channels, "channel")));
    }
}

fn describe_abilities(page: &mut Page, manifest: &Manifest) {
    if let Some(reasoning) = &manifest.reasoning {
        let modes: Vec<_> = reasoning.modes.iter().map(|mode| mode.name()).collect();
        let is_by_prompt = manifest.is_by_prompt();
        let listening = if reasoning.listen || is_by_prompt { ", listens to its drafts" } else { "" };
        let modes = if is_by_prompt { "by prompt".to_owned() } else { modes.join(", ") };
        page.line("reasons", format!("{modes}; by default {}{listening}", reasoning.default.name()));
    }
    page.line("listens to", format!("at most {} s", manifest.limits.input_seconds));
    if !manifest.known_words.is_empty() {
        page.line("knows", manifest.known_words.join(" "));
    }
}

fn describe_graphs(page: &mut Page, manifest: &Manifest) {
    for (graph, file) in &manifest.graphs {
        page.line(&format!("graph {graph}"), file_and_size(manifest, file));
    }
    for (provider, graphs) in &manifest.variants {
        match &**provider {
            CPU_VNNI => page.line("variants", format!("{provider}, for processors with VNNI ({})", this_processor())),
            _ => page.line("variants", provider),
        }
        for (graph, file) in graphs {
            page.line(&format!("  {graph}"), file_and_size(manifest, file));
        }
    }
}

fn this_processor() -> String {
    let processor = Processor::get();
    processor.vnni().map_or_else(|| "this one has none".to_owned(), |vnni| format!("this one has {vnni}"))
}

/// Formats the file of a graph with its size, including the weights of its own data file.
fn file_and_size(manifest: &Manifest, file: &str) -> String {
    let data = manifest.files.get(&format!("{file}.data")).map_or(0, |f| f.size);
    let size = data + manifest.files.get(file).map_or(0, |f| f.size);
    format!("{file}, {:.2} MB", size as f64 / 1e6)
}

fn settings(modality: &ModalityConfig) -> String {
    let g = &modality.generation;
    let sampling = format!("temperature {}, top-k {}, top-p {}", g.temperature, g.top_k, g.top_p);
    let ids = if modality.layout.strict { "" } else { ", drawn from the whole vocabulary" };
    format!("{sampling}, guidance {}, at most {}{ids}", g.guidance, counted(g.max_steps, "step"))
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "not stated".into() } else { text.into() }
}

fn language_model(manifest: &Manifest) -> String {
    let model = &manifest.language_model;
    let entry = |entry: &StateConfig| match entry {
        StateConfig::Attention(attention) => {
            let layers = counted(attention.layers, "layer");
            let heads = counted(attention.heads, "key/value head");
            let size = attention.head_size;
            format!("{layers} × {}, {heads} of {size}", model.hidden_size)
        }
        other => format!("{other:?}"),
    };
    let state: Vec<_> = model.state.iter().map(entry).collect();
    format!("{}, context {}", state.join("; "), model.max_positions)
}

fn vocabulary(manifest: &Manifest) -> String {
    let tokens = &manifest.tokens;
    let text = tokens.text.ids;
    let width = tokens.width;
    let each = if width == 1 { "one per position".into() } else { format!("{width} per position") };
    format!("{} ids, {each}: text {}–{}", tokens.size, text.start, text.end - 1)
}
