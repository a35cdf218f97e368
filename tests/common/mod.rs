//! What the tests share: the fixtures that `tests/tools/fixtures.py` lays out (run by `make test`).
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array, Dimension};
use ndarray_npy::{ReadableElement, read_npy};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use ualm::Model;

/// The two reference models, cut small.
pub const NAMES: [&str; 2] = ["tiny-omni", "tiny-afwhisper"];

/// A path under `target/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures").join(path);
    assert!(path.exists(), "{} is missing: run `make test`, or `make fixtures` once", path.display());
    path
}

/// A package under `target/fixtures/packages`.
pub fn package(name: &str) -> PathBuf {
    fixture(&format!("packages/{name}"))
}

/// A loaded package.
pub fn model(name: &str) -> Model {
    Model::load(package(name)).unwrap()
}

/// A copy of a package in the new folder `copy`, that may be damaged.
pub fn copied_package(name: &str, copy: &Path) -> PathBuf {
    fs::create_dir(copy).unwrap();
    for entry in fs::read_dir(package(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy.to_path_buf()
}

/// Changes a file of a package, and its sum with it.
pub fn change_in_package(package: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(package.join(name)).unwrap();
    change(&mut bytes);
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(package.join(name), &bytes).unwrap();
    change_manifest(package, |manifest| manifest["files"][name] = json!({"size": bytes.len(), "sha256": sum}));
}

/// Changes the manifest of a package.
pub fn change_manifest(package: &Path, change: impl FnOnce(&mut Value)) {
    let path = package.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}

/// What the authors' code answered for a model.
pub struct Answers {
    folder: PathBuf,
    pub expected: Expected,
}

#[derive(Deserialize)]
pub struct Expected {
    pub inference: Inference,
    pub cases: Vec<Case>,
    pub interleaved: Vec<Interleaved>,
    pub codec: Vec<Clip>,
}

#[derive(Deserialize)]
pub struct Inference {
    pub audio: Settings,
    pub text: Settings,
}

#[derive(Deserialize)]
pub struct Settings {
    pub temperature: f32,
    pub topk: usize,
    pub cfg: f32,
    pub max_step: usize,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub task: String,
    pub data: Data,
    pub modality: String,
    pub prompt_frames: Vec<Vec<u32>>,
    pub tokens: Vec<Vec<u32>>,
    pub ended: bool,
    pub text: Option<String>,
    pub audio: Option<serde_json::Value>,
    #[serde(default)]
    pub feature_slots: Vec<(usize, usize, usize)>,
}

#[derive(Deserialize)]
pub struct Data {
    pub audio: Option<String>,
    pub text: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
pub struct Interleaved {
    pub prompt: String,
    pub prompt_frames: Vec<Vec<u32>>,
    pub segments: Vec<ExpectedSegment>,
}

#[derive(Deserialize)]
pub struct ExpectedSegment {
    pub modality: String,
    pub tokens: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
pub struct Clip {
    pub file: String,
    pub frames_with_delay: usize,
    pub samples: usize,
}

impl Answers {
    pub fn new(name: &str) -> Self {
        let folder = fixture(&format!("answers/{name}"));
        let expected = std::fs::read(folder.join("expected.json")).unwrap();
        Self { folder, expected: serde_json::from_slice(&expected).unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn array<T: ReadableElement, D: Dimension>(&self, name: &str) -> Array<T, D> {
        read_npy(self.path(&format!("{name}.npy"))).unwrap_or_else(|e| panic!("{name}.npy: {e}"))
    }
}

/// The largest difference, relative to the largest magnitude expected.
pub fn relative_error<'a>(
    found: impl IntoIterator<Item = &'a f32>,
    expected: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    let (found, expected): (Vec<_>, Vec<_>) = (found.into_iter().collect(), expected.into_iter().collect());
    assert_eq!(found.len(), expected.len(), "another number of values");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let difference = found.iter().zip(&expected).fold(0.0f32, |m, (a, b)| m.max((**a - **b).abs()));
    difference / largest.max(1e-30)
}

/// Random numbers that are the same in every run (an LCG's upper bits).
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// The fuzzer's seeds for `target`, with their names.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Bytes changed, left out, doubled, or an end cut off.
pub fn damage(bytes: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=draws.below(4) {
        let (place, len) = (draws.below(damaged.len() + 1), 1 + draws.below(9));
        let end = (place + len).min(damaged.len());
        match draws.below(5) {
            0 => damaged[place..end].iter_mut().for_each(|byte| *byte = draws.below(256) as u8),
            1 => drop(damaged.drain(place..end)),
            2 => drop(damaged.splice(place..place, bytes[..len.min(bytes.len())].to_vec())),
            3 => damaged[place..end].iter_mut().for_each(|byte| *byte ^= 1 << draws.below(8)),
            _ if draws.below(4) == 0 => damaged.truncate(place),
            _ => damaged[place..end].fill(*[0, 0xff, b'9', b'-'].get(draws.below(4)).unwrap_or(&0)),
        }
    }
    damaged
}
