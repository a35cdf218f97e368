//! A response that is sent when the reply is complete.

use serde::Serialize;
use serde_json::value::RawValue;
use ualm::{Modality, Result, SegmentEnd, TakeEvent};

use super::Answer;
use super::parts::{ShownOutcome, ShownSegment, ShownUsage, finish_reason};
use crate::serve::job::Outcome;
use crate::serve::pieces::to_json;
use crate::serve::server::Worker;
use crate::serve::stop::StopReason;

/// The parts of a response so far.
pub struct Whole<'a> {
    worker: &'a Worker,
    answer: Answer,
    choices: Vec<Option<Choice>>,
}

#[derive(Clone, Default)]
struct Choice {
    /// The segments to show.
    segments: Vec<ShownSegment>,
    /// The end of the last segment.
    end: Option<SegmentEnd>,
    record: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct ShownChoice<'a> {
    index: usize,
    finish_reason: &'static str,
    logprobs: (),
    message: ShownMessage<'a>,
}

#[derive(Serialize)]
struct ShownMessage<'a> {
    role: &'static str,
    refusal: (),
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<ShownAudio<'a>>,
    segments: &'a [ShownSegment],
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ShownAudio<'a> {
    id: String,
    data: &'a str,
    expires_at: u64,
    transcript: String,
}

#[derive(Serialize)]
struct ShownAnswer<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ShownChoice<'a>>,
    usage: ShownUsage,
    ualm: ShownOutcome<'a>,
}

impl<'a> Whole<'a> {
    pub fn new(worker: &'a Worker, answer: Answer) -> Self {
        let choices = vec![None; answer.takes];
        Self { worker, answer, choices }
    }

    /// Handles an event of the reply.
    pub fn on_event(&mut self, event: TakeEvent<'_>) -> Result<()> {
        let TakeEvent::SegmentEnded { position, segment, sound, record } = event else { return Ok(()) };
        let layout = self.worker.server.model.layout(segment.modality)?;
        let mut shown = ShownSegment::new(position, segment, sound, layout);
        shown.audio = sound.map(|sound| self.answer.sound(sound, record)).transpose()?;
        let record = self.answer.record(record)?;
        let shown = Some(shown).filter(|_| self.answer.shows(segment.modality));
        let before = match self.choices.get(position.take) {
            Some(None) => self.before(position.number),
            _ => Choice::default(),
        };
        if let Some(choice) = self.choices.get_mut(position.take) {
            let choice = choice.get_or_insert(before);
            choice.segments.extend(shown);
            choice.end = Some(segment.end);
            choice.record = record;
        }
        Ok(())
    }

    /// Returns the segments before `number`, which all choices share, from the first choice.
    fn before(&self, number: usize) -> Choice {
        let first = self.choices.first().into_iter().flatten().flat_map(|choice| &choice.segments);
        let segments = first.filter(|segment| segment.number < number).cloned().collect();
        Choice { segments, end: None, record: None }
    }

    /// Sends the response.
    pub fn finish(self, outcome: &Outcome) -> Result<()> {
        let made = self.choices.iter().enumerate().filter_map(|(index, choice)| Some((index, choice.as_ref()?)));
        let stopped = self.worker.stop().reason();
        let shown = ShownAnswer {
            id: &self.answer.id,
            object: "chat.completion",
            created: self.answer.created,
            model: &self.answer.model,
            choices: made.map(|(index, choice)| choice.show(index, &self.answer, stopped)).collect(),
            usage: outcome.usage.into(),
            ualm: ShownOutcome::new(&self.answer, outcome, stopped),
        };
        self.worker.sender.whole("application/json", Vec::new(), to_json(&shown)?.into_bytes())
    }
}

impl Choice {
    fn show(&self, index: usize, answer: &Answer, stopped: Option<StopReason>) -> ShownChoice<'_> {
        let answers = self.segments.iter().filter(|segment| segment.modality != Modality::Thinking);
        let texts: Vec<_> = answers.filter_map(|segment| segment.text.as_deref()).collect();
        let text = (!texts.is_empty()).then(|| texts.join("\n"));
        let sound = self.segments.iter().rev().find_map(|segment| segment.audio.as_ref());
        ShownChoice {
            index,
            finish_reason: finish_reason(self.end, stopped),
            logprobs: (),
            message: ShownMessage {
                role: "assistant",
                refusal: (),
                audio: sound.map(|sound| ShownAudio {
                    id: answer.audio_id(index),
                    data: &sound.data,
                    expires_at: answer.created,
                    transcript: text.clone().filter(|_| answer.is_spoken).unwrap_or_default(),
                }),
                content: text,
                segments: &self.segments,
                record: self.record.as_deref(),
            },
        }
    }
}
