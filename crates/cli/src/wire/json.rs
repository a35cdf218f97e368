//! Parsing of JSON bodies: null means absent, and the error names the first invalid, unknown or unsupported field.

use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_ignored::Path;
use serde_json::value::RawValue;
use serde_json::{Number, Value};
use serde_path_to_error::{Deserializer as Tracked, Track};

use super::unsupported::Unsupported;
use super::{Refusal, RefusalCode};
use ualm::internal::skip_mark;

/// The maximum number of unknown fields that are null.
const MAX_UNKNOWN: usize = 1000;

/// The bound below which 64-bit floats represent every whole number.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The maximum length of an error message about a value, in characters.
const MAX_LETTERS: usize = 300;

/// Parses `body` as a `T`. Fields in `unsupported` are accepted with neutral values; fields with paths in `echoes`,
/// such as `messages[].annotations`, are accepted with any value.
pub fn parse<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    unsupported: &[Unsupported],
    echoes: &[&str],
) -> Result<T, Refusal> {
    let text = skip_mark(body).map_err(|e| not_an_object(e.message()))?;
    let Fields(mut fields) = serde_json::from_slice(text).map_err(|e| not_an_object(&e.to_string()))?;
    fields.retain(|(_, value)| value.get() != "null");
    for (name, value) in &fields {
        if let Some(field) = unsupported.iter().find(|field| field.name == *name) {
            field.check(value.get())?;
        }
    }
    fields.retain(|(name, _)| !unsupported.iter().any(|field| field.name == *name));

    let mut track = Track::new();
    let mut unknown = Vec::new();
    let mut note = |path: Path| {
        if unknown.len() < MAX_UNKNOWN && !echoes.contains(&&*path_of(&path, |_| String::new())) {
            unknown.push((path_of(&path, |index| index.to_string()), pointer(&path)));
        }
    };
    let map = MapDeserializer::new(fields.into_iter());
    let value = serde_ignored::deserialize(Tracked::new(map, &mut track), &mut note);
    let value = value.map_err(|error| refused(&error, &track.path().to_string()))?;
    match first_present(text, unknown) {
        Some(unknown) => Err(Refusal::unsupported(unknown)),
        None => Ok(value),
    }
}

/// Returns the name of the first of the `unknown` fields, given by names and JSON pointers, that is not null.
fn first_present(text: &[u8], unknown: Vec<(String, String)>) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    // beyond the limit, fields are taken to be present
    let is_full = unknown.len() == MAX_UNKNOWN;
    let all: Value = serde_json::from_slice(text).unwrap_or_default();
    let is_present = |pointer: &str| all.pointer(pointer).is_some_and(|value| !value.is_null());
    unknown.into_iter().find(|(_, pointer)| is_full || is_present(pointer)).map(|(name, _)| name)
}

/// Deserializes a whole number, which some clients write as `1.0`; `None` from null.
///
/// # Errors
/// An error for any other value, and for a number out of the range of `T`.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let written = number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..MAX_EXACT).contains(value));
    let value = number.as_u64().or(written.map(|value| value as u64)).and_then(|value| T::try_from(value).ok());
    value
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number}; expected a whole number within the field's range")))
}

/// The fields of an object, as raw JSON.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn not_an_object(what: &str) -> Refusal {
    let message = format!("the body is not a valid JSON object: {what}");
    Refusal { code: RefusalCode::Invalid, param: None, message }
}

fn refused(error: &serde_json::Error, path: &str) -> Refusal {
    // line and column are relative to the field, not to the body
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let param = match (named_field(text), path) {
        (None, ".") => None,
        (None, path) => Some(path.to_owned()),
        (Some(field), ".") => Some(field.to_owned()),
        (Some(field), path) => Some(format!("{path}.{field}")),
    };
    let message = match &param {
        Some(param) => format!("{param}: {}", shortened(text)),
        None => format!("the body is not a valid JSON object: {text}"),
    };
    Refusal { code: RefusalCode::Invalid, param, message }
}

/// Returns the name of a missing or duplicate field in an error message, whose path is that of the surrounding object.
fn named_field(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("duplicate field `"))?;
    rest.strip_suffix('`')
}

