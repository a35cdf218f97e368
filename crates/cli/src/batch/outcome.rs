//! The result of a request: a line of the results file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use ualm::audio::write_wav;
use ualm::{Error, Modality, Result, Seconds, Segment, SegmentEnd, Tokens, Usage};

use super::names::sound_name;
use crate::args::{BatchRun, Pictures};
use crate::output::warn;

/// The outcome of a request.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Outcome {
    Answered {
        id: String,
        segments: Vec<ResultSegment>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt_frames: Option<Tokens>,
        /// The unconditional prompt of guidance, if it consists of tokens.
        #[serde(skip_serializing_if = "Option::is_none")]
        unconditional_frames: Option<Tokens>,
        usage: Usage,
        seconds: Seconds,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        request: String,
    },
    Failed {
        id: Option<String>,
        line: usize,
        error: Failure,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        segments: Vec<ResultSegment>,
        request: String,
    },
}

#[derive(Serialize)]
pub struct Failure {
    kind: &'static str,
    message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind().name(), message: error.full_message() }
    }
}

#[derive(Serialize)]
pub struct ResultSegment {
    modality: Modality,
    end: SegmentEnd,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Tokens>,
}

impl ResultSegment {
    /// Describes segment `index`, and writes its sound into `folder`, for a request with the file stem `stem`.
    pub fn save(segment: Segment, index: usize, stem: &str, folder: &Path, args: &BatchRun) -> Result<Self> {
        let mut result = Self {
            modality: segment.modality,
            end: segment.end,
            text: (!segment.modality.is_sound()).then_some(segment.text),
            audio: None,
            seconds: None,
            frames: args.frames.then_some(segment.tokens),
        };
        if let Some(sound) = &segment.audio {
            let name = sound_name(stem, index);
            if write_wav(folder.join(&name), sound, args.samples.format())? > 0 {
                warn(&format!("warning: {name}: samples beyond full scale were clipped; --float keeps them"));
            }
            let picture = args.spectrogram.then(|| folder.join(&name).with_extension("png"));
            Pictures { spectrogram: picture, show: args.show }.draw(sound)?;
            result.seconds = Some(sound.seconds());
            result.audio = Some(name);
        }
        Ok(result)
    }
}

/// The fields of a result that are read back from the file.
#[derive(Deserialize)]
pub struct Written {
    pub id: Option<String>,
    pub line: Option<usize>,
    #[serde(default)]
    pub request: String,
    #[serde(default)]
    segments: Vec<WrittenSegment>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct WrittenSegment {
    audio: Option<String>,
}

impl Written {
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Returns the file names of the result's sounds.
    pub fn sounds(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| segment.audio.as_deref())
    }
}
