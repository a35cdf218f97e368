//! Messages to the frames that the language model reads.
//!
//! `[bos]`, then for each message `[role] [modality] content… [eot or eos]`: `eot` when the next message has the same
//! role. Text is tokenized as it stands. Sound from the user stays continuous: its frames are placeholders, and encoder
//! features take the place of their embeddings. Sound that the model is said to have made is a segment of codec frames.

use ndarray::Array2;

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::text::TextTokenizer;
use crate::token::{Codes, Frames, TokenId, Vocabulary, delay};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role that a request calls `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "system" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            other => {
                let what = format!("role {other:?}; expected \"system\", \"user\" or \"assistant\"");
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Its name in requests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    fn token(self, vocabulary: &Vocabulary) -> TokenId {
        match self {
            Self::System => vocabulary.special.system,
            Self::User => vocabulary.special.user,
            Self::Assistant => vocabulary.special.assistant,
        }
    }
}

/// What is said.
#[derive(Clone, Debug)]
pub enum Content {
    /// Words.
    Text(String),
    /// A recording of sound or music.
    Audio(Waveform),
    /// A recording of speech: the same features, under the modality token of speech.
    Speech(Waveform),
}

/// One part of a conversation; a turn of several parts is several messages of the same role.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

impl Message {
    /// The user's words.
    pub fn text(text: impl Into<String>) -> Self {
        Self { role: Role::User, content: Content::Text(text.into()) }
    }

    /// The user's recording of sound or music.
    pub fn audio(waveform: Waveform) -> Self {
        Self { role: Role::User, content: Content::Audio(waveform) }
    }

    /// The user's recording of speech.
    pub fn speech(waveform: Waveform) -> Self {
        Self { role: Role::User, content: Content::Speech(waveform) }
    }
}

/// Encoder features and the position of the first frame whose embeddings they replace.
#[derive(Clone, Debug)]
pub struct FeatureSlot {
    /// Index of the frame that takes the first row.
    pub start: usize,
    /// Shape [frames, hidden size].
    pub features: Array2<f32>,
}

/// What the language model is given before it answers.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The frames, placeholders included.
    pub frames: Frames,
    /// The features of the placeholders, in order.
    pub features: Vec<FeatureSlot>,
}

/// What turns the sound of messages into what the language model reads.
pub trait Ears {
    /// Continuous features, shape [frames, hidden size].
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>>;

    /// Codec codes, shape [streams, frames].
    fn codes(&self, sound: &Waveform) -> Result<Codes>;
}

impl Prompt {
    /// Lays out `messages`; `begins` puts `[bos]` first, as a new conversation wants it.
    pub fn new(
        messages: &[Message],
        begins: bool,
        vocabulary: &Vocabulary,
        tokenizer: &TextTokenizer,
        ears: &dyn Ears,
    ) -> Result<Self> {
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no messages; expected at least one"));
        }
        let special = &vocabulary.special;
        let mut prompt = Self { frames: Frames::new(vocabulary.streams), features: Vec::new() };
        if begins {
            prompt.frames.push_single(special.bos);
        }
        for (index, message) in messages.iter().enumerate() {
            prompt.frames.push_single(message.role.token(vocabulary));
            match &message.content {
                Content::Text(text) => prompt.push_text(special.text, &tokenizer.encode(text)?),
                Content::Audio(sound) => prompt.push_sound(special.audio, message.role, sound, vocabulary, ears)?,
                Content::Speech(sound) => prompt.push_sound(special.speech, message.role, sound, vocabulary, ears)?,
            }
            let goes_on = messages.get(index + 1).is_some_and(|next| next.role == message.role);
            prompt.frames.push_single(if goes_on { special.eot } else { special.eos });
        }
        Ok(prompt)
    }

    /// Puts `[bos]` first if it is not there yet.
    pub(crate) fn begin(&mut self, vocabulary: &Vocabulary) {
        if self.frames.get(0).is_some_and(|frame| frame.first() == Some(&vocabulary.special.bos)) {
            return;
        }
        let mut frames = Frames::new(vocabulary.streams);
        frames.push_single(vocabulary.special.bos);
        frames.extend(&self.frames);
        self.frames = frames;
        self.features.iter_mut().for_each(|slot| slot.start += 1);
    }

    fn push_text(&mut self, modality: TokenId, ids: &[TokenId]) {
        self.frames.push_single(modality);
        for id in ids {
            self.frames.push_single(*id);
        }
    }

    fn push_sound(
        &mut self,
        modality: TokenId,
        role: Role,
        sound: &Waveform,
        vocabulary: &Vocabulary,
        ears: &dyn Ears,
    ) -> Result<()> {
        self.frames.push_single(modality);
        if role == Role::Assistant {
            self.frames.extend(&delay(&ears.codes(sound)?, vocabulary));
            return Ok(());
        }
        let features = ears.features(sound)?;
        let start = self.frames.len();
        self.frames.push_pads(features.nrows());
        self.features.push(FeatureSlot { start, features });
        Ok(())
    }
}
