//! A conversation and its next turn.

use serde::Serialize;
use ualm::audio::Waveform;
use ualm::internal::counted;
use ualm::{
    Cancel, Error, ErrorKind, Event, GenerationConfig, Mark, Message, Modality, Model, Prompt, Record, Result, Segment,
    SegmentEnd, Session,
};

use super::invalid;
use crate::args::{Chat, Common};
use crate::output::{note, print, print_json, warn};
use crate::progress::Progress;
use crate::sound::{numbered, sound_of};

/// A conversation in one session.
pub struct Conversation<'a> {
    common: &'a Common,
    args: &'a Chat,
    pub model: &'a Model,
    session: Session,
    /// The record of the conversation in the session.
    pub record: Record,
    /// The mark before each turn of the record; `None` for turns that were restored after others were forgotten.
    marks: Vec<Option<Mark>>,
    pub seed: u64,
    /// Number of turns so far, forgotten ones included.
    turn: usize,
    /// Number of sounds drawn so far.
    drawn: u16,
    sound: Option<Sound>,
}

/// A generated sound, its record and its turn.
struct Sound {
    waveform: Waveform,
    take: Record,
    turn: usize,
}

/// The JSON of a turn (`--json`).
#[derive(Serialize)]
struct Turn<'a> {
    turn: usize,
    seed: u64,
    segments: Vec<TurnSegment<'a>>,
}

