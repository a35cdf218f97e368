//! `doctor`: checks that everything the program needs is installed and works.

use std::cell::OnceCell;
use std::time::Instant;

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::internal::{Comparer, Comparison, counted, usable_memory};
use ualm::{Error, ErrorKind, Message, Modality, Model, Package, ProviderReport, Result, Runtime};

use crate::args::Common;
use crate::output::{note, print, print_json};
use crate::setup::{package_folder, runtime_options};

/// The result of a check.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    seconds: f64,
    /// The requested providers and their states.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ProviderReport>,
    /// The differences between graphs on other providers and the same graphs on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

/// The findings of a check.
struct Findings {
    words: String,
    report: Option<ProviderReport>,
    comparison: Option<Comparison>,
}

impl Findings {
    fn is_right(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.unserved.is_empty())
            && self.comparison.as_ref().is_none_or(Comparison::is_right)
    }
}

impl From<String> for Findings {
    fn from(words: String) -> Self {
        Self { words, report: None, comparison: None }
    }
}

impl From<Comparison> for Findings {
    fn from(comparison: Comparison) -> Self {
        Self { words: comparison.to_string(), report: None, comparison: Some(comparison) }
    }
}

/// `ualm doctor`.
pub fn run(common: &Common) -> Result<()> {
    let mut checks = Vec::new();
    let mut run_check = |name, look: &dyn Fn() -> Result<Findings>| -> Result<bool> {
        let check = check(name, look);
        // printed at once, since a provider may crash the process
        if !common.json {
            print_check(&check)?;
        }
        let ok = check.ok;
        checks.push(check);
        Ok(ok)
    };
    let model = OnceCell::new();
    let library = run_check("library", &|| library(common))?;
    let providers = run_check("providers", &|| providers(common))?;
    let package = run_check("package", &|| package(common))?;
    if package {
        run_check("memory", &|| memory(common))?;
    }
    if library && providers && package {
        run_check("self-test", &|| {
            let loaded = Model::load_with(package_folder(common)?, &runtime_options(common))?;
            self_test(model.get_or_init(|| loaded))
        })?;
    }
    if let Some(model) = model.get() {
        let comparer = OnceCell::new();
        run_check("numbers", &|| {
            let compared = Comparer::new(model)?;
            Ok(comparer.get_or_init(|| compared).alone.clone().into())
        })?;
        if let Some(comparer) = comparer.get().filter(|comparer| comparer.has_right()) {
            note(common, "running graphs on two threads at once; a crash here is a fault of their provider");
            run_check("threads", &|| Ok(comparer.on_two_threads().into()))?;
        }
    }
    if common.json {
        print_json(&checks)?;
    }
    match checks.iter().filter(|check| !check.ok).count() {
        0 => Ok(()),
        failed => Err(Error::new(ErrorKind::Io, format!("{failed} of {} checks failed", checks.len()))),
    }
}

fn check(name: &'static str, look: impl FnOnce() -> Result<Findings>) -> Check {
    let start = Instant::now();
    let (ok, found) = match look() {
        Ok(found) => (found.is_right(), found),
        Err(error) => (false, error.full_message().into()),
    };
    let Findings { words, report, comparison } = found;
    Check { name, ok, found: words, seconds: start.elapsed().as_secs_f64(), report, comparison }
}

fn print_check(Check { name, ok, found, seconds, .. }: &Check) -> Result<()> {
    let found = found.replace('\n', "\n                 ");
    print(&format!("{} {name:<10} {found} ({seconds:.2} s)\n", if *ok { "ok   " } else { "FAILS" }))
}

fn library(common: &Common) -> Result<Findings> {
    let runtime = Runtime::start(&runtime_options(common))?;
    let threads = counted(runtime.threads(), "thread");
    Ok(format!("{}, {threads}, {}", runtime.library().display(), runtime.build_info()).into())
}

fn providers(common: &Common) -> Result<Findings> {
    let options = runtime_options(common);
    let report = Runtime::start(&options)?.provider_report(&options)?;
    let devices: Vec<_> = report.devices.iter().map(|device| format!("{} on {device}", device.provider)).collect();
    let words = format!("{report}\ndevices: {}", devices.join(", "));
    Ok(Findings { words, report: Some(report), comparison: None })
}

fn package(common: &Common) -> Result<Findings> {
    let package = Package::open(package_folder(common)?)?;
    package.verify()?;
    let megabytes = package.size() as f64 / 1e6;
    let manifest = package.manifest();
    Ok(format!("{} ({}, {megabytes:.1} MB) in {}", manifest.name, manifest.precision, package.folder().display())
        .into())
}

/// Compares the size of all weights with the memory that this process may use. Graphs on a device keep their weights
/// there.
fn memory(common: &Common) -> Result<Findings> {
    let weights = Package::open(package_folder(common)?)?.weights()?;
    let usable = usable_memory();
    let words =
        format!("{:.1} MB of weights; this process may use {:.0} MB in all", weights as f64 / 1e6, usable as f64 / 1e6);
    if weights > usable && common.provider.is_none() {
        let what = format!("{words}: too little for all graphs at once; some commands need fewer (docs/edge.md)");
        return Err(Error::new(ErrorKind::Limit, what));
    }
    Ok(words.into())
}

/// Loads every graph, listens to a second of a tone, and generates a few steps of every modality.
fn self_test(model: &Model) -> Result<Findings> {
    model.load_all()?;
    let manifest = model.manifest();
    let mut done = Vec::new();
    let words = Message::text("a short test");
    let mut heard = vec![words.clone()];
    if let Some(audio) = &manifest.audio_encoder {
        heard.push(Message::audio(tone(audio.sampling_rate)?));
        done.push("listened to 1 s".to_owned());
    }
    for modality in manifest.modalities.keys() {
        // in families whose prompts select the modality, only text can be about a sound
        let hears = *modality == Modality::Text || model.chooses_modality();
        let messages = if hears { &heard[..] } else { std::slice::from_ref(&words) };
        let mut config = model.config().only(*modality).thinking(false);
        config.segment_mut(*modality).max_steps = 12;
        let mut session = model.session();
        let prompt = session.prompt_for(*modality, messages)?;
        let reply = session.generate(prompt, &config)?.into_reply()?;
        done.push(format!("made {} of {modality}", counted(reply.usage.steps, "step")));
    }
    for (modality, codec) in model.sounds().filter(|(_, codec)| codec.encoder.is_some()).take(1) {
        let codes = model.encode_codes(modality, &tone(codec.sampling_rate)?)?;
        let sound = model.decode_codes(modality, &codes)?;
        done.push(format!(
            "encoded 1 s to {} and decoded to {:.2} s",
            counted(codes.ncols(), "frame"),
            sound.seconds()
        ));
    }
    if manifest.modalities.contains_key(&Modality::Text) && done.is_empty() {
        return Err(Error::new(ErrorKind::Package, "the package has neither text nor sound to make"));
    }
    let report = model.provider_report()?;
    let graphs: String = report.graphs.iter().map(|graph| format!("\n{graph}")).collect();
    Ok(Findings { words: done.join(", ") + &graphs, report: Some(report), comparison: None })
}

/// Returns a second of a quiet tone of 440 Hz.
fn tone(rate: u32) -> Result<Waveform> {
    let step = 440.0 * std::f32::consts::TAU / rate as f32;
    Waveform::mono((0..rate).map(|i| 0.2 * (i as f32 * step).sin()).collect(), rate)
}
