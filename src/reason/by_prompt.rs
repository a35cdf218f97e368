//! Chains by prompt: every stage is a request, which begins a new conversation. Its prompt is worded from the user's
//! words and the segments so far, so that any model for text and sound can run a chain.

use std::sync::LazyLock;

use regex::Regex;

use super::caption::RichCaption;
use super::runner::{ChainRunner, invalid};
use crate::audio::Waveform;
use crate::chain::{ChainRequest, Stage, Values, Wording, fill};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Checkpoint, GenerationConfig, Segment};
use crate::modality::Modality;
use crate::model::Model;
use crate::package::Purpose;
use crate::prompt::{Content, Message};
use crate::record::Record;

static CAPTION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\bcaption\W*?:").ok());

/// The kinds of requests; requests of one kind share their settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chat,
    Hearing,
    Sound,
}

impl Kind {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Draft | Stage::Final => Self::Sound,
            Stage::Description | Stage::Listen => Self::Hearing,
            Stage::Question | Stage::Answer | Stage::Plan | Stage::Critique => Self::Chat,
        }
    }
}

impl ChainRunner<'_> {
    /// Begins a chain by prompt about `words`.
    pub(super) fn begin_by_prompt(&mut self, words: &str) -> Result<()> {
        self.record.request = Some(ChainRequest { words: words.to_owned(), wording: self.options.wording.clone() });
        self.open_turn().map(drop)
    }

    /// Resumes a chain by prompt at the next stage of `record`, which was the stage `saved` there. Runs the recorded prompt of
    /// the stage, or lays out a new one if the record lacks it or the wording was changed.
    pub(super) fn go_to_by_prompt(&mut self, record: &Record, saved: Option<Stage>) -> Result<()> {
        let Some(stage) = self.stage() else {
            return Err(invalid("a chain resumes at a segment or at an answer: name one of them"));
        };
        record.check(self.model().package())?;
        let mut request = record.request.clone().ok_or_else(|| invalid("the record lacks the words of the chain"))?;
        request.wording.change(&self.options.wording);
        let cut = self.stages.cut(self.next);
        if record.turns.len() < cut.turn || record.turns.iter().take(cut.turn).any(|turn| turn.segments.is_empty()) {
            let what = format!("the record does not reach segment {}", self.stages.number(self.next));
            return Err(invalid(&what));
        }
        let is_answered = self.stages.iter().take(self.next).any(|stage| *stage == Stage::Answer);
        self.answer = answer_in(record).filter(|_| is_answered);
        if is_answered && self.answer.is_none() {
            return Err(invalid("the record has no answer to its question: resume at the answer"));
        }
        self.record = match stage {
            Stage::Answer => record.before(cut)?,
            _ if record.turns.len() > cut.turn && saved == Some(stage) && self.options.wording.is_empty() => {
                record.before(cut)?
            }
            _ => {
                let mut before = record.clone();
                before.turns.truncate(cut.turn);
                before
            }
        };
        self.record.request = Some(request);
        match stage {
            Stage::Answer => Ok(()),
            _ => self.open_turn().map(drop),
        }
    }

    /// Keeps the user's answer, and begins the turn of the plan.
    pub(super) fn answer_by_prompt(&mut self, answer: &Message) -> Result<()> {
        let Content::Text(words) = &answer.content else {
            return Err(invalid("an answer in a chain by prompt is text: transcribe the recording first"));
        };
        self.answer = Some(words.trim().to_owned());
        self.next += 1;
        let opened = self.open_turn();
        if opened.is_err() {
            self.next -= 1;
        }
        opened.map(drop)
    }

    /// Runs the prompt of the next stage in a new conversation, and returns the checkpoint after it.
    pub(super) fn open_turn(&mut self) -> Result<Checkpoint> {
        let cut = self.stages.cut(self.next);
        // the session leaves the last stage
        self.opened = None;
        let checkpoint = if self.record.turns.len() > cut.turn {
            self.takes.session_mut().restore(&self.record, cut)?
        } else {
            self.begin_turn_by_prompt()?
        };
        self.checkpoint = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    fn begin_turn_by_prompt(&mut self) -> Result<Checkpoint> {
        let stage = self.stage().ok_or_else(|| invalid("the chain is finished"))?;
        let config = self.config_of(stage);
        let messages = self.messages(stage)?;
        let prompt = self.model().prompt_for(config.opens_with(), &messages)?;
        let session = self.takes.session_mut();
        session.clear();
        let checkpoint = session.checkpoint(&prompt)?;
        // the answer is not a segment; the turn of the plan keeps it
        let answer = self.answer.clone().filter(|_| stage == Stage::Plan).map(Message::text);
        let messages: Vec<_> = answer.into_iter().chain(messages).collect();
        self.record.begin_conversation(&messages, &prompt, &config);
        Ok(checkpoint)
    }

    /// Returns the messages of the request of `stage`.
    fn messages(&self, stage: Stage) -> Result<Vec<Message>> {
        let manifest = self.model().manifest();
        let mut wording = manifest.reasoning.as_ref().map_or_else(Wording::default, |config| config.stages.clone());
        if let Some(request) = &self.record.request {
            wording.change(&request.wording);
        }
        let text =
            fill(wording.of(stage, &manifest.prompts.ask), &self.values()).map_err(|e| e.context(stage.name()))?;
        if text.is_empty() {
            let what = format!("the wording of {} gives no text at this stage of the chain", stage.name());
            return Err(invalid(&what));
        }
        match stage {
            Stage::Description => Ok(vec![Message::audio(self.draft()?), Message::text(text)]),
            _ => Ok(vec![Message::text(text)]),
        }
    }

    /// Returns the values of the placeholders at the next stage.
    fn values(&self) -> Values {
        let said = |stage| self.last_segment_of(stage).map_or("", |segment| segment.text.trim()).to_owned();
        let plan = said(Stage::Plan);
        let described = RichCaption::parse(&plan).map(|caption| caption.description);
        let description = described.filter(|words| !words.is_empty()).unwrap_or_else(|| plan.clone());
        let critique = said(Stage::Critique);
        Values {
            words: self.record.request.as_ref().map_or("", |request| request.words.trim()).to_owned(),
            question: said(Stage::Question),
            answer: self.answer.clone().unwrap_or_default(),
            caption: caption_in(&critique).unwrap_or_else(|| description.clone()),
            heard: said(Stage::Description),
            plan,
            description,
            critique,
        }
    }

    /// Returns the last segment of `stage` before the next stage.
    fn last_segment_of(&self, stage: Stage) -> Option<&Segment> {
        let turns = self.record.turns.iter().enumerate().take(self.stages.cut(self.next).turn);
        turns.rev().find(|(turn, _)| self.stages.of_turn(*turn) == Some(stage))?.1.segments.last()
    }

    /// Returns the last draft, enhanced if the package has an enhancer.
    fn draft(&self) -> Result<Waveform> {
        if let Some(sound) = &self.sound {
            return Ok(sound.clone());
        }
        let segment = self.last_segment_of(Stage::Draft).ok_or_else(|| invalid("there is no draft to listen to"))?;
        decoded(self.model(), segment)
    }

    /// Returns the settings of `stage`: those of the last request of its kind in the record, or the package's, changed as
    /// the options say.
    pub(super) fn config_by_prompt(&self, stage: Stage) -> GenerationConfig {
        let kind = Kind::of(stage);
        let model = self.model();
        let turns = self.record.turns.iter().enumerate().rev();
        let of_kind = turns.filter(|(turn, _)| self.stages.of_turn(*turn).map(Kind::of) == Some(kind));
        let mut config = of_kind.map(|(_, turn)| turn.config.clone()).next().unwrap_or_else(|| {
            let usual = match kind {
                Kind::Hearing => model.config_for(Purpose::Ask),
                Kind::Chat | Kind::Sound => model.config(),
            };
            // sounds keep the settings that the chain began with
            let began = self.record.turns.last().map(|turn| turn.config.clone());
            GenerationConfig { text: usual.text, ..began.unwrap_or(usual) }
        });
        (self.options.settings)(&mut config);
        let modality = stage.modality().unwrap_or(Modality::Text);
        GenerationConfig {
            insist: false,
            stream_audio: false,
            thinking: false,
            seed: self.seed,
            ..config.only(modality)
        }
    }
}

