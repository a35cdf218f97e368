//! Messages to the tokens that the language model reads, by the package's template.
//!
//! Text is tokenized together with the template's words around it. Sound from the user stays continuous: encoder features
//! replace the embeddings of its positions. Sound in a message of the assistant is laid out as a segment of codec codes.

mod message;
mod template;
mod writer;

use std::sync::Arc;

use ndarray::Array2;

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;
use crate::text::TextTokenizer;
use crate::token::{TokenId, Tokens, Vocabulary};

pub use message::{Content, Message, Role};
pub use template::{Choice, ContentWrap, History, Piece, Task, TaskName, Template, Turn, Unconditional, Wrap};
use writer::Writer;
pub(crate) use writer::write_pieces;

/// Encoder features and the position of the first embedding that they replace.
#[derive(Clone, Debug)]
pub struct FeatureSlot {
    pub(crate) start: usize,
    /// Shared, because those of a long recording are large.
    pub(crate) features: Arc<Array2<f32>>,
}

impl FeatureSlot {
    /// Returns the index of the position whose embedding the first row replaces.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns the features, shape [positions, hidden size].
    pub fn features(&self) -> &Array2<f32> {
        &self.features
    }
}

/// Messages as the language model reads them.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub(crate) tokens: Tokens,
    pub(crate) features: Vec<FeatureSlot>,
    /// The unconditional prompt, where the template has one of tokens.
    pub(crate) unconditional: Option<Tokens>,
    pub(crate) modality: Modality,
}

/// Encodes the sound of messages.
pub trait SoundEncoder {
    /// Encodes `sound` to continuous features, shape [positions, hidden size].
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>>;

    /// Returns the tokens of a segment of `modality` that holds `sound`, without an end.
    fn segment(&self, modality: Modality, sound: &Waveform) -> Result<Tokens>;
}

/// Lays out messages by a template.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "public for benches alone")]
pub struct Layouter<'a> {
    /// The template.
    pub template: &'a Template,
    /// The vocabulary.
    pub vocabulary: &'a Vocabulary,
    /// The tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The encoder of the messages' sound.
    pub sound: &'a dyn SoundEncoder,
}

impl Layouter<'_> {
    /// Lays out `messages` for a reply of `modality`; `begins` is `true` if they begin a conversation. The model thinks about
    /// text only: if the messages hold sound, a prompt for thinking is laid out for text.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for no messages, for text that cannot be tokenized or is empty although the template needs
    /// some, for thoughts of a model that does not think, and for a role or content that the template lacks; and the
    /// errors of encoding sound.
    pub fn prompt(&self, modality: Modality, messages: &[Message], begins: bool) -> Result<Prompt> {
        if modality == Modality::Thinking && !self.template.segments.contains_key(&Modality::Thinking) {
            let what = "this package's model does not think before it answers: request text without thinking";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let task = TaskName::of(modality, messages.iter().any(Message::is_heard));
        let modality = if task == TaskName::Listening { Modality::Text } else { modality };
        self.prompt_of(task, modality, messages, begins)
    }

    /// Lays out `messages` as the task `name`, for a reply of `modality`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub fn prompt_of(&self, name: TaskName, modality: Modality, messages: &[Message], begins: bool) -> Result<Prompt> {
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no messages; expected at least one"));
        }
        let task = self.template.task(name)?;
        let request = Request { task, modality, messages, begins };
        let (tokens, features) = self.write(request, None)?;
        let unconditional = match self.template.unconditional {
            Unconditional::Fill(id) if features.is_empty() => self.filled(request, id, tokens.len())?,
            Unconditional::Fill(_) | Unconditional::Pads => None,
        };
        Ok(Prompt { tokens, features, unconditional, modality })
    }

    /// Returns the prompt of `len` positions in which `id` replaces the user's text; `None` if the template leaves no room
    /// for it.
    fn filled(&self, request: Request, id: TokenId, len: usize) -> Result<Option<Tokens>> {
        let (bare, _) = self.write(request, Some(Fill { id, count: 0 }))?;
        let Some(count) = len.checked_sub(bare.len()).filter(|count| *count > 0) else { return Ok(None) };
        Ok(Some(self.write(request, Some(Fill { id, count }))?.0))
    }

    /// Writes the messages, with `fill` in place of the user's text. If the prompt decides the modality, it ends with the
    /// position before the reply's first.
    fn write(&self, request: Request, fill: Option<Fill>) -> Result<(Tokens, Vec<FeatureSlot>)> {
        let Request { task, modality, messages, begins } = request;
        let mut writer = Writer::new(self.vocabulary, self.tokenizer);
        if begins {
            writer.pieces(&task.begin)?;
            if let Some(system) = task.system.as_ref().filter(|_| !begins_with_system(messages)) {
                let message = Message::new(Role::System, Content::Text(system.clone()));
                self.turn(&mut writer, task, &[&message], None)?;
            }
        }
        let turns: Vec<_> = messages.chunk_by(|a, b| a.role == b.role && (task.merges || !b.begins_turn)).collect();
        let filled =
            turns.iter().rposition(|turn| turn.iter().any(|message| message.role == Role::User && message.is_text()));
        for (index, turn) in turns.iter().enumerate() {
            let fill = fill.map(|fill| Fill { count: if Some(index) == filled { fill.count } else { 0 }, ..fill });
            self.turn(&mut writer, task, &ordered(task, turn), fill)?;
        }
        if self.template.choice == Choice::ByPrompt {
            writer.pieces(&task.reply)?;
            if let Some(segment) = self.template.segments.get(&modality) {
                writer.pieces(&segment.open)?;
            }
        }
        writer.finish()
    }

    /// Writes the messages of one turn.
    fn turn(&self, writer: &mut Writer, task: &Task, messages: &[&Message], fill: Option<Fill>) -> Result<()> {
        let Some(role) = messages.first().map(|message| message.role) else { return Ok(()) };
        let unknown = || Error::new(ErrorKind::Invalid, format!("this model's prompts have no {} turn", role.name()));
        let turn = task.turns.get(&role).ok_or_else(unknown)?;
        let last_text = messages.iter().rposition(|message| message.is_text());
        writer.pieces(&turn.open)?;
        for (index, message) in messages.iter().enumerate() {
            if index > 0 {
                writer.pieces(&turn.join)?;
            }
            let fill = fill.filter(|_| role == Role::User);
            let fill = fill.map(|fill| Fill { count: if Some(index) == last_text { fill.count } else { 0 }, ..fill });
            self.content(writer, task, turn, message, fill)?;
        }
        if let (Some(question), None, Role::User) = (&task.question, last_text, role) {
            writer.pieces(&turn.join)?;
            writer.text(question);
        }
        writer.pieces(&turn.close)
    }

    fn content(
        &self,
        writer: &mut Writer,
        task: &Task,
        turn: &Turn,
        message: &Message,
        fill: Option<Fill>,
    ) -> Result<()> {
        let modality = message.content.modality();
        let unknown = || Error::new(ErrorKind::Invalid, format!("this model's prompts have no {modality}"));
        match (&message.content, message.role) {
            (Content::Text(text), _) => {
                let wrap = self.template.content.get(&modality).ok_or_else(unknown)?;
                writer.pieces(&wrap.open)?;
                match fill {
                    Some(Fill { id, count }) => writer.fill(id, count)?,
                    None => writer.text(written(text, task, turn)?),
                }
                writer.pieces(&wrap.close)
            }
            (Content::Audio(sound) | Content::Speech(sound), Role::Assistant) => {
                let wrap = self.template.segments.get(&modality).ok_or_else(unknown)?;
                writer.pieces(&wrap.open)?;
                writer.tokens(&self.sound.segment(modality, sound)?)?;
                writer.pieces(&wrap.close)
            }
            (Content::Audio(sound) | Content::Speech(sound), Role::System | Role::User) => {
                let wrap = self.template.content.get(&modality).ok_or_else(unknown)?;
                let feature = wrap.feature.ok_or_else(unknown)?;
                writer.pieces(&wrap.open)?;
                writer.features(feature, self.sound.features(sound)?)?;
                writer.pieces(&wrap.close)
            }
        }
    }
}