#[derive(Serialize)]
struct TurnSegment<'a> {
    modality: Modality,
    end: SegmentEnd,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl<'a> Conversation<'a> {
    pub fn new(common: &'a Common, args: &'a Chat, model: &'a Model, seed: u64) -> Self {
        let session = model.session();
        let record = Record::new(model.package());
        Self { common, args, model, session, record, marks: Vec::new(), seed, turn: 0, drawn: 0, sound: None }
    }

    /// Sends `messages`, shows the reply and returns its sounds. After an error the conversation is unchanged, or has
    /// the partial reply.
    pub fn say(&mut self, messages: &[Message], cancel: &Cancel) -> Result<Vec<Waveform>> {
        self.session.set_cancel(cancel);
        let config = self.config(messages)?;
        let prompt = self.prompt_that_fits(messages, &config)?;
        let mark = self.session.mark();
        self.record.begin_turn(messages, &prompt, &config);
        self.marks.push(Some(mark));
        self.turn += 1;
        let mut segments = Vec::new();
        let replied = self.reply(prompt, &config, &mut segments);
        if segments.is_empty() {
            self.undo(&Cancel::new())?;
            return replied.and(Err(invalid("stopped before the reply began")));
        }
        let sounds = self.record_reply(&segments)?;
        replied.map_err(|e| e.context("the partial reply is kept; /undo removes it"))?;
        Ok(sounds)
    }

    fn config(&self, messages: &[Message]) -> Result<GenerationConfig> {
        let mut config = self.model.config_about(messages);
        let hears = messages.iter().any(Message::is_heard);
        let asked = self.args.thinking.thinking.filter(|asked| !(*asked && hears));
        config.thinking = self.model.thinking(asked, messages)?;
        self.args.sampling.overrides.apply(&mut config.audio);
        self.args.sampling.overrides.apply(&mut config.speech);
        if !self.model.chooses_modality() {
            self.args.sampling.overrides.apply(&mut config.text); // every reply is text
        }
        config.seed = self.seed.wrapping_add(self.turn as u64);
        Ok(config)
    }

    /// Returns the prompt for `messages`. If the context lacks room for the prompt and a text reply, the oldest turns
    /// are forgotten (`--keep-last`), or an error is returned.
    fn prompt_that_fits(&mut self, messages: &[Message], config: &GenerationConfig) -> Result<Prompt> {
        let max = self.session.max_positions();
        let reply = config.text.max_steps.min(max / 4);
        let mut keep = self.args.keep_last.map(usize::from);
        loop {
            let prompt = self.session.prompt_for(config.opens_with(), messages)?;
            let used = self.session.position();
            let needed = self.model.positions(&prompt, reply) + 1; // one more for the end of the reply
            if used + needed <= max {
                return Ok(prompt);
            }
            match keep {
                Some(count) if used > 0 => {
                    let count = count.min(self.record.turns.len().saturating_sub(1));
                    self.forget_all_but(count)?;
                    keep = Some(count.saturating_sub(1));
                }
                _ => {
                    let what = format!(
                        "the conversation takes {used} of the {max} positions of the model's context, and this turn \
                         needs {needed} with its reply: nothing was sent; /undo removes turns, and a chat with \
                         --keep-last N forgets the oldest ones"
                    );
                    return Err(Error::new(ErrorKind::Limit, what));
                }
            }
        }
    }

    /// Forgets all but the last `count` turns.
    fn forget_all_but(&mut self, count: usize) -> Result<()> {
        let kept = self.record.last_turns(count, self.model)?;
        self.session.restore_turns(&kept, count)?;
        let forgotten = self.record.turns.len() - count;
        self.marks = vec![None; count];
        self.record = kept;
        note(self.common, &format!("the context was full: forgot {}, kept {count}", counted(forgotten, "turn")));
        Ok(())
    }

    /// Generates the reply, shows it as it is generated, and appends its segments to `segments`.
    fn reply(&mut self, prompt: Prompt, config: &GenerationConfig, segments: &mut Vec<Segment>) -> Result<()> {
        let progress = Progress::spinner(self.common, "thinking");
        let shows = |modality| match modality {
            Modality::Thinking => self.args.thinking.show_thinking && !self.common.json,
            modality => !modality.is_sound() && !self.common.json,
        };
        let mut is_shown = false;
        for event in self.session.generate(prompt, config)? {
            match event? {
                Event::SegmentStarted { modality, .. } => is_shown = shows(modality),
                Event::TextDelta(piece) if is_shown => {
                    progress.clear();
                    print(&piece)?;
                }
                Event::SegmentEnded { segment, .. } => {
                    if is_shown {
                        progress.clear();
                        print("\n")?;
                    }
                    segments.push(segment);
                }
                Event::AudioProgress { seconds } => progress.show_sound(seconds),
                _ => {}
            }
        }
        Ok(())
    }

    /// Records a reply, shows its sounds and how it ended, and returns the sounds.
    fn record_reply(&mut self, segments: &[Segment]) -> Result<Vec<Waveform>> {
        let mut sounds = Vec::new();
        let mut take = self.record.clone();
        for segment in segments {
            self.record.push(segment);
            take.push(segment);
            if segment.modality.is_sound() && !segment.tokens.is_empty() {
                let waveform = sound_of(self.model, segment)?;
                note(self.common, &format!("({:.2} s of sound: /play, /save FILE.wav)", waveform.seconds()));
                self.draw(&waveform)?;
                sounds.push(waveform.clone());
                self.sound = Some(Sound { waveform, take: take.clone(), turn: self.turn });
            }
            match segment.end {
                SegmentEnd::Context => warn("warning: the model's context is full; /undo removes turns"),
                SegmentEnd::Limit if segment.modality == Modality::Thinking => {
                    note(self.common, "(thinking reached its limit of steps; there is no answer)");
                }
                SegmentEnd::Limit => note(self.common, "(cut off at the limit of steps)"),
                SegmentEnd::Cancelled => note(self.common, "(stopped)"),
                _ => {}
            }
        }
        if self.common.json {
            self.print_turn(segments)?;
        }
        Ok(sounds)
    }

    /// Prints the JSON of a reply.
    fn print_turn(&self, segments: &[Segment]) -> Result<()> {
        let is_shown = |segment: &&Segment| segment.modality != Modality::Thinking || self.args.thinking.show_thinking;
        let shown = segments.iter().filter(is_shown).map(|segment| TurnSegment {
            modality: segment.modality,
            end: segment.end,
            text: (!segment.modality.is_sound()).then_some(segment.text.as_str()),
            seconds: segment.audio.as_ref().map(Waveform::seconds),
        });
        print_json(&Turn { turn: self.turn, seed: segments[0].draws.seed, segments: shown.collect() })
    }

    /// Draws a sound of the conversation, if requested.
    pub fn draw(&mut self, sound: &Waveform) -> Result<()> {
        self.drawn = self.drawn.saturating_add(1);
        self.args.pictures.named(|picture| numbered(picture, self.drawn)).draw(sound)
    }

    /// Removes the last turn and returns its text.
    pub fn undo(&mut self, cancel: &Cancel) -> Result<String> {
        let Some(turns) = self.record.turns.len().checked_sub(1) else {
            return Err(invalid("there is no turn to remove"));
        };
        self.session.set_cancel(cancel);
        match self.marks.last() {
            Some(Some(mark)) if self.session.rewind(mark).is_ok() => {}
            _ => self.session.restore_turns(&self.record, turns)?,
        }
        let words = self.record.turns[turns].messages.iter().filter_map(|message| message.text.as_deref());
        let words = words.collect::<Vec<_>>().join(" ");
        self.marks.truncate(turns);
        self.record.turns.truncate(turns);
        self.turn -= 1;
        self.sound = self.sound.take().filter(|sound| sound.turn <= self.turn);
        Ok(words)
    }

    /// Returns the last sound and its record.
    pub fn last_sound(&self) -> Result<(&Waveform, &Record)> {
        let none = || invalid("there is no sound in this chat yet, or it was removed");
        self.sound.as_ref().map(|sound| (&sound.waveform, &sound.take)).ok_or_else(none)
    }
}
