//! Templates: the words and ids around the messages of a prompt and the segments of a reply, read from the manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Role;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;
use crate::token::{TokenId, Vocabulary};

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[non_exhaustive]
pub enum Piece {
    /// An id of the vocabulary.
    Id(TokenId),
    /// Text for the tokenizer; adjacent texts, including a message's own, are tokenized as one.
    Text(String),
}

/// The words around a prompt's messages and a reply's segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Template {
    /// Layouts of messages, by task; a task without an entry is laid out as text.
    pub tasks: BTreeMap<TaskName, Task>,
    /// Pieces around the content of a message.
    pub content: BTreeMap<Modality, ContentWrap>,
    /// Pieces before and after a segment that the model makes.
    pub segments: BTreeMap<Modality, Wrap>,
    /// Pieces between two segments of a reply, after the id that ended the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Piece>,
    /// `true` if the model thinks before it answers in text by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinks: bool,
    /// The form in which earlier replies stay in a conversation.
    #[serde(default, skip_serializing_if = "History::is_as_made")]
    pub history: History,
    /// The rule that decides the modality of the next segment.
    pub choice: Choice,
    /// The unconditional prompt of classifier-free guidance.
    pub unconditional: Unconditional,
}

/// The name of a task, for which a prompt is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskName {
    /// Text.
    Text,
    /// Sound and music.
    Audio,
    /// Spoken words.
    Speech,
    /// Thoughts, which text follows.
    Thinking,
    /// Text about sound in the messages.
    Listening,
    /// The answer in text of a spoken conversation, between the transcript of the question and the speech.
    Cascade,
}

impl TaskName {
    /// Returns the name of the task for a reply that begins with `modality`; `hears` is `true` if its messages hold sound. The
    /// model thinks about text only.
    pub(crate) fn of(modality: Modality, hears: bool) -> Self {
        match modality {
            Modality::Text | Modality::Thinking if hears => Self::Listening,
            modality => modality.into(),
        }
    }
}

impl From<Modality> for TaskName {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Text => Self::Text,
            Modality::Audio => Self::Audio,
            Modality::Speech => Self::Speech,
            Modality::Thinking => Self::Thinking,
        }
    }
}

/// A layout of messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Task {
    /// Pieces before the first turn of a conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begin: Vec<Piece>,
    /// The text of the system turn, for a conversation whose messages have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Pieces around the turns of each role.
    pub turns: BTreeMap<Role, Turn>,
    /// `true` if text is stripped of white space at both ends, and refused when nothing is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trim: bool,
    /// `true` if adjacent messages of one role form one turn, even if they begin turns of their own
    /// ([`Message::begins_turn`](crate::Message)).
    #[serde(default = "merges", skip_serializing_if = "Clone::clone")]
    pub merges: bool,
    /// `true` if the sounds of a turn are written before its texts, in any order of the messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sound_first: bool,
    /// The text of a turn with sound and no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Pieces after the last turn, before the opener of the reply's first segment.
    pub reply: Vec<Piece>,
}

fn merges() -> bool {
    true
}

/// Pieces around a turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Turn {
    /// Pieces before the turn.
    pub open: Vec<Piece>,
    /// Pieces between two messages of the turn.
    pub join: Vec<Piece>,
    /// Pieces after the turn.
    pub close: Vec<Piece>,
    /// A mark: of a text of the turn, only the part after the last such mark is written (an earlier answer without its
    /// thoughts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// `true` if texts of the turn are stripped of white space at both ends; nothing may be left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
}

/// Pieces around a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Wrap {
    /// Pieces before it.
    pub open: Vec<Piece>,
    /// Pieces after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub close: Vec<Piece>,
}

/// Pieces around the content of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ContentWrap {
    /// Pieces before it.
    pub open: Vec<Piece>,
    /// The placeholder id of a row of encoder features, for sound of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<TokenId>,
    /// Pieces after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub close: Vec<Piece>,
}

/// The form in which earlier replies stay in a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum History {
    /// Position by position, as the model generated them.
    #[default]
    AsMade,
    /// Without the model's thoughts: the answer is laid out again alone.
    WithoutThinking,
}

impl History {
    fn is_as_made(&self) -> bool {
        *self == Self::AsMade
    }
}

/// The rule that decides the modality of the next segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Choice {
    /// The likeliest opener, each of one id.
    #[default]
    ByOpener,
    /// The task for which the prompt was laid out.
    ByPrompt,
}

/// The unconditional prompt of classifier-free guidance, as long as the conditional one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unconditional {
    /// Pads only.
    #[default]
    Pads,
    /// The same prompt with this id in place of the text of its messages.
    Fill(TokenId),
}