/// A request for a prompt.
#[derive(Clone, Copy)]
struct Request<'a> {
    task: &'a Task,
    modality: Modality,
    messages: &'a [Message],
    begins: bool,
}

/// An id, and the number of times that it is written in place of a text.
#[derive(Clone, Copy)]
struct Fill {
    id: TokenId,
    count: usize,
}

fn begins_with_system(messages: &[Message]) -> bool {
    messages.first().is_some_and(|message| message.role == Role::System)
}

/// Returns the messages of a turn in the order in which `task` writes them.
fn ordered<'m>(task: &Task, turn: &'m [Message]) -> Vec<&'m Message> {
    let mut messages: Vec<_> = turn.iter().collect();
    if task.sound_first {
        messages.sort_by_key(|message| message.is_text());
    }
    messages
}

/// Returns the part of `text` that `task` and `turn` write.
fn written<'t>(text: &'t str, task: &Task, turn: &Turn) -> Result<&'t str> {
    let text = turn.after.as_deref().and_then(|mark| text.rsplit_once(mark)).map_or(text, |(_, rest)| rest);
    match strip(text) {
        "" if task.trim => Err(Error::new(ErrorKind::Invalid, "the text is empty; expected some words")),
        stripped if task.trim || turn.strip => Ok(stripped),
        _ => Ok(text),
    }
}

/// Strips white space like Python's `str.strip` of the reference implementations, which also strips the separators
/// U+001C to U+001F.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'))
}

impl Prompt {
    /// Creates a prompt of `tokens` that were laid out by other means, for a reply of any modality; if the prompt decides the
    /// modality, for a reply in text, with all tokens before the reply. The session that runs the prompt checks them.
    pub fn from_tokens(tokens: Tokens) -> Self {
        Self { tokens, features: Vec::new(), unconditional: None, modality: Modality::Text }
    }

    /// Returns the tokens, including the placeholders of features.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Returns the unconditional prompt of guidance; `None` if the package's template has none of tokens, or
    /// this prompt has no room for it.
    pub fn unconditional(&self) -> Option<&Tokens> {
        self.unconditional.as_ref()
    }

    /// Returns the features, in the order of their positions.
    pub fn features(&self) -> &[FeatureSlot] {
        &self.features
    }

    /// Returns the number of positions.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns whether the prompt has no position.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the modality for which the prompt was laid out.
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// Puts `begin` before the tokens, unless they begin with it.
    pub(crate) fn begin(&mut self, begin: &Tokens) {
        let len = begin.len();
        for tokens in [Some(&mut self.tokens), self.unconditional.as_mut()].into_iter().flatten() {
            if tokens.len() >= len && tokens.slice(0..len) == *begin {
                return;
            }
            let mut whole = begin.clone();
            whole.extend(tokens);
            *tokens = whole;
        }
        for slot in &mut self.features {
            slot.start += len;
        }
    }
}

#[cfg(test)]
mod tests;
