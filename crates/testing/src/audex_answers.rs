//! The answers of the reference implementation for the tiny Audex checkpoint.

use std::ops::Range;
use std::path::PathBuf;

use ndarray::{Array, Dimension, IxDyn};
use ndarray_npy::{ReadableElement, read_npy};
use serde::Deserialize;

use crate::fixture;

/// The answers of the reference implementation.
pub struct AudexAnswers {
    folder: PathBuf,
    pub cases: Vec<AudexCase>,
    /// The distance between the rows of features that are kept.
    pub row_step: usize,
    first_audio_id: u32,
    codebook_size: u32,
}

#[derive(Deserialize)]
struct Written {
    vocabulary: WrittenVocabulary,
    cases: Vec<AudexCase>,
    kept: Kept,
}

#[derive(Deserialize)]
struct WrittenVocabulary {
    audiocodec: [u32; 2],
    codebook_size: u32,
}

#[derive(Deserialize)]
struct Kept {
    row_step: usize,
}

/// A request with its answer; arrays are in files whose names begin with the name of the request.
#[derive(Deserialize)]
pub struct AudexCase {
    pub name: String,
    /// The kind of request: tts, tta, qa or chat.
    pub task: String,
    pub text: Option<String>,
    pub user: Option<String>,
    pub sound: Option<String>,
    pub question: Option<String>,
    #[serde(default)]
    pub messages: Vec<AudexMessage>,
    pub enable_thinking: Option<bool>,
    pub null_prompt: Option<String>,
    pub guidance: Option<f32>,
    pub cap: Option<usize>,
    pub max_tokens: usize,
    /// The id that ended the answer; `None` at the limit.
    pub ended: Option<u32>,
    pub answer: Option<String>,
    /// Windows of sound.
    pub clips: Option<usize>,
}

#[derive(Deserialize)]
pub struct AudexMessage {
    pub role: String,
    pub content: String,
}

impl AudexAnswers {
    #[expect(clippy::new_without_default, reason = "it reads files")]
    pub fn new() -> Self {
        let folder = fixture("answers/tiny-audex");
        let written = std::fs::read(folder.join("expected.json")).unwrap();
        let Written { vocabulary, cases, kept } = serde_json::from_slice(&written).unwrap();
        let [first_audio_id, _] = vocabulary.audiocodec;
        Self { folder, cases, row_step: kept.row_step, first_audio_id, codebook_size: vocabulary.codebook_size }
    }

    pub fn case(&self, name: &str) -> &AudexCase {
        self.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"))
    }

    /// Ids of the first level of audio codes.
    pub fn first_level(&self) -> Range<u32> {
        self.first_audio_id..self.first_audio_id + self.codebook_size
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn array<T: ReadableElement, D: Dimension>(&self, name: &str) -> Array<T, D> {
        read_npy(self.path(&format!("{name}.npy"))).unwrap_or_else(|e| panic!("{name}.npy: {e}"))
    }

    /// Returns an array of ids or codes, row after row.
    pub fn ids(&self, name: &str) -> Vec<u32> {
        let array: Array<i32, IxDyn> = self.array(name);
        array.iter().map(|id| u32::try_from(*id).unwrap()).collect()
    }
}
