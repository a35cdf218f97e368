//! The float16 forms of a package's graphs, run here as variants for the CPU.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use ualm::audio::Waveform;
use ualm::{Codes, Modality, Model, Package, Providers, RuntimeOptions};
use ualm_testing::{change_manifest, copied_package, package, relative_error, skip_without_fixtures};

/// The largest difference from the package's own graphs, relative to the largest value.
const TOLERANCE: f32 = 1e-2;

/// Returns a copy of a package in which the variants for `provider` are variants for the CPU.
fn with_variants_for_the_cpu(name: &str, provider: &str, folder: &Path) -> PathBuf {
    let copy = copied_package(name, &folder.join(name));
    change_manifest(&copy, |manifest| manifest["variants"] = json!({"cpu": manifest["variants"][provider]}));
    copy
}

fn options() -> RuntimeOptions {
    let mut options = RuntimeOptions::default();
    options.providers = Some("cpu".parse::<Providers>().unwrap());
    options
}

/// Loads all graphs of a package, and checks that those for which `is_variant` returns true come from their variants' files.
fn loaded(model: &Model, is_variant: impl Fn(&str) -> bool) {
    model.load_all().unwrap();
    for placed in model.provider_report().unwrap().graphs {
        let own = format!("{}.onnx", placed.graph);
        assert_eq!(placed.file != own, is_variant(&placed.graph), "{placed}");
        assert_eq!(placed.variant_passed_over, None, "{placed}");
    }
}

fn hum(seconds: f64) -> Waveform {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    Waveform::mono(samples, 16_000).unwrap()
}

fn codes(model: &Model, modality: Modality, frames: usize) -> Codes {
    let codec = &model.manifest().codec(modality).unwrap().1;
    Codes::from_shape_fn((codec.books, frames), |(book, frame)| {
        ((book * 977 + frame * 7919 + 31) % codec.codebook_size) as u32
    })
}

fn is_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let error = relative_error(found, expected);
    assert!(error > 0.0 && error <= TOLERANCE, "{what}: differs by {error:e}");
}

/// Every graph except `embed`, which has no product, in float16, and so the cache of a causal decoder: features, codes and sounds
/// are nearly those of float32.
#[test]
fn all_graphs_run_in_float16_and_give_nearly_the_same() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    for name in ["tiny-omni-gpu", "tiny-audex-gpu"] {
        let half = Model::load_with(with_variants_for_the_cpu(name, "cuda", folder.path()), &options()).unwrap();
        let float = Model::load_with(package(name), &options()).unwrap();
        loaded(&half, |graph| graph != "embed");
        loaded(&float, |_| false);
        let features = |model: &Model| model.audio_features(&hum(1.2)).unwrap().into_iter().collect::<Vec<_>>();
        is_near(&format!("{name}: features"), &features(&half), &features(&float));
        for modality in [Modality::Audio, Modality::Speech] {
            let codes = codes(&float, modality, 150);
            let [found, expected] = [&half, &float].map(|model| model.decode_codes(modality, &codes).unwrap());
            is_near(&format!("{name}: {modality}"), found.samples(), expected.samples());
        }
        if name == "tiny-omni-gpu" {
            let [found, expected] =
                [&half, &float].map(|model| model.encode_codes(Modality::Audio, &hum(1.0)).unwrap());
            let others = found.iter().zip(&expected).filter(|(found, expected)| found != expected).count();
            assert!(20 * others <= expected.len(), "{others} of {} codes are others", expected.len());
        }
    }
}

/// A form of a quantized graph shares the weights in the file of the original graph.
#[test]
fn forms_of_a_package_in_memory_share_the_weights_of_its_graphs() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let copy = with_variants_for_the_cpu("tiny-audex-int8", "webgpu", folder.path());
    let size = |file: &str| fs::metadata(copy.join(file)).unwrap().len();
    assert!(size("llm.half.onnx.data") < size("llm.onnx.data") / 2);
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let files = Package::from_files(fs::read_dir(&copy).unwrap().map(read)).unwrap();
    let model = Model::from_package(files, &options()).unwrap();
    loaded(&model, |graph| graph != "embed" && graph != "audio_decoder");
    let float = Model::load_with(package("tiny-audex-int8"), &options()).unwrap();
    let codes = codes(&float, Modality::Speech, 40);
    let [found, expected] = [&model, &float].map(|model| model.decode_codes(Modality::Speech, &codes).unwrap());
    let error = relative_error(found.samples(), expected.samples());
    assert!(error <= 0.1, "{error:e}"); // the CPU rounds the activations of quantized weights to 8 bits
}
