//! A streamed response: server-sent events while the reply is generated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use ualm::audio::Waveform;
use ualm::{Modality, Record, Result, Segment, SegmentEnd, SegmentPosition, StageCost, TakeEvent};

use super::Answer;
use super::parts::{ShownOutcome, ShownSegment, ShownUsage, finish_reason};
use crate::serve::encode::PcmStream;
use crate::serve::job::Outcome;
use crate::serve::pieces::{Head, Piece};
use crate::serve::server::Worker;
use crate::wire::SoundFormat;

/// A streamed response.
pub struct Streamed<'a> {
    worker: &'a Worker,
    answer: Answer,
    with_usage: bool,
    has_begun: bool,
    /// The cost of the stage that begins next.
    cost: Option<StageCost>,
    /// The text so far, if the sound speaks it.
    spoken: String,
    choices: Vec<Choice>,
}

#[derive(Default)]
struct Choice {
    /// The stream of the current sound.
    pcm: Option<PcmStream>,
    /// The end of the last segment.
    end: Option<SegmentEnd>,
    record: Option<Box<RawValue>>,
}

impl<'a> Streamed<'a> {
    pub fn new(worker: &'a Worker, answer: Answer, with_usage: bool) -> Self {
        let choices = (0..answer.takes).map(|_| Choice::default()).collect();
        Self { worker, answer, with_usage, has_begun: false, cost: None, spoken: String::new(), choices }
    }

    /// Handles an event of the reply.
    pub fn on_event(&mut self, event: TakeEvent<'_>) -> Result<()> {
        // not sent by itself, so that an error before the first segment can still set the HTTP status
        if let TakeEvent::StageStarted(cost) = event {
            self.cost = Some(cost);
            return Ok(());
        }
        self.begin()?;
        match event {
            TakeEvent::SegmentStarted(position) | TakeEvent::TextDelta(position, _)
                if !self.answer.shows(position.modality) =>
            {
                Ok(())
            }
            TakeEvent::SegmentEnded { segment, .. } if !self.answer.shows(segment.modality) => Ok(()),
            TakeEvent::SegmentStarted(position) => self.began(position),
            TakeEvent::TextDelta(position, piece) => {
                if self.answer.is_spoken {
                    self.spoken.push_str(&piece);
                }
                // the common name of this field in other servers
                let field = if position.modality == Modality::Thinking { "reasoning_content" } else { "content" };
                self.delta(position.take, json!({field: piece, "segment": {"number": position.number}}))
            }
            TakeEvent::AudioChunk(position, sound) => {
                match self.choices.get_mut(position.take).and_then(|choice| choice.pcm.as_mut()) {
                    Some(pcm) => {
                        let bytes = pcm.push(sound.samples())?;
                        self.sound(position, &bytes)
                    }
                    None => Ok(()),
                }
            }
            TakeEvent::SegmentEnded { position, segment, sound, record } => {
                self.ended(position, segment, sound, record)
            }
            TakeEvent::Heard(words) => self.chunk(json!([]), json!({"ualm": {"heard": words}})),
            TakeEvent::Ranked(ranked) => self.chunk(json!([]), json!({"ualm": {"ranked": ranked}})),
            _ => Ok(()),
        }
    }

    /// Sends the head, and the first delta of every choice, once.
    fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        self.worker.sender.send(Piece::Head(Head::events()))?;
        (0..self.answer.takes).try_for_each(|take| self.delta(take, json!({"role": "assistant", "content": ""})))
    }

    fn began(&mut self, position: SegmentPosition) -> Result<()> {
        let mut segment = json!({"number": position.number, "modality": position.modality});
        if let Some(stage) = position.stage {
            segment["stage"] = json!(stage);
        }
        if let Some(cost) = self.cost.filter(|cost| Some(cost.stage) == position.stage) {
            segment["cost"] = json!({"takes": cost.takes, "steps": cost.steps, "expected_steps": cost.expected_steps,
                "seconds": cost.seconds});
        }
        if position.modality.is_sound() {
            let rate = self.answer.encoding.stream_rate();
            segment["sample_rate"] = json!(rate);
            if let Some(choice) = self.choices.get_mut(position.take) {
                choice.pcm = Some(PcmStream::new(self.worker.server.sample_rate(Some(position.modality)), rate)?);
            }
        }
        let mut delta = json!({"segment": segment});
        if position.modality.is_sound() && self.answer.is_spoken {
            delta["audio"] = json!({"id": self.answer.audio_id(position.take), "transcript": self.spoken.trim()});
        }
        self.delta(position.take, delta)
    }

    /// Ends the sound of a segment, and sends the segment.
    fn ended(
        &mut self,
        position: SegmentPosition,
        segment: &Segment,
        sound: Option<&Waveform>,
        record: &Record,
    ) -> Result<()> {
        if let Some(pcm) = self.choices.get_mut(position.take).and_then(|choice| choice.pcm.take()) {
            self.sound(position, &pcm.finish()?)?;
        }
        let layout = self.worker.server.model.layout(segment.modality)?;
        let mut shown = ShownSegment::new(position, segment, sound, layout);
        shown.text = None;
        if let Some(sound) = sound.filter(|_| self.answer.encoding.format != SoundFormat::Pcm) {
            shown.audio = Some(self.answer.sound(sound, record)?);
        }
        let record = self.answer.record(record)?;
        if let Some(choice) = self.choices.get_mut(position.take) {
            choice.end = Some(segment.end);
            choice.record = record;
        }
        self.delta(position.take, json!({"segments": [shown]}))
    }

    fn sound(&self, position: SegmentPosition, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.worker.sound_started();
        let audio = json!({"id": self.answer.audio_id(position.take), "data": STANDARD.encode(bytes)});
        self.delta(position.take, json!({"audio": audio, "segment": {"number": position.number}}))
    }

    /// Sends the final events.
    pub fn finish(mut self, outcome: &Outcome) -> Result<()> {
        self.begin()?;
        let stopped = self.worker.stop().reason();
        for (take, choice) in std::mem::take(&mut self.choices).into_iter().enumerate() {
            let reason = finish_reason(choice.end, stopped);
            let delta = choice.record.map_or_else(|| json!({}), |record| json!({"record": record}));
            self.chunk(json!([{"index": take, "delta": delta, "finish_reason": reason, "logprobs": null}]), json!({}))?;
        }
        let mut rest = json!({"ualm": ShownOutcome::new(&self.answer, outcome, stopped)});
        if self.with_usage {
            rest["usage"] = json!(ShownUsage::from(outcome.usage));
        }
        self.chunk(json!([]), rest)?;
        self.worker.sender.bytes("data: [DONE]\n\n")
    }

    fn delta(&self, take: usize, delta: Value) -> Result<()> {
        self.chunk(json!([{"index": take, "delta": delta, "finish_reason": null, "logprobs": null}]), json!({}))
    }

    fn chunk(&self, choices: Value, rest: Value) -> Result<()> {
        let mut chunk = json!({
            "id": self.answer.id, "object": "chat.completion.chunk",
            "created": self.answer.created, "model": self.answer.model, "choices": choices,
        });
        if let (Value::Object(chunk), Value::Object(rest)) = (&mut chunk, rest) {
            chunk.extend(rest);
        }
        self.worker.sender.event(&chunk)
    }
}
