//! The wording of a chain by prompt: the text of the prompt at each stage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::error::{Error, ErrorKind, Result};
use crate::utf8::text_of;

/// Texts by stage, with placeholders in braces for the words and for the segments so far:
///
/// | placeholder | value |
/// |---|---|
/// | `{words}` | the user's words |
/// | `{question}`, `{answer}` | the model's question, and the user's answer |
/// | `{plan}` | the plan |
/// | `{description}` | the description of a plan that is a rich caption, else the plan |
/// | `{heard}` | the last description of a draft |
/// | `{critique}` | the last critique |
/// | `{caption}` | the text after the last "Caption:" of the last critique; `{description}` before there is one |
///
/// A line whose placeholders have no value yet is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Wording(BTreeMap<Stage, String>);

/// The stages with a wording.
const WORDED: [Stage; 6] =
    [Stage::Question, Stage::Plan, Stage::Draft, Stage::Description, Stage::Critique, Stage::Final];

/// The maximum size of a stage's text in bytes: a wording may repeat a long value any number of times.
const MAX_TEXT: usize = 1 << 20;

const PLACEHOLDERS: [&str; 8] = ["words", "question", "answer", "plan", "description", "heard", "critique", "caption"];

const QUESTION: &str = "\
A sound is to be made from these words: {words}
Ask one short question whose answer helps most to make the sound as it is wanted. Write the question and nothing else.";

const PLAN: &str = "\
Plan a sound of at most ten seconds from these words: {words}
You asked: {question}
The answer was: {answer}
Write the plan and nothing else, in one paragraph of three parts: the keywords, the layout with the seconds at which each \
sound begins and ends, and a description of one sentence. For example:
Keywords: dog bark, bell. Layout: 0.0-1.5 dog bark; 1.5-3.0 bell. Description: A dog barks, then a bell rings.";

const CRITIQUE: &str = "\
A sound was made by this plan:
{plan}
A listener who does not know the plan heard this in it:
{heard}
Compare both, and say in one or two sentences what is missing or wrong. Then write a last line that begins with \
\"Caption:\" and describes in one sentence the sound as it should be.";

const SOUND: &str = "{caption}";

/// The values of the placeholders at a stage; empty if there is none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    pub words: String,
    pub question: String,
    pub answer: String,
    pub plan: String,
    pub description: String,
    pub heard: String,
    pub critique: String,
    pub caption: String,
}

impl Values {
    fn get(&self, placeholder: &str) -> Option<&str> {
        Some(match placeholder {
            "words" => &self.words,
            "question" => &self.question,
            "answer" => &self.answer,
            "plan" => &self.plan,
            "description" => &self.description,
            "heard" => &self.heard,
            "critique" => &self.critique,
            "caption" => &self.caption,
            _ => return None,
        })
    }
}

impl Wording {
    /// Reads a JSON object of texts by the names of their stages.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another form, for a stage or a placeholder that is not known, and for an empty text.
    pub fn from_json(json: &str) -> Result<Self> {
        let texts: BTreeMap<String, String> = serde_json::from_str(text_of(json.as_bytes())?).map_err(|e| {
            let what = "the wording is not a JSON object of texts by stage";
            Error::new(ErrorKind::Invalid, what).with_source(e)
        })?;
        Self::new(texts)
    }

    /// Returns the wording with `texts` by the names of their stages.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a stage or a placeholder that is not known, and for an empty text.
    pub fn new(texts: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let named = texts.into_iter().map(|(name, text)| Ok((worded(&name)?, text)));
        let wording = Self(named.collect::<Result<_>>()?);
        wording.validate()?;
        Ok(wording)
    }

    /// Returns whether no stage has a text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text of `stage`, if there is one.
    pub fn get(&self, stage: Stage) -> Option<&str> {
        self.0.get(&stage).map(String::as_str)
    }

