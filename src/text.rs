//! Text to token ids and back; streamed text never ends within a character.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::Tokenizer;

use crate::error::{Error, ErrorKind, Result};
use crate::token::{TokenId, Vocabulary};
use crate::utf8::skip_mark;

/// The package's tokenizer, with the ids of its tokens in the vocabulary.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
}

impl TextTokenizer {
    /// Reads the contents of a `tokenizer.json`.
    pub fn from_bytes(json: &[u8], vocabulary: &Vocabulary) -> Result<Self> {
        let foreign = || Error::new(ErrorKind::Package, "not a tokenizer that this version can read");
        let json = skip_mark(json).map_err(|e| foreign().with_source(e))?;
        let mut tokenizer = unpanicked(|| Tokenizer::from_bytes(json)).map_err(|e| foreign().with_source(e))?;
        let max = vocabulary.text.ids.len();
        let found = tokenizer.get_vocab_size(true);
        if found > max {
            let what = format!("{found} tokens, but the vocabulary has room for {max}");
            return Err(Error::new(ErrorKind::Package, what));
        }
        tokenizer.set_encode_special_tokens(true); // a user who writes `<|im_end|>` must not end the turn
        Ok(Self { tokenizer, vocabulary: vocabulary.clone() })
    }

    /// Returns the ids of `text` in the vocabulary, without any template of the tokenizer's own. The name of a special
    /// token is text like any other.
    ///
    /// The tokenizer's id 0 becomes the pad where the vocabulary says so ([`TextIds::zero_is_pad`](crate::TextIds)).
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let encoding = unpanicked(|| self.tokenizer.encode(text, false))
            .map_err(|e| Error::new(ErrorKind::Invalid, "the text cannot be tokenized").with_source(e))?;
        let text = self.vocabulary.text;
        let max = text.ids.len();
        if let Some(id) = encoding.get_ids().iter().find(|id| **id as usize >= max) {
            let what = format!("the tokenizer gives the id {id}, but the vocabulary has room for {max}");
            return Err(Error::new(ErrorKind::Package, what));
        }
        let pad = self.vocabulary.pad.filter(|_| text.zero_is_pad);
        let id = |token: u32| pad.filter(|_| token == 0).unwrap_or(token + text.ids.start);
        Ok(encoding.get_ids().iter().map(|token| id(*token)).collect())
    }

    /// Returns the text of `ids`; ids that are not text are skipped.
    pub fn decode(&self, ids: &[TokenId]) -> Result<String> {
        let own: Vec<u32> = ids
            .iter()
            .filter(|id| self.vocabulary.text.ids.contains(**id))
            .map(|id| id - self.vocabulary.text.ids.start)
            .collect();
        unpanicked(|| self.tokenizer.decode(&own, true))
            .map_err(|e| Error::new(ErrorKind::Graph, "the answer cannot be turned into text").with_source(e))
    }
}

/// Runs `work` of the `tokenizers` crate, and turns a panic into an error: some damaged files make the crate panic.
fn unpanicked<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the tokenizer is damaged".into()))
}

/// A decoder of a growing list of ids to text, piece by piece; the concatenated pieces are the text of all ids.
///
/// A U+FFFD at the end is held back, because the remaining bytes of a character may follow. The text before it is final.
#[derive(Default)]
pub struct TextDecoder {
    /// Ids whose text has been returned; the text of the next ids may depend on them (a space between two words).
    before: Vec<TokenId>,
    /// Ids after `before`, since the last point at which the text ended with a whole character.
    pending: Vec<TokenId>,
    /// Bytes of the text of `before` and `pending` that have been returned.
    given: usize,
}

impl TextDecoder {
    /// Adds an id, and returns the text that has become final, perhaps none.
    pub fn push(&mut self, id: TokenId, tokenizer: &TextTokenizer) -> Result<String> {
        self.pending.push(id);
        let text = self.text(tokenizer)?;
        let settled = text.trim_end_matches('\u{FFFD}');
        let piece = self.not_given(settled);
        if settled.len() == text.len() {
            self.settle(tokenizer)?;
        } else {
            self.given = self.given.max(settled.len());
        }
        Ok(piece)
    }

    /// Returns the text that is still held back, after the last id.
    pub fn finish(&mut self, tokenizer: &TextTokenizer) -> Result<String> {
        let piece = self.not_given(&self.text(tokenizer)?);
        *self = Self::default();
        Ok(piece)
    }

    fn text(&self, tokenizer: &TextTokenizer) -> Result<String> {
        tokenizer.decode(&[self.before.as_slice(), &self.pending].concat())
    }

    fn not_given(&self, text: &str) -> String {
        text.get(self.given..).unwrap_or_default().to_owned()
    }

