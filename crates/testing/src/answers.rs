//! The answers of the authors' code, which the runtime must reproduce.

use std::path::PathBuf;

use ndarray::{Array, Dimension};
use ndarray_npy::{ReadableElement, read_npy};
use serde::Deserialize;

use crate::fixture;

/// The two reference models, reduced in size.
pub const NAMES: [&str; 2] = ["tiny-omni", "tiny-afwhisper"];

/// The answers of the authors' code for a model.
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