/// Truncates a message, which may quote a whole recording.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_LETTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Formats a path, as in `messages[0].content`; `index` formats the indices.
fn path_of(path: &Path, index: fn(usize) -> String) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index: at } => format!("{}[{}]", path_of(parent, index), index(*at)),
        Path::Map { parent, key } => match path_of(parent, index) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            path_of(parent, index)
        }
    }
}

/// Returns the JSON pointer of a path.
fn pointer(path: &Path) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", pointer(parent)),
        Path::Map { parent, key } => format!("{}/{}", pointer(parent), key.replace('~', "~0").replace('/', "~1")),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => pointer(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::unsupported::{is_empty, is_number};

    #[derive(Debug, Deserialize)]
    struct Outer {
        inner: Option<Vec<Inner>>,
        #[serde(default)]
        plain: u32,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        number: u32,
    }

    const UNSUPPORTED: [Unsupported; 2] =
        [Unsupported::new("tools", is_empty, "no tools"), Unsupported::new("speed", is_number::<1>, "one speed")];

    fn read(body: &str) -> Result<Outer, Refusal> {
        parse(body.as_bytes(), &UNSUPPORTED, &["inner[].echo"])
    }

    fn refusal(body: &str) -> Refusal {
        read(body).unwrap_err()
    }

    #[test]
    fn errors_name_the_field() {
        let unknown = refusal(r#"{"inner": [{"number": 1}, {"number": 2, "other": {"deep": 3}}], "last": 1}"#);
        assert_eq!(unknown, Refusal::unsupported("inner[1].other"));
        let wrong = refusal(r#"{"inner": [{"number": "one"}]}"#);
        assert_eq!((wrong.code, wrong.param.as_deref()), (RefusalCode::Invalid, Some("inner[0].number")));
        assert!(wrong.message.contains("expected u32"), "{}", wrong.message);
        let missing = refusal(r#"{"inner": [{}]}"#);
        assert!(missing.message.contains("missing field `number`"), "{}", missing.message);
        assert_eq!(missing.param.as_deref(), Some("inner[0].number"));
        let twice = refusal(r#"{"plain": 1, "plain": 2}"#);
        assert_eq!(twice.param.as_deref(), Some("plain"));
        let long = refusal(&format!(r#"{{"plain": "{}"}}"#, "ü".repeat(10_000)));
        assert!(long.message.chars().count() < 400 && long.message.ends_with('…'), "{}", long.message);
        for body in ["", "[]", "{", "{} {}", "\u{0}", "{\"inner\": null}x", "{\u{0}}\u{0}", "7"] {
            assert_eq!(refusal(body).code, RefusalCode::Invalid, "{body}");
        }
        assert_eq!(refusal(r#"{"plain": 1, "plain": 2}"#).code, RefusalCode::Invalid);
        let number = read(r#"{"inner": [{"number": 7}]}"#).unwrap().inner.unwrap()[0].number;
        assert_eq!(number, 7);
    }

    #[test]
    fn neutral_values_are_accepted() {
        for body in [
            r#"{"tools": [], "speed": 1.0}"#,
            r#"{"speed": 1, "tools": null}"#,
            r#"{"inner": null, "plain": null, "unknown": null}"#,
            r#"{"inner": [{"number": 7, "other": null, "a/~b": null}, {"number": 7, "other": null}]}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(read(body).unwrap().plain, 0, "{body}");
        }
        assert!(read(r#"{"inner": [{"number": 7, "echo": {"deep": [1]}}]}"#).is_ok());
        let many = format!(
            r#"{{"inner": [{{"number": 7{}}}]}}"#,
            (0..2000).map(|n| format!(r#", "n{n}": null"#)).collect::<String>()
        );
        assert_eq!(refusal(&many), Refusal::unsupported("inner[0].n0"));
        let beside = refusal(r#"{"inner": [{"number": 7, "one": null, "other": 0}]}"#);
        assert_eq!(beside, Refusal::unsupported("inner[0].other"));
        for (body, param) in [(r#"{"tools": [1]}"#, "tools"), (r#"{"speed": 2}"#, "speed"), (r#"{"echo": 1}"#, "echo")]
        {
            let refusal = refusal(body);
            assert_eq!((refusal.code, refusal.param.as_deref()), (RefusalCode::UnsupportedField, Some(param)));
        }
        let utf16: Vec<_> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(parse::<Outer>(&utf16, &[], &[]).unwrap_err().message.contains("UTF-16"));
    }
}