    /// Puts the texts of `other` in the place of these.
    pub(crate) fn change(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(stage, text)| (*stage, text.clone())));
    }

    /// Returns the text of `stage`, or the library's; `ask` is the package's question about a sound.
    pub(crate) fn of<'a>(&'a self, stage: Stage, ask: &'a str) -> &'a str {
        self.get(stage).unwrap_or(match stage {
            Stage::Question => QUESTION,
            Stage::Plan => PLAN,
            Stage::Critique => CRITIQUE,
            Stage::Draft | Stage::Final => SOUND,
            Stage::Description => ask,
            Stage::Answer | Stage::Listen => "",
        })
    }

    /// Checks that all texts are for stages with a prompt, and have known placeholders.
    pub(crate) fn validate(&self) -> Result<()> {
        for (stage, text) in &self.0 {
            worded(stage.name())?;
            if text.trim().is_empty() {
                let what = format!("the wording of {} is empty; expected some words", stage.name());
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            let unknown = Pieces(text).find_map(|piece| match piece {
                Piece::Placeholder(name) if !PLACEHOLDERS.contains(&name) => Some(name),
                _ => None,
            });
            if let Some(name) = unknown {
                let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
                let what = format!("the wording of {}: {{{name}}}; expected one of {known}", stage.name());
                return Err(Error::new(ErrorKind::Invalid, what));
            }
        }
        Ok(())
    }
}

/// Returns the stage called `name`, if it has a prompt.
fn worded(name: &str) -> Result<Stage> {
    WORDED.into_iter().find(|stage| stage.name() == name).ok_or_else(|| {
        let what = format!("the wording of {name:?}; expected one of {}", WORDED.map(Stage::name).join(", "));
        Error::new(ErrorKind::Invalid, what)
    })
}

/// Returns `text` with its placeholders replaced, without the lines whose placeholders have no value.
///
/// # Errors
/// [`ErrorKind::Limit`] when the result is larger than [`MAX_TEXT`].
pub(crate) fn fill(text: &str, values: &Values) -> Result<String> {
    let mut filled = String::new();
    for line in text.lines() {
        let before = filled.len();
        if fill_line(line, values, &mut filled)? {
            push(&mut filled, "\n")?;
        } else {
            filled.truncate(before);
        }
    }
    Ok(filled.trim().to_owned())
}

/// Appends `piece`, if there is room for it.
fn push(filled: &mut String, piece: &str) -> Result<()> {
    if filled.len() + piece.len() > MAX_TEXT {
        let what = format!("a wording with its values is longer than {MAX_TEXT} bytes: give shorter ones");
        return Err(Error::new(ErrorKind::Limit, what));
    }
    filled.push_str(piece);
    Ok(())
}

/// Appends `line` with its placeholders replaced; returns `false` if it has some, and none has a value.
fn fill_line(line: &str, values: &Values, filled: &mut String) -> Result<bool> {
    let mut placeholders = 0;
    let mut empty = 0;
    for piece in Pieces(line) {
        match piece {
            Piece::Text(text) => push(filled, text)?,
            Piece::Placeholder(name) => match values.get(name) {
                Some(value) => {
                    placeholders += 1;
                    empty += usize::from(value.is_empty());
                    push(filled, value)?;
                }
                None => push(filled, &format!("{{{name}}}"))?,
            },
        }
    }
    Ok(placeholders == 0 || empty < placeholders)
}

/// A part of a text.
enum Piece<'a> {
    Text(&'a str),
    /// A name in braces; braces around anything but lower-case letters are text.
    Placeholder(&'a str),
}

/// The parts of a text, in order.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some((name, rest)) = placeholder(self.0) {
            self.0 = rest;
            return Some(Piece::Placeholder(name));
        }
        let mut later = self.0.char_indices().skip(1).map(|(at, _)| at);
        let end = later.find(|at| self.0.get(*at..).is_some_and(|rest| placeholder(rest).is_some()));
        let (text, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = rest;
        Some(Piece::Text(text))
    }
}