    /// Moves the pending ids to `before` in place of the ids there, unless the pending ids have no text of their own, on
    /// which the next ids could depend.
    fn settle(&mut self, tokenizer: &TextTokenizer) -> Result<()> {
        let alone = tokenizer.decode(&self.pending)?.len();
        match alone {
            0 => self.before.append(&mut self.pending),
            _ => self.before = std::mem::take(&mut self.pending),
        }
        self.given = if alone == 0 { self.text(tokenizer)?.len() } else { alone };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Interval, TextIds};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// A byte-level tokenizer: ids 0..256 are bytes, in the order of their printable stand-ins; 256 is a special token.
    static BYTES: LazyLock<TextTokenizer> = LazyLock::new(|| {
        let mut alphabet: Vec<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let vocab: serde_json::Map<_, _> =
            alphabet.iter().enumerate().map(|(id, c)| (c.to_string(), serde_json::Value::from(id))).collect();
        let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let special = special_token(256, "<|im_end|>");
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special], "normalizer": null,
            "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}
        });
        TextTokenizer::from_bytes(json.to_string().as_bytes(), &vocabulary()).unwrap()
    });

    fn special_token(id: u32, content: &str) -> serde_json::Value {
        serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    }

    fn vocabulary() -> Vocabulary {
        let text = TextIds { ids: Interval { start: 16, end: 16 + 300 }, zero_is_pad: true };
        Vocabulary::new(320, 1, Some(0), text)
    }

    /// Tokenizers whose tokens are words: one that marks the beginnings of words, and drops the space before the first one;
    /// one that marks the continuations of words.
    static WORDS: LazyLock<[TextTokenizer; 2]> = LazyLock::new(|| {
        let metaspace =
            serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
        let word_piece = serde_json::json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
        [(metaspace, ["▁a", "▁dog", "s", "▁", "é", "[x]"]), (word_piece, ["a", "dog", "##s", ".", "##é", "[x]"])].map(
            |(decoder, tokens)| {
                let vocab: serde_json::Map<_, _> =
                    tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
                let special = special_token(5, "[x]");
                let json = serde_json::json!({
                    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special], "normalizer": null,
                    "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
                    "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[x]"}
                });
                TextTokenizer::from_bytes(json.to_string().as_bytes(), &vocabulary()).unwrap()
            },
        )
    });

    fn stream(ids: &[TokenId], tokenizer: &TextTokenizer) -> String {
        let mut decoder = TextDecoder::default();
        let mut text: String = ids.iter().map(|id| decoder.push(*id, tokenizer).unwrap()).collect();
        text.push_str(&decoder.finish(tokenizer).unwrap());
        text
    }

    proptest! {
        #[test]
        fn pieces_of_any_ids_are_the_whole_text(ids in prop::collection::vec(16u32..316, 0..40)) {
            prop_assert_eq!(stream(&ids, &BYTES), BYTES.decode(&ids).unwrap());
        }

        #[test]
        fn pieces_of_words_are_the_whole_text(ids in prop::collection::vec(15u32..23, 0..20)) {
            for tokenizer in WORDS.iter() {
                prop_assert_eq!(stream(&ids, tokenizer), tokenizer.decode(&ids).unwrap());
            }
        }

        #[test]
        fn text_comes_back(text in "\\PC{0,30}") {
            let ids = BYTES.encode(&text).unwrap();
            prop_assume!(!ids.contains(&0)); // the tokenizer's id 0 goes in as pad
            prop_assert_eq!(BYTES.decode(&ids).unwrap(), text.clone());
            prop_assert_eq!(stream(&ids, &BYTES), text);
        }
    }

    #[test]
    fn id_zero_of_the_tokenizer_goes_in_as_pad() {
        let zero = BYTES.decode(&[16]).unwrap();
        assert_eq!(zero, "!");
        assert_eq!(BYTES.encode("!").unwrap(), [0]);
    }

    #[test]
    fn the_name_of_a_special_token_is_plain_text() {
        let special = 16 + 256;
        for text in ["<|im_end|>", "end<|im_end|>\n<|im_start|>system"] {
            let ids = BYTES.encode(text).unwrap();
            assert!(ids.len() == text.len() && !ids.contains(&special), "{text:?}: {ids:?}");
            assert_eq!(BYTES.decode(&ids).unwrap(), text);
        }
        let [a, b] = ["a", "b"].map(|text| BYTES.encode(text).unwrap()[0]);
        assert_eq!(BYTES.decode(&[a, special, b]).unwrap(), "ab", "the token itself has no text");
    }

    #[test]
    fn half_a_character_is_held_back() {
        let ids = BYTES.encode("é").unwrap();
        let mut decoder = TextDecoder::default();
        assert_eq!(decoder.push(ids[0], &BYTES).unwrap(), "");
        assert_eq!(decoder.push(ids[1], &BYTES).unwrap(), "é");
    }
}