impl Task {
    pub(crate) fn new(begin: Vec<Piece>, turns: BTreeMap<Role, Turn>, reply: Vec<Piece>) -> Self {
        Self { begin, system: None, turns, trim: false, merges: true, sound_first: false, question: None, reply }
    }
}

impl Template {
    /// Returns the pieces that begin a conversation for the task `name`: those before its first turn, and the default system
    /// turn.
    pub(crate) fn beginning(&self, name: TaskName) -> Result<Vec<Piece>> {
        let task = self.task(name)?;
        let mut pieces = task.begin.clone();
        if let Some((system, turn)) = task.system.as_ref().zip(task.turns.get(&Role::System)) {
            pieces.extend(turn.open.iter().cloned());
            pieces.push(Piece::Text(system.clone()));
            pieces.extend(turn.close.iter().cloned());
        }
        Ok(pieces)
    }

    /// Returns the layout of messages for the task `name`.
    pub(crate) fn task(&self, name: TaskName) -> Result<&Task> {
        let task = self.tasks.get(&name).or_else(|| self.tasks.get(&TaskName::Text));
        task.ok_or_else(|| Error::new(ErrorKind::Package, "the template has no task for text".to_owned()))
    }

    /// Checks that the template has everything that `modalities` need, and no ids outside `vocabulary`.
    pub(crate) fn validate(&self, modalities: &[Modality], vocabulary: &Vocabulary) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Package, format!("template: {what}")));
        for modality in modalities {
            let task = self.task((*modality).into())?;
            if !task.turns.contains_key(&Role::User) || !task.turns.contains_key(&Role::Assistant) {
                return fail(format!("the task for {modality} lacks turns of user or assistant"));
            }
            let Some(segment) = self.segments.get(modality) else {
                return fail(format!("segments has no entry for {modality}"));
            };
            if self.choice == Choice::ByOpener && !matches!(*segment.open, [Piece::Id(_)]) {
                return fail(format!(
                    "segments.{modality}.open is {:?}; expected one id, as choice is by_opener",
                    segment.open
                ));
            }
            if segment.open.is_empty() && task.reply.is_empty() {
                return fail(format!("no pieces before a segment of {modality}; expected at least one id"));
            }
        }
        if let Some((name, _)) =
            self.tasks.iter().find(|(_, task)| task.system.is_some() && !task.turns.contains_key(&Role::System))
        {
            return fail(format!("tasks.{name:?} has the text of a system turn, but no such turn"));
        }
        if self.history == History::WithoutThinking {
            if !self.task(TaskName::Text)?.turns.contains_key(&Role::Assistant) {
                return fail("history is without_thinking, but the task for text has no turn of the assistant".into());
            }
            self.check_thinking_reply().or_else(fail)?;
        }
        if let Some(id) = self.ids().find(|id| *id as usize >= vocabulary.size) {
            return fail(format!("the id {id}; expected ids below {}", vocabulary.size));
        }
        match self.unconditional {
            Unconditional::Pads if vocabulary.pad.is_none() => {
                fail("unconditional is \"pads\", but tokens.pad is missing".into())
            }
            _ => Ok(()),
        }
    }

    /// Checks that a reply with thoughts begins with an id. The conversation is rewound to that position, and a text would
    /// have been tokenized as one with the text before it.
    fn check_thinking_reply(&self) -> std::result::Result<(), String> {
        let task = self.task(TaskName::Thinking).ok();
        let Some((task, segment)) = task.zip(self.segments.get(&Modality::Thinking)) else { return Ok(()) };
        match task.reply.first().or(segment.open.first()) {
            Some(Piece::Text(text)) => Err(format!(
                "history is without_thinking, but the reply of the task for thinking begins with the text {text:?}; \
                 expected an id"
            )),
            _ => Ok(()),
        }
    }

    /// Returns every id of the template.
    fn ids(&self) -> impl Iterator<Item = TokenId> {
        let tasks = self.tasks.values().flat_map(|task| {
            let turns = task.turns.values().flat_map(|turn| [&turn.open, &turn.join, &turn.close]);
            turns.chain([&task.begin, &task.reply])
        });
        let content = self.content.values().flat_map(|wrap| [&wrap.open, &wrap.close]);
        let segments = self.segments.values().flat_map(|wrap| [&wrap.open, &wrap.close]);
        let pieces = tasks.chain(content).chain(segments).chain([&self.between]).flatten();
        let named = pieces.filter_map(|piece| match piece {
            Piece::Id(id) => Some(*id),
            Piece::Text(_) => None,
        });
        let fill = match self.unconditional {
            Unconditional::Fill(id) => Some(id),
            Unconditional::Pads => None,
        };
        named.chain(self.content.values().filter_map(|wrap| wrap.feature)).chain(fill)
    }
}
