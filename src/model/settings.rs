//! The package's settings for replies, and the capabilities that they depend on.

use super::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::GenerationConfig;
use crate::modality::{Modality, SegmentConfig};
use crate::package::Purpose;
use crate::prompt::{Choice, Message};

/// The default limit on the segments of a reply.
const MAX_SEGMENTS: usize = 8;

impl Model {
    /// Returns the package's defaults for generation, with seed 0.
    pub fn config(&self) -> GenerationConfig {
        let defaults = |modality| {
            self.manifest().modalities.get(&modality).map_or_else(SegmentConfig::default, |config| config.generation)
        };
        GenerationConfig {
            seed: 0,
            text: defaults(Modality::Text),
            audio: defaults(Modality::Audio),
            speech: defaults(Modality::Speech),
            force: Vec::new(),
            max_segments: MAX_SEGMENTS,
            insist: false,
            stream_audio: false,
            thinking: self.manifest().template.thinks && self.thinks(),
        }
    }

    /// Returns the package's defaults for text made for `purpose`, without thinking.
    pub fn config_for(&self, purpose: Purpose) -> GenerationConfig {
        let config = self.config().only(Modality::Text).thinking(false);
        let text = self.manifest().settings.get(&purpose).copied().unwrap_or(config.text);
        GenerationConfig { text, ..config }
    }

    /// Returns the package's defaults for a reply to `messages`: those of [`config`](Self::config), but if the messages hold
    /// sound, the text settings for answers about sound.
    pub fn config_about(&self, messages: &[Message]) -> GenerationConfig {
        let config = self.config();
        if messages.iter().any(Message::is_heard) {
            GenerationConfig { text: self.config_for(Purpose::Ask).text, thinking: false, ..config }
        } else {
            config
        }
    }

    /// Returns whether the model thinks before it answers `messages` in text: as `asked`, or by the package's default.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when thinking is requested and the model cannot think, or the messages hold sound.
    pub fn thinking(&self, asked: Option<bool>, messages: &[Message]) -> Result<bool> {
        let hears = messages.iter().any(Message::is_heard);
        match asked {
            Some(true) if !self.thinks() => Err(self.lacks("thinking: its model answers at once")),
            Some(true) if hears => {
                let what = "thinking was requested about sound; the model thinks about text alone: leave it out";
                Err(Error::new(ErrorKind::Invalid, what))
            }
            Some(asked) => Ok(asked),
            None => Ok(self.config().thinking && !hears),
        }
    }

    /// Returns whether the model can think before it answers in text.
    pub fn thinks(&self) -> bool {
        self.manifest().modalities.contains_key(&Modality::Thinking)
    }

    /// Returns whether the model chooses the modality of each segment of a reply. Otherwise the prompt decides, which is
    /// laid out for one modality ([`prompt_for`](Self::prompt_for)).
    pub fn chooses_modality(&self) -> bool {
        self.manifest().template.choice == Choice::ByOpener
    }

    /// Returns the instruction to translate speech into English.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package's model does not translate.
    pub fn translation(&self) -> Result<&str> {
        let manifest = self.manifest();
        let words = &manifest.prompts.translate;
        if words.is_empty() {
            let name = &manifest.name;
            let what = format!("{name} does not translate: transcribe the speech in its own language");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(words)
    }

    /// Returns the words of a transcript without the sentence around them; `text` itself if it has no such sentence.
    pub fn unwrap_transcript<'t>(&self, text: &'t str) -> &'t str {
        let frames = &self.manifest().prompts.transcript;
        frames.iter().find_map(|frame| frame.content(text)).unwrap_or(text).trim()
    }
}
