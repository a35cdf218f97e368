//! Scores of a caption against the words of the request: text only.

use std::collections::HashSet;
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};
use serde::Serialize;
use stop_words::{Language, get};

use super::caption::RichCaption;
use crate::modality::Modality;

/// English words without meaning for a sound, without "once", which counts.
static STOP_WORDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    get(Language::English).iter().filter(|word| **word != "once").map(|word| word.to_string()).collect()
});

/// The words that a caption is expected to contain, and the order of those that have one.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Stems of the words, each as often as it is expected.
    words: Vec<String>,
    /// Stems of the words whose order counts.
    order: Vec<String>,
}

/// A caption's score against [`Expected`] words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// Share of the expected words that the caption contains. A word that is expected twice must occur twice.
    pub covered: f64,
    /// Share of the pairs of contained words that come in the expected order; 1 when there is no pair.
    pub ordered: f64,
    /// `covered · (1 + ordered) / 2`: coverage counts first, and a wrong order costs at most half of it.
    pub total: f64,
}

impl Expected {
    /// Returns the words that `plan` expects: the layout and the keywords of a rich caption, or all words of any other
    /// text except stop words.
    pub fn of(plan: &str) -> Self {
        RichCaption::parse(plan).map_or_else(|| Self::of_words(content_stems(plan)), Self::of_caption)
    }

    /// Returns the words expected of a take of `modality` that was requested with `words`.
    pub fn asked(words: &str, modality: Modality) -> Self {
        match modality {
            Modality::Speech => Self::spoken(words),
            Modality::Text | Modality::Thinking | Modality::Audio => Self::of(words),
        }
    }

    /// Returns every word of `speech`.
    pub fn spoken(speech: &str) -> Self {
        Self::of_words(words(speech).map(|word| stem(&word)).collect())
    }

    fn of_words(words: Vec<String>) -> Self {
        Self { order: words.clone(), words }
    }

    fn of_caption(caption: RichCaption) -> Self {
        let mut layout = caption.layout;
        layout.sort_by(|a, b| a.start.total_cmp(&b.start));
        let order: Vec<_> = layout.iter().flat_map(|event| content_stems(&event.what)).collect();
        let keywords = caption.keywords.iter().flat_map(|keyword| content_stems(keyword));
        let words = order.iter().cloned().chain(keywords.filter(|word| !order.contains(word))).collect();
        Self { words, order }
    }

    /// Scores `caption`. When nothing is expected, `covered` and `total` are 0.
    pub fn score(&self, caption: &str) -> Score {
        let said: Vec<_> = words(caption).map(|word| stem(&word)).collect();
        let covered = share(indices(&self.words, &said).len(), self.words.len(), 0.0);
        let found = indices(&self.order, &said);
        let pairs = || found.iter().enumerate().flat_map(|(i, a)| found.iter().skip(i + 1).map(move |b| (a, b)));
        let ordered = share(pairs().filter(|(a, b)| a < b).count(), pairs().count(), 1.0);
        Score { covered, ordered, total: covered * (1.0 + ordered) / 2.0 }
    }
}

/// Returns the indices in `said` of the `expected` words that it contains, in expected order; an index serves one word.
fn indices(expected: &[String], said: &[String]) -> Vec<usize> {
    let mut taken = HashSet::new();
    let mut index = |word| (0..).zip(said).find(|(at, other)| *other == word && taken.insert(*at)).map(|(at, _)| at);
    expected.iter().filter_map(&mut index).collect()
}

fn share(count: usize, of: usize, of_none: f64) -> f64 {
    if of == 0 { of_none } else { count as f64 / of as f64 }
}

/// Returns the words of `text` in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Returns the stems of the words of `text` that are not stop words.
fn content_stems(text: &str) -> Vec<String> {
    words(text).filter(|word| !STOP_WORDS.contains(word)).map(|word| stem(&word)).collect()
}

fn stem(word: &str) -> String {
    Stemmer::create(Algorithm::English).stem(word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(plan: &str, caption: &str) -> f64 {
        Expected::of(plan).score(caption).total
    }

    #[test]
    fn words_are_found_in_other_forms_and_order_counts() {
        let plan = "a dog barking and then the rain";
        assert_eq!(total(plan, "A dog barks, then it rains."), 1.0);
        assert_eq!(total(plan, "The rain falls."), 1.0 / 3.0);
        let score = Expected::of(plan).score("Rain, then a barking dog");
        assert_eq!((score.covered, score.ordered), (1.0, 0.0));
        assert_eq!(total(plan, ""), 0.0);
    }

    #[test]
    fn how_often_counts() {
        let plan = "a fire crackling, a dog barking twice, then a bell ringing twice";
        assert_eq!(total(plan, "a fire crackles, a dog barks twice, then a bell rings twice"), 1.0);
        assert_eq!(Expected::of(plan).score("a fire, a dog barks once, then a bell rings twice").covered, 6.0 / 8.0);
        assert_eq!(total("a beep once", "a beep twice"), 0.5);
    }

    #[test]
    fn a_rich_caption_expects_its_layout_in_order_and_its_other_keywords() {
        let plan = "Keywords: church bell, dog, rain. Layout: 2-3 church bell twice; 0-1 dog. Description: Not counted: helicopters.";
        assert_eq!(total(plan, "a dog barks before a church bell rings twice"), 0.8);
        let score = Expected::of(plan).score("a church bell, twice, and a dog");
        assert_eq!((score.covered, score.ordered), (0.8, 0.5));
    }

    #[test]
    fn spoken_words_all_count() {
        let score = Expected::spoken("one two and").score("two one");
        assert_eq!((score.covered, score.ordered), (2.0 / 3.0, 0.0));
    }

    #[test]
    fn nothing_expected_is_nothing_covered() {
        assert_eq!(total("the of and", "anything"), 0.0);
        assert_eq!(total("", ""), 0.0);
    }
}
