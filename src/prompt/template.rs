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
    /// Text for the tokenizer; neighbouring texts, a message's own among them, are tokenized as one.
    Text(String),
}

/// The words around a prompt's messages and a reply's segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Template {
    /// How messages become a prompt, by what is to be made; a task without an entry is laid out as text.
    pub tasks: BTreeMap<TaskName, Task>,
    /// What stands around the content of a message.
    pub content: BTreeMap<Modality, ContentWrap>,
    /// What opens and closes a segment that the model makes.
    pub segments: BTreeMap<Modality, Wrap>,
    /// What stands between two segments of a reply, after the id that ended the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Piece>,
    /// True if the model thinks before it answers in text unless told otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinks: bool,
    /// The form in which earlier replies stay in a conversation.
    #[serde(default, skip_serializing_if = "History::is_as_made")]
    pub history: History,
    /// What decides which modality comes next.
    pub choice: Choice,
    /// The unconditional prompt of classifier-free guidance.
    pub unconditional: Unconditional,
}

/// The name of a task: what a prompt is laid out for.
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
    /// Text about sound that is heard.
    Listening,
    /// The text that answers in a spoken conversation, where the question was heard before and the answer is spoken after.
    Cascade,
}

impl TaskName {
    /// Returns the name of the task for a reply that begins with `modality`; `hears` says that its messages hold sound.
    /// Thoughts come before text alone.
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
    /// Before the first turn of a conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begin: Vec<Piece>,
    /// The text of the system turn of a conversation whose messages give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Around the turns of each role.
    pub turns: BTreeMap<Role, Turn>,
    /// Whether text is stripped of white space at both ends, and refused when nothing is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trim: bool,
    /// Whether messages of one role that follow one another form one turn, even if they begin turns of their own
    /// ([`Message::begins_turn`](crate::Message)).
    #[serde(default = "merges", skip_serializing_if = "Clone::clone")]
    pub merges: bool,
    /// Whether the sounds of a turn stand before its texts, wherever they were given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sound_first: bool,
    /// The text of a turn that has sound and no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// After the last turn; the opener of the reply's first segment follows.
    pub reply: Vec<Piece>,
}

fn merges() -> bool {
    true
}

/// What stands around a turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Turn {
    /// Before the turn.
    pub open: Vec<Piece>,
    /// Between two messages of the same role.
    pub join: Vec<Piece>,
    /// After the turn.
    pub close: Vec<Piece>,
    /// Of a text of the turn, only what follows the last of these is written: an earlier answer without its thoughts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether texts of the turn are stripped of white space at both ends; nothing may be left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
}

/// What stands around something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Wrap {
    /// Before it.
    pub open: Vec<Piece>,
    /// After it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub close: Vec<Piece>,
}

/// What stands around the content of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ContentWrap {
    /// Before it.
    pub open: Vec<Piece>,
    /// The id that holds the place of a row of encoder features, for sound that is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<TokenId>,
    /// After it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub close: Vec<Piece>,
}

/// The form in which earlier replies stay in a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum History {
    /// Position by position as the model made them.
    #[default]
    AsMade,
    /// Without the model's thoughts: an answer is laid out again as if the model had not thought.
    WithoutThinking,
}

impl History {
    fn is_as_made(&self) -> bool {
        *self == Self::AsMade
    }
}

/// What decides which modality comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Choice {
    /// The likeliest of the openers, each of one id.
    #[default]
    ByOpener,
    /// The task that the prompt was laid out for.
    ByPrompt,
}

/// The unconditional prompt of classifier-free guidance, as long as the conditional one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unconditional {
    /// Pads alone.
    #[default]
    Pads,
    /// The same prompt, the text of its messages replaced by this id.
    Fill(TokenId),
}

impl Task {
    pub(crate) fn new(begin: Vec<Piece>, turns: BTreeMap<Role, Turn>, reply: Vec<Piece>) -> Self {
        Self { begin, system: None, turns, trim: false, merges: true, sound_first: false, question: None, reply }
    }
}

impl Template {
    /// Returns the pieces that begin a conversation for the task `name`: those before its first turn, and the system turn
    /// that messages without one get.
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

    /// Refuses a template that lacks what `modalities` need, or has ids outside `vocabulary`.
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
                return fail(format!("nothing stands before a segment of {modality}; expected an id at least"));
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

    /// Checks that a reply with thoughts begins with an id: it is taken back from there, and words would be tokenized as one
    /// with those before it.
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

    /// Every id that the template names.
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
