//! Writes pieces of a template, text and features as tokens.

use std::sync::Arc;

use ndarray::Array2;

use super::{FeatureSlot, Piece};
use crate::error::Result;
use crate::text::TextTokenizer;
use crate::token::{TokenId, Tokens, Vocabulary};

/// A writer of tokens. Adjacent texts are tokenized as one.
pub(super) struct Writer<'a> {
    tokenizer: &'a TextTokenizer,
    pad: TokenId,
    tokens: Tokens,
    features: Vec<FeatureSlot>,
    /// Text that is not tokenized yet, because more may follow.
    pending: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(vocabulary: &Vocabulary, tokenizer: &'a TextTokenizer) -> Self {
        Self {
            tokenizer,
            pad: vocabulary.filler(),
            tokens: vocabulary.tokens(),
            features: Vec::new(),
            pending: String::new(),
        }
    }

    pub(super) fn pieces(&mut self, pieces: &[Piece]) -> Result<()> {
        for piece in pieces {
            match piece {
                Piece::Id(id) => self.id(*id)?,
                Piece::Text(text) => self.text(text),
            }
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    /// Writes `id` `count` times in place of a text and the white space before it.
    pub(super) fn fill(&mut self, id: TokenId, count: usize) -> Result<()> {
        self.pending.truncate(self.pending.trim_end().len());
        self.tokenize()?;
        for _ in 0..count {
            self.tokens.push_single(id, self.pad);
        }
        Ok(())
    }

    pub(super) fn tokens(&mut self, tokens: &Tokens) -> Result<()> {
        self.tokenize()?;
        self.tokens.extend(tokens);
        Ok(())
    }

    /// Writes `id` once for each row of `features`, which replaces its embedding.
    pub(super) fn features(&mut self, id: TokenId, features: Array2<f32>) -> Result<()> {
        self.tokenize()?;
        let start = self.tokens.len();
        for _ in 0..features.nrows() {
            self.tokens.push_single(id, self.pad);
        }
        self.features.push(FeatureSlot { start, features: Arc::new(features) });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(Tokens, Vec<FeatureSlot>)> {
        self.tokenize()?;
        Ok((self.tokens, self.features))
    }

    fn id(&mut self, id: TokenId) -> Result<()> {
        self.tokenize()?;
        self.tokens.push_single(id, self.pad);
        Ok(())
    }

    fn tokenize(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        for id in self.tokenizer.encode(&self.pending)? {
            self.tokens.push_single(id, self.pad);
        }
        self.pending.clear();
        Ok(())
    }
}

/// Returns the tokens of `pieces`.
pub(crate) fn write_pieces(pieces: &[Piece], vocabulary: &Vocabulary, tokenizer: &TextTokenizer) -> Result<Tokens> {
    let mut writer = Writer::new(vocabulary, tokenizer);
    writer.pieces(pieces)?;
    Ok(writer.finish()?.0)
}
