//! Prompts and tokens: messages and texts as the language model reads them.

use ndarray::Array2;

use super::Model;
use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::Rules;
use crate::modality::Modality;
use crate::prompt::{Layouter, Message, Prompt, SoundEncoder, TaskName};
use crate::token::{End, Layout, TokenId, Tokens};

impl Model {
    /// Lays out `messages`, which begin a conversation, for a reply in text, or, if the model chooses the modality, for any
    /// reply: sound is encoded, text tokenized.
    ///
    /// # Errors
    /// As [`Session::prompt`](crate::Session::prompt).
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.prompt_for(Modality::Text, messages)
    }

    /// Lays out `messages` as [`prompt`](Self::prompt), for a reply that begins with a segment of `modality`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub fn prompt_for(&self, modality: Modality, messages: &[Message]) -> Result<Prompt> {
        self.lay_out(modality, messages, true)
    }

    /// Lays out `messages`, which begin a conversation, as the template's task `name`, for a reply of `modality`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub(crate) fn prompt_of(&self, name: TaskName, modality: Modality, messages: &[Message]) -> Result<Prompt> {
        self.layouter().prompt_of(name, modality, messages, true)
    }

    pub(crate) fn lay_out(&self, modality: Modality, messages: &[Message], begins: bool) -> Result<Prompt> {
        self.layouter().prompt(modality, messages, begins)
    }

    fn layouter(&self) -> Layouter<'_> {
        let Rules { template, vocabulary, tokenizer, .. } = &*self.inner.rules;
        Layouter { template, vocabulary, tokenizer, sound: self }
    }

    /// Embeds a prompt, with its features, shape [positions, hidden size].
    ///
    /// # Errors
    /// A prompt of another model.
    pub fn prompt_embeddings(&self, prompt: &Prompt) -> Result<Array2<f32>> {
        self.manifest().tokens.check(&prompt.tokens)?;
        let embeddings = self.inner.language_model.embed(&prompt.tokens, &prompt.features)?;
        let shape = (prompt.len(), self.manifest().language_model.hidden_size);
        Array2::from_shape_vec(shape, embeddings)
            .map_err(|e| Error::new(ErrorKind::Graph, "embed: embeddings of another size than expected").with_source(e))
    }

    /// Returns the number of positions that `prompt` takes together with a reply of one segment of at most `steps` positions.
    pub fn positions(&self, prompt: &Prompt, steps: usize) -> usize {
        prompt.len().saturating_add(self.inner.rules.overhead()).saturating_add(steps)
    }

    /// Returns the layout of segments of `modality`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot produce it.
    pub fn layout(&self, modality: Modality) -> Result<&Layout> {
        self.inner.rules.of(modality).map(|rules| &rules.layout)
    }

    /// Divides `ids` into positions of this model's width.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `ids` ends within a position, or holds an id that the model does not have.
    pub fn tokens(&self, ids: Vec<TokenId>) -> Result<Tokens> {
        let vocabulary = &self.manifest().tokens;
        let tokens = Tokens::from_ids(vocabulary.non_zero_width(), ids)?;
        vocabulary.check(&tokens)?;
        Ok(tokens)
    }

    /// Returns positions of one id each, in column 0, as text has them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an id that the model does not have.
    pub fn single_tokens(&self, ids: &[TokenId]) -> Result<Tokens> {
        let vocabulary = &self.manifest().tokens;
        let mut tokens = vocabulary.tokens();
        for id in ids {
            tokens.push_single(*id, vocabulary.filler());
        }
        vocabulary.check(&tokens)?;
        Ok(tokens)
    }

    /// Checks that a segment of `modality` can begin with `tokens`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot; the message names the position that does not fit.
    pub fn check_beginning(&self, modality: Modality, tokens: &Tokens) -> Result<()> {
        self.inner.rules.of(modality)?.check_beginning(tokens, &self.manifest().tokens)
    }

    /// Returns the tokens of a text segment that says `text`, without an end.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the text cannot be tokenized.
    pub fn text_tokens(&self, text: &str) -> Result<Tokens> {
        self.single_tokens(&self.inner.rules.tokenizer.encode(text)?)
    }

    /// Returns the tokens of a text segment that says `text` and lets another segment follow. If replies of this model have
    /// only one segment, the text ends the reply.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the text cannot be tokenized.
    pub fn closed_text_tokens(&self, text: &str) -> Result<Tokens> {
        let mut tokens = self.text_tokens(text)?;
        let rules = self.inner.rules.of(Modality::Text)?;
        let Some(end) = rules.layout.ending_id(End::Segment).or_else(|| rules.layout.ending_id(End::Turn)) else {
            return Ok(tokens);
        };
        tokens.push_single(end, self.manifest().tokens.filler());
        Ok(tokens)
    }
}

impl SoundEncoder for Model {
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        self.audio_features(sound)
    }

    fn segment(&self, modality: Modality, sound: &Waveform) -> Result<Tokens> {
        self.cancel.check()?;
        self.layout(modality)?.lay(&self.encode_codes(modality, sound)?)
    }
}