/// Returns the name and the rest of a text that begins with a placeholder.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('{')?;
    let (name, rest) = text.split_at_checked(text.find(|c: char| !c.is_ascii_lowercase())?)?;
    Some((name, rest.strip_prefix('}')?)).filter(|_| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording(stage: &str, text: &str) -> Result<Wording> {
        Wording::new([(stage.to_owned(), text.to_owned())])
    }

    #[test]
    fn placeholders_are_replaced_once() {
        let values = Values { words: "a {plan} dog".into(), plan: "{words}".into(), ..Values::default() };
        assert_eq!(fill("{words}: {plan}!", &values).unwrap(), "a {plan} dog: {words}!");
        assert_eq!(fill("{\"a\": {}} {X} {é}{words", &values).unwrap(), "{\"a\": {}} {X} {é}{words");
    }

    /// The time grows with the text, not with its square: requests of the server hold texts of any kind.
    #[test]
    fn texts_full_of_braces_are_read_in_no_time() {
        let begun = std::time::Instant::now();
        for text in ["{", "{a", "{words} ", "{}"] {
            let long = text.repeat(1 << 18);
            assert!(wording("plan", &long).is_ok());
        }
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_value_that_is_named_too_often_is_a_limit() {
        let values = Values { words: "a".repeat(1 << 16), ..Values::default() };
        assert_eq!(fill(&"{words}".repeat(15), &values).unwrap().len(), 15 << 16);
        let error = fill(&"{words}\n".repeat(16), &values).unwrap_err();
        assert!(error.kind() == ErrorKind::Limit && error.message().contains("1048576 bytes"), "{error}");
    }

    #[test]
    fn lines_without_a_value_are_left_out() {
        let mut values = Values { words: "rain".into(), ..Values::default() };
        assert_eq!(fill("{words}\nYou asked: {question}\nend", &values).unwrap(), "rain\nend");
        assert_eq!(fill("{words}, {answer}.", &values).unwrap(), "rain, .", "one value is enough");
        values.question = "where?".into();
        assert_eq!(fill("{words}\nYou asked: {question}\nend", &values).unwrap(), "rain\nYou asked: where?\nend");
        assert_eq!(fill("{heard}", &values).unwrap(), "");
    }

    #[test]
    fn the_library_s_own_texts_are_valid() {
        let texts = WORDED.map(|stage| (stage.name().to_owned(), Wording::default().of(stage, "What?").to_owned()));
        assert!(texts.iter().all(|(_, text)| !text.is_empty()));
        assert!(Wording::new(texts).is_ok());
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let error = wording("answer", "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().ends_with("expected one of question, plan, draft, description, critique, final"));
        let error = wording("plan", "{words} {word}").unwrap_err();
        assert!(error.message().starts_with("the wording of plan: {word}; expected one of {words}, {question}"));
        assert!(Wording::from_json("[]").is_err() && Wording::from_json(r#"{"plan": 1}"#).is_err());
        assert_eq!(Wording::from_json(r#"{"plan": "{words}"}"#).unwrap(), wording("plan", "{words}").unwrap());
    }

    #[test]
    fn a_text_without_words_is_refused() {
        for text in ["", " \n\t"] {
            let error = wording("final", text).unwrap_err();
            assert!(error.kind() == ErrorKind::Invalid && error.message().contains("final is empty"), "{error}");
        }
    }

    #[test]
    fn texts_are_changed_one_by_one() {
        let mut own = wording("plan", "a").unwrap();
        own.change(&wording("final", "b").unwrap());
        own.change(&wording("plan", "c").unwrap());
        assert_eq!((own.get(Stage::Plan), own.get(Stage::Final)), (Some("c"), Some("b")));
        assert_eq!(own.of(Stage::Draft, "What?"), "{caption}");
    }
}
