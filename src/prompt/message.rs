//! Messages: the parts of a conversation that a prompt is laid out from.

use serde::{Deserialize, Serialize};

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::modality::Modality;

/// The speaker of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the role with this `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another name.
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

    /// Returns the role's name in requests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// The content of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// Words.
    Text(String),
    /// A recording of sound or music.
    Audio(Waveform),
    /// A recording of speech. Its features are those of any sound; a template may announce it as speech.
    Speech(Waveform),
}

impl Content {
    /// Returns the modality under which a template announces the content.
    pub(crate) fn modality(&self) -> Modality {
        match self {
            Self::Text(_) => Modality::Text,
            Self::Audio(_) => Modality::Audio,
            Self::Speech(_) => Modality::Speech,
        }
    }
}

/// One part of a conversation; a turn of several parts is several messages of the same role.
///
/// The name of a control token in a text does not become that token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// The speaker.
    pub role: Role,
    /// Words or a recording.
    pub content: Content,
    /// `true` if the message begins a turn although the message before it has the same role. Templates that merge messages
    /// of one role into one turn ignore this.
    pub begins_turn: bool,
}

impl Message {
    /// Returns a message of `role`.
    pub fn new(role: Role, content: Content) -> Self {
        Self { role, content, begins_turn: false }
    }

    /// Returns whether the content is words.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.content, Content::Text(_))
    }

    /// Returns whether the message holds sound that the audio encoder hears.
    pub fn is_heard(&self) -> bool {
        !self.is_text() && self.role != Role::Assistant
    }

    /// Makes the message begin a turn of its own.
    #[must_use]
    pub fn in_new_turn(self) -> Self {
        Self { begins_turn: true, ..self }
    }

    /// Creates a text message of the user.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Role::User, Content::Text(text.into()))
    }

    /// Creates a message of the user with a recording of sound or music.
    pub fn audio(waveform: Waveform) -> Self {
        Self::new(Role::User, Content::Audio(waveform))
    }

    /// Creates a message of the user with a recording of speech.
    pub fn speech(waveform: Waveform) -> Self {
        Self::new(Role::User, Content::Speech(waveform))
    }
}