/// Decodes the sound of a recorded segment, and enhances it if the package has an enhancer.
fn decoded(model: &Model, segment: &Segment) -> Result<Waveform> {
    let layout = model.layout(segment.modality)?;
    let codes = layout.codes(&segment.tokens, 0..layout.frames(&segment.tokens))?;
    let sound = model.decode_codes(segment.modality, &codes)?;
    Ok(model.enhance(segment.modality, &sound)?.unwrap_or(sound))
}

/// Returns the user's answer in the record of a chain by prompt: the message before the prompt of the plan.
fn answer_in(record: &Record) -> Option<String> {
    let messages = record.turns.iter().map(|turn| &turn.messages[..]);
    messages
        .filter_map(|messages| match messages {
            [answer, prompt] if answer.modality == Modality::Text && prompt.modality == Modality::Text => {
                answer.text.clone()
            }
            _ => None,
        })
        .next()
}

/// Returns the text after the last "Caption:" of a critique, if there is some.
fn caption_in(critique: &str) -> Option<String> {
    let found = CAPTION.as_ref()?.find_iter(critique).last()?;
    let caption =
        critique.get(found.end()..)?.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '"' | '“' | '”'));
    (!caption.is_empty()).then(|| caption.to_owned())
}

/// Returns the error of a request for which the model generated nothing of `modality`. Another seed may succeed, so that
/// the request is not at fault.
pub(super) fn empty(name: &str, modality: Modality) -> Error {
    let what = if modality.is_sound() { "has no sound" } else { "has no text" };
    let way = "nothing of it is kept; make it again with another seed, other settings or another wording";
    Error::new(ErrorKind::Numeric, format!("the {name} {what}: {way}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caption_stands_after_its_last_mark() {
        assert_eq!(
            caption_in("No bell. Caption: A dog.\n**Caption:** \"A dog, then a bell.\" ").unwrap(),
            "A dog, then a bell."
        );
        assert_eq!(caption_in("caption : rain").unwrap(), "rain");
        for none in ["", "All is well.", "Caption:", "Caption: **"] {
            assert_eq!(caption_in(none), None, "{none}");
        }
    }
}
