//! Messages to the tokens that the language model reads, by the package's template.
//!
//! Text is tokenized with the template's own words around it. Sound from the user stays continuous: its positions hold
//! places, and encoder features take the place of their embeddings. Sound that the model is said to have made is laid out
//! as a segment of codec codes.

mod message;
mod template;
mod writer;

use std::sync::Arc;

use ndarray::Array2;

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;
use crate::text::TextTokenizer;
use crate::token::{Tokens, Vocabulary};

pub use message::{Content, Message, Role};
pub use template::{Choice, ContentWrap, Piece, Task, Template, Turn, Unconditional, Wrap};
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
    /// Index of the position that takes the first row.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The features, shape [positions, hidden size].
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
    /// Continuous features of `sound`, shape [positions, hidden size].
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>>;

    /// The tokens of a segment of `modality` that holds `sound`, without an end.
    fn segment(&self, modality: Modality, sound: &Waveform) -> Result<Tokens>;
}

/// A template with what it needs to lay out messages.
#[derive(Clone, Copy)]
pub struct Layouter<'a> {
    /// The words around messages.
    pub template: &'a Template,
    /// The space of ids.
    pub vocabulary: &'a Vocabulary,
    /// The tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// Encodes the sound of messages.
    pub sound: &'a dyn SoundEncoder,
}

impl Layouter<'_> {
    /// Lays out `messages` for a reply of `modality`; `begins` says that they begin a conversation.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for no messages, for text that cannot be tokenized or is empty where the template forbids
    /// it, and for a role or content that the template does not know; and those of encoding sound.
    pub fn prompt(&self, modality: Modality, messages: &[Message], begins: bool) -> Result<Prompt> {
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no messages; expected at least one"));
        }
        let (tokens, features) = self.write(modality, messages, begins, None)?;
        let unconditional = match self.template.unconditional {
            Unconditional::Fill(id) if features.is_empty() => {
                self.filled(modality, messages, begins, id, tokens.len())?
            }
            Unconditional::Fill(_) | Unconditional::Pads => None,
        };
        Ok(Prompt { tokens, features, unconditional, modality })
    }

    /// The prompt of `len` positions in which `fill` stands for the text of the messages; `None` when the template leaves
    /// no room for one.
    fn filled(
        &self,
        modality: Modality,
        messages: &[Message],
        begins: bool,
        fill: u32,
        len: usize,
    ) -> Result<Option<Tokens>> {
        let (bare, _) = self.write(modality, messages, begins, Some((fill, 0)))?;
        let Some(count) = len.checked_sub(bare.len()).filter(|count| *count > 0) else { return Ok(None) };
        Ok(Some(self.write(modality, messages, begins, Some((fill, count)))?.0))
    }

    /// Writes the messages; with `fill`, an id and a count, as many of that id in place of their text.
    fn write(
        &self,
        modality: Modality,
        messages: &[Message],
        begins: bool,
        fill: Option<(u32, usize)>,
    ) -> Result<(Tokens, Vec<FeatureSlot>)> {
        let task = self.template.task(modality)?;
        let mut writer = Writer::new(self.vocabulary, self.tokenizer);
        let last_text = messages.iter().rposition(|message| matches!(message.content, Content::Text(_)));
        if begins {
            writer.pieces(&task.begin)?;
        }
        let mut previous: Option<Role> = None;
        for (index, message) in messages.iter().enumerate() {
            let turn = |role: Role| {
                let unknown =
                    || Error::new(ErrorKind::Invalid, format!("this model's prompts have no {} turn", role.name()));
                task.turns.get(&role).ok_or_else(unknown)
            };
            match previous {
                Some(role) if role == message.role => writer.pieces(&turn(role)?.join)?,
                Some(role) => {
                    writer.pieces(&turn(role)?.close)?;
                    writer.pieces(&turn(message.role)?.open)?;
                }
                None => writer.pieces(&turn(message.role)?.open)?,
            }
            previous = Some(message.role);
            let fill = fill.map(|(id, count)| (id, if Some(index) == last_text { count } else { 0 }));
            self.content(&mut writer, task, message, fill)?;
            if index + 1 == messages.len() {
                writer.pieces(&turn(message.role)?.close)?;
            }
        }
        writer.finish()
    }

    fn content(&self, writer: &mut Writer, task: &Task, message: &Message, fill: Option<(u32, usize)>) -> Result<()> {
        let modality = message.content.modality();
        let unknown = || Error::new(ErrorKind::Invalid, format!("this model's prompts have no {modality}"));
        match (&message.content, message.role) {
            (Content::Text(text), _) => {
                let wrap = self.template.content.get(&modality).ok_or_else(unknown)?;
                writer.pieces(&wrap.open)?;
                match fill {
                    Some((id, count)) => writer.fill(id, count)?,
                    None if task.trim => writer.text(stripped(text)?),
                    None => writer.text(text),
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

fn stripped(text: &str) -> Result<&str> {
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Invalid, "the text is empty; expected some words")),
        text => Ok(text),
    }
}

impl Prompt {
    /// A prompt of `tokens` that were laid out by other means, for a reply of any modality. They are checked when a session
    /// runs them.
    pub fn from_tokens(tokens: Tokens) -> Self {
        Self { tokens, features: Vec::new(), unconditional: None, modality: Modality::Text }
    }

    /// The tokens, those that hold the places of features among them.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The features of the places, in order.
    pub fn features(&self) -> &[FeatureSlot] {
        &self.features
    }

    /// The number of positions.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The modality that the prompt was laid out for.
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// Puts `begin` first if it is not there yet.
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
