//! The JSON of a reply's parts in a response.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use ualm::audio::Waveform;
use ualm::{
    Layout, Modality, Ranked, Record, Result, RichCaption, Seconds, Segment, SegmentEnd, SegmentPosition, Stage, Usage,
};

use super::Answer;
use crate::serve::job::Outcome;
use crate::serve::stop::StopReason;
use crate::wire::SoundFormat;

/// A finished segment.
#[derive(Clone, Serialize)]
pub struct ShownSegment {
    pub number: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    pub modality: Modality,
    end: SegmentEnd,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<RichCaption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<ShownSound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doubts: Option<Vec<String>>,
}

/// A whole sound.
#[derive(Clone, Serialize)]
pub struct ShownSound {
    pub data: String,
    format: SoundFormat,
    sample_rate: u32,
}

impl ShownSegment {
    pub fn new(position: SegmentPosition, segment: &Segment, sound: Option<&Waveform>, layout: &Layout) -> Self {
        let is_sound = segment.modality.is_sound();
        Self {
            number: position.number,
            stage: position.stage,
            modality: segment.modality,
            end: segment.end,
            text: (!is_sound).then(|| segment.text.clone()),
            plan: Some(&segment.text).filter(|_| !is_sound).and_then(|text| RichCaption::parse(text)),
            seed: is_sound.then_some(segment.draws.seed),
            seconds: sound.map(Waveform::seconds),
            audio: None,
            doubts: is_sound.then(|| segment.doubts(layout)),
        }
    }
}

impl Answer {
    /// Encodes a sound as requested.
    pub fn sound(&self, sound: &Waveform, record: &Record) -> Result<ShownSound> {
        Ok(ShownSound {
            data: STANDARD.encode(self.encoding.encode(sound, record)?),
            format: self.encoding.format,
            sample_rate: self.encoding.rate(sound.sample_rate()),
        })
    }

    /// Returns whether segments of `modality` are part of the response.
    pub fn shows(&self, modality: Modality) -> bool {
        modality != Modality::Thinking || self.with_thinking
    }

    /// Returns the id of a choice's sound.
    pub fn audio_id(&self, choice: usize) -> String {
        format!("{}-{choice}", self.id.replacen("chatcmpl", "audio", 1))
    }

    /// Returns the record as JSON, if requested.
    pub fn record(&self, record: &Record) -> Result<Option<Box<RawValue>>> {
        if !self.with_records {
            return Ok(None);
        }
        // never fails, since the text was just written as JSON
        Ok(RawValue::from_string(record.to_json()?).ok())
    }
}

/// The usage, in OpenAI's format.
#[derive(Serialize)]
pub struct ShownUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl From<Usage> for ShownUsage {
    fn from(usage: Usage) -> Self {
        let prompt_tokens = usage.prompt_positions;
        let completion_tokens = usage.steps;
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// The field `ualm` of a response.
#[derive(Serialize)]
pub struct ShownOutcome<'a> {
    seed: u64,
    seconds: Seconds,
    incomplete: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ranking: &'a [Ranked],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    heard: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

impl<'a> ShownOutcome<'a> {
    pub fn new(answer: &'a Answer, outcome: &'a Outcome, stopped: Option<StopReason>) -> Self {
        Self {
            seed: outcome.seed,
            seconds: outcome.seconds,
            incomplete: stopped.map(StopReason::name),
            ranking: &outcome.ranking,
            heard: &outcome.heard,
            warnings: &answer.warnings,
        }
    }
}

/// Returns OpenAI's finish reason of a choice, by the end of its last segment and by the reason for which the reply
/// stopped.
pub fn finish_reason(end: Option<SegmentEnd>, stopped: Option<StopReason>) -> &'static str {
    match (end, stopped) {
        (Some(SegmentEnd::Eos | SegmentEnd::Eot), None) => "stop",
        _ => "length",
    }
}
