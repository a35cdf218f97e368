//! What a generation works with: the graphs behind their traits, and the conversation's place in them.

#![expect(
    clippy::indexing_slicing,
    reason = "a frame has an id for each stream, a row of logits one for each id: the contract was checked"
)]

use std::collections::BTreeMap;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{AudioDecoder, Head, LanguageModel};
use crate::limits::Limits;
use crate::modality::Modality;
use crate::prompt::Prompt;
use crate::text::TextTokenizer;
use crate::token::{Frames, TokenId, Vocabulary};

/// What a generation works with.
pub(crate) struct Parts<'a> {
    /// The language model and its cache.
    pub language_model: &'a mut dyn LanguageModel,
    /// The codec's decoder; without one, sound cannot be generated.
    pub audio_decoder: Option<&'a dyn AudioDecoder>,
    /// Frames that belong to the conversation but are not in the cache yet; kept from one reply to the next.
    pub tail: &'a mut Frames,
    /// The tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The vocabulary.
    pub vocabulary: &'a Vocabulary,
    /// The modalities that the model may choose, with their tokens.
    pub modalities: &'a BTreeMap<Modality, TokenId>,
    /// What is refused.
    pub limits: &'a Limits,
}

impl Parts<'_> {
    /// Runs the tail, the prompt (for the first segment of a reply) and `[assistant]`. On failure the tail stays as it
    /// was.
    pub fn prefill(&mut self, prompt: Option<&Prompt>, cancel: &Cancel) -> Result<()> {
        let mut frames = self.tail.clone();
        let mut features = Vec::new();
        if let Some(prompt) = prompt {
            features.clone_from(&prompt.features);
            features.iter_mut().for_each(|slot| slot.start += frames.len());
            frames.extend(&prompt.frames);
        }
        frames.push_single(self.vocabulary.special.assistant);
        self.language_model.prefill(&frames, &features, cancel)?;
        *self.tail = Frames::new(frames.streams());
        Ok(())
    }

    /// Where the conversation stands.
    pub fn stand(&self) -> Stand {
        Stand { position: self.language_model.position(), tail: self.tail.clone() }
    }

    /// Takes the conversation back to `stand`.
    pub fn go_back(&mut self, stand: Stand) {
        self.language_model.rewind(stand.position);
        *self.tail = stand.tail;
    }

    /// [`prefill`](Self::prefill) and [`offered`](Self::offered). On failure the conversation stays as it was.
    pub fn arrive(&mut self, prompt: Option<&Prompt>, cancel: &Cancel) -> Result<Vec<Offer>> {
        let stand = self.stand();
        let offered = self.prefill(prompt, cancel).and_then(|()| self.offered());
        if offered.is_err() {
            self.go_back(stand);
        }
        offered
    }

    /// After `[assistant]`: every modality that may come next, its token and the token's logit, in ascending order of
    /// token.
    pub fn offered(&mut self) -> Result<Vec<Offer>> {
        let logits = self.language_model.logits(Head::Text)?;
        let offer = |(modality, token): (&Modality, &TokenId)| Offer {
            modality: *modality,
            token: *token,
            logit: logits[*token as usize],
        };
        let mut offered: Vec<_> = self.modalities.iter().map(offer).collect();
        offered.sort_unstable_by_key(|offer| offer.token);
        Ok(offered)
    }

    /// The frame that opens a segment of `modality`.
    pub fn opening_frame(&self, modality: Modality) -> Result<Vec<TokenId>> {
        let mut frame = vec![self.vocabulary.special.pad; self.vocabulary.streams];
        frame[0] = *self.modalities.get(&modality).ok_or_else(|| self.lacks(modality))?;
        Ok(frame)
    }

    /// Refuses a modality that the package cannot make.
    pub fn check_offered(&self, modality: Modality) -> Result<()> {
        if !self.modalities.contains_key(&modality) || (modality.is_sound() && self.audio_decoder.is_none()) {
            return Err(self.lacks(modality));
        }
        Ok(())
    }

    fn lacks(&self, modality: Modality) -> Error {
        let offered: Vec<_> = self.modalities.keys().map(|m| m.name()).collect();
        let what = format!("this package cannot make {modality}; it offers {}", offered.join(", "));
        Error::new(ErrorKind::Invalid, what)
    }

    /// Refuses a prompt of `frames` that is longer than the limit, or leaves no room for `[assistant]`, a modality token and one frame.
    pub fn check_fits(&self, frames: usize) -> Result<()> {
        self.limits.check_prompt(frames)?;
        let used = self.language_model.position() + self.tail.len();
        let (asked, most) = (frames + 3, self.language_model.max_positions());
        if used + asked > most {
            let what = format!(
                "the prompt takes {asked} positions and {used} are in use, but the model's context holds {most}: \
                 give shorter text or audio"
            );
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
}

/// Where a conversation stands: positions in the cache, and the frames that it lacks.
pub(crate) struct Stand {
    position: usize,
    tail: Frames,
}

/// A modality that may come next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub modality: Modality,
    pub token: TokenId,
    pub logit: f32,
}
