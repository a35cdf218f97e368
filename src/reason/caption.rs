//! Rich captions (UALM-Reason, enrichment): the plan of a sound as keywords, a layout in time and a description.
//!
//! `Keywords: dog bark, bell. Layout: 0.0-1.5 dog bark; 1.5-3.0 bell. Description: A dog barks, then a bell rings.`

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// The plan of a sound, in three parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RichCaption {
    /// The sounds, a word or two each.
    pub keywords: Vec<String>,
    /// The sounds with their times.
    pub layout: Vec<LayoutEvent>,
    /// The whole scene in free words.
    pub description: String,
}

/// A sound with its beginning and end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayoutEvent {
    /// Seconds from the beginning.
    pub start: f64,
    /// Seconds from the beginning; not before `start`.
    pub end: f64,
    /// The sound, in words.
    pub what: String,
}

/// Compiles a pattern; never `None` for the constants below, which the tests compile.
fn expression(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"(?i)\b(keywords|layout|description)\s*:"));
static EVENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    expression(r"(?is)^(\d+(?:\.\d+)?)\s*s?\s*(?:-|–|—|to)\s*(\d+(?:\.\d+)?)\s*(?:s\b)?\s*:?\s*(.+)$")
});

impl RichCaption {
    /// Parses `text`, or returns `None` when it has another form. At least two of the three parts are needed, none of
    /// them twice, and every event of the layout needs its times.
    ///
    /// Case, the order of the parts, line breaks and any text before the first part do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let mut labels: Vec<(String, usize, usize)> = Vec::new();
        for found in LABEL.as_ref()?.captures_iter(text) {
            let whole = found.get(0)?;
            let name = found.get(1)?.as_str().to_lowercase();
            if labels.iter().any(|(known, ..)| *known == name) {
                return None;
            }
            labels.push((name, whole.start(), whole.end()));
        }
        if labels.len() < 2 {
            return None;
        }
        let mut caption = Self::default();
        for (index, (name, _, start)) in labels.iter().enumerate() {
            let end = labels.get(index + 1).map_or(text.len(), |(_, begin, _)| *begin);
            let part = text.get(*start..end)?.trim();
            match name.as_str() {
                "keywords" => caption.keywords = items(part, &[',', ';', '\n']).map(str::to_owned).collect(),
                "layout" => {
                    caption.layout = items(part, &[';', '\n']).map(LayoutEvent::parse).collect::<Option<_>>()?
                }
                _ => caption.description = part.to_owned(),
            }
        }
        Some(caption)
    }

    /// Returns the end of the last event of the layout, in seconds.
    pub fn seconds(&self) -> Option<f64> {
        self.layout.iter().map(|event| event.end).reduce(f64::max)
    }
}

/// Splits a list into its items, without the full stop at its end.
fn items<'a>(list: &'a str, separators: &'a [char]) -> impl Iterator<Item = &'a str> {
    let list = list.strip_suffix('.').unwrap_or(list);
    list.split(separators)
        .map(|item| item.trim().trim_start_matches(['-', '*', '•']).trim_start())
        .filter(|i| !i.is_empty())
}

impl LayoutEvent {
    fn parse(text: &str) -> Option<Self> {
        let parts = EVENT.as_ref()?.captures(text)?;
        let seconds = |index: usize| parts.get(index)?.as_str().parse::<f64>().ok();
        let start = seconds(1)?;
        let end = seconds(2)?;
        let what = parts.get(3)?.as_str().trim().to_owned();
        (start <= end).then_some(Self { start, end, what })
    }
}

/// Writes the form that [`RichCaption::parse`] reads.
impl fmt::Display for RichCaption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = |event: &LayoutEvent| format!("{:.1}-{:.1} {}", event.start, event.end, event.what);
        let layout: Vec<_> = self.layout.iter().map(event).collect();
        write!(f, "Keywords: {}. Layout: {}. ", self.keywords.join(", "), layout.join("; "))?;
        write!(f, "Description: {}", self.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: &str = "Keywords: dog bark, bell. Layout: 0.0-1.5 dog bark; 1.5-3.0 bell. \
                         Description: A dog barks, then a bell. Layout is free.";

    #[test]
    fn the_usual_form() {
        let caption = RichCaption::parse(USUAL).unwrap();
        assert_eq!(caption.keywords, ["dog bark", "bell"]);
        let event = |start, end, what: &str| LayoutEvent { start, end, what: what.into() };
        assert_eq!(caption.layout, [event(0.0, 1.5, "dog bark"), event(1.5, 3.0, "bell")]);
        assert_eq!(caption.description, "A dog barks, then a bell. Layout is free.");
        assert_eq!(caption.to_string(), USUAL);
    }

    #[test]
    fn other_ways_to_write_it() {
        let text =
            "Plan.\nDESCRIPTION: Rain.\nlayout:\n - 0 to 2s: rain\n - 2 – 3.25 s thunder\nKeywords :rain; thunder";
        let caption = RichCaption::parse(text).unwrap();
        assert_eq!(caption.keywords, ["rain", "thunder"]);
        assert_eq!((caption.layout[1].end, caption.layout[1].what.as_str()), (3.25, "thunder"));
        assert_eq!(caption.layout[0].what, "rain");
        assert_eq!(caption.description, "Rain.");
    }

    #[test]
    fn other_text_is_no_rich_caption() {
        for text in [
            "",
            "A dog barks.",
            "Description: only this.",
            "Keywords: a. Layout: dog. Description: no times.",
            "Keywords: a. Layout: 2-1 dog. Description: ends before it begins.",
            "Keywords: a. Keywords: b. Description: twice.",
        ] {
            assert_eq!(RichCaption::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,200}", label in "(Keywords|layout|Description): ?") {
            let _ = RichCaption::parse(&text);
            let _ = RichCaption::parse(&format!("{label}{text} Keywords: é Layout: {text}"));
        }

        #[test]
        fn what_is_written_is_read(
            keywords in prop::collection::vec("[a-z]{1,8}( [a-z]{1,8})?", 1..5),
            events in prop::collection::vec((0u32..100, 0u32..100, "[a-z]{2,9}"), 1..5),
            description in "[a-z][a-z, ]{0,30}[a-z][.]",
        ) {
            let layout = events.into_iter().map(|(start, length, what)| {
                let start = f64::from(start) / 10.0;
                LayoutEvent { start, end: start + f64::from(length), what }
            });
            let caption = RichCaption { keywords, layout: layout.collect(), description };
            prop_assert_eq!(RichCaption::parse(&caption.to_string()), Some(caption));
        }
    }
}
