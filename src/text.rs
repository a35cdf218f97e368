//! Text to token ids and back, the latter one token at a time without ever showing half a character.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::token::{TokenId, Vocabulary};
use crate::{Error, ErrorKind, Result};

/// The package's tokenizer, placed in the shared vocabulary.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
}

impl TextTokenizer {
    /// Reads `tokenizer.json`.
    pub fn from_file(path: &Path, vocabulary: &Vocabulary) -> Result<Self> {
        let tokenizer = Tokenizer::from_file(path).map_err(|e| {
            Error::new(ErrorKind::Package, format!("{}: not a tokenizer that can be read", path.display()))
                .with_source(e)
        })?;
        let most = vocabulary.text.len();
        let found = tokenizer.get_vocab_size(true);
        if found > most {
            let what = format!("{}: {found} tokens, but the vocabulary has room for {most}", path.display());
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(Self { tokenizer, vocabulary: vocabulary.clone() })
    }

    /// The ids of `text` in the shared vocabulary, without any template of the tokenizer's own.
    ///
    /// The tokenizer's id 0 becomes pad, as the authors' trainer wrote it (`np.where(seq == pad, pad, seq + offset)`).
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let encoding = self.tokenizer.encode(text, false).map_err(|e| {
            Error::new(ErrorKind::Invalid, "the text cannot be tokenized").with_source(e)
        })?;
        let (pad, start) = (self.vocabulary.special.pad, self.vocabulary.text.start);
        Ok(encoding.get_ids().iter().map(|&id| if id == pad { pad } else { id + start }).collect())
    }

    /// The text of `ids`; ids that are not text are passed over.
    pub fn decode(&self, ids: &[TokenId]) -> Result<String> {
        let own: Vec<u32> =
            ids.iter().filter(|id| self.vocabulary.text.contains(**id)).map(|id| id - self.vocabulary.text.start).collect();
        self.tokenizer
            .decode(&own, true)
            .map_err(|e| Error::new(ErrorKind::Graph, "the answer cannot be turned into text").with_source(e))
    }
}

/// Turns a growing list of ids into text, piece by piece; the pieces together are the text of the whole.
///
/// A last U+FFFD is held back: it may be a character whose bytes are still to come. What stands before it is final.
#[derive(Default)]
pub struct TextDecoder {
    /// Ids since the last point where the text ended with a whole character.
    pending: Vec<TokenId>,
    /// Bytes of the pending ids' text that have been given out.
    given: usize,
}

impl TextDecoder {
    /// Takes one more id; gives the text that it settled, perhaps none.
    pub fn push(&mut self, id: TokenId, tokenizer: &TextTokenizer) -> Result<String> {
        self.pending.push(id);
        let text = tokenizer.decode(&self.pending)?;
        let settled = text.strip_suffix('\u{FFFD}').unwrap_or(&text);
        let piece = settled.get(self.given..).unwrap_or_default().to_owned();
        if settled.len() == text.len() {
            *self = Self::default();
        } else {
            self.given = settled.len();
        }
        Ok(piece)
    }

    /// What is still held back when no more ids come.
    pub fn finish(&mut self, tokenizer: &TextTokenizer) -> Result<String> {
        let text = tokenizer.decode(&self.pending)?;
        let piece = text.get(self.given..).unwrap_or_default().to_owned();
        *self = Self::default();
        Ok(piece)
    }
}
