//! JSON bodies: the first field that is wrong or not known is named.

use serde::Deserialize;
use serde_ignored::Path;
use serde_path_to_error::{Deserializer, Track};

use super::{Refusal, RefusalCode};

/// `body` as a `T`.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let (mut track, mut unknown) = (Track::new(), None);
    let mut note = |path: Path| {
        unknown.get_or_insert_with(|| name(&path));
    };
    let parsed = serde_ignored::deserialize(Deserializer::new(&mut json, &mut track), &mut note);
    let parsed = parsed.and_then(|value: T| json.end().map(|()| value));
    match (parsed, unknown) {
        (Err(error), _) => Err(refused(&error, &track.path().to_string())),
        (Ok(_), Some(unknown)) => Err(Refusal::unsupported(unknown)),
        (Ok(value), None) => Ok(value),
    }
}

fn refused(error: &serde_json::Error, path: &str) -> Refusal {
    let param = (path != ".").then(|| path.to_owned());
    let message = match &param {
        Some(param) => format!("{param}: {error}"),
        None => format!("the body is no JSON object as expected: {error}"),
    };
    Refusal { code: RefusalCode::Invalid, param, message }
}

/// A field's place, as in `messages[0].content`.
fn name(path: &Path) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", name(parent)),
        Path::Map { parent, key } => match name(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => name(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        inner: Option<Vec<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        number: u32,
    }

    fn refusal(body: &str) -> Refusal {
        parse::<Outer>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let unknown = refusal(r#"{"inner": [{"number": 1}, {"number": 2, "other": {"deep": 3}}], "last": 1}"#);
        assert_eq!(unknown, Refusal::unsupported("inner[1].other"));
        let wrong = refusal(r#"{"inner": [{"number": "one"}]}"#);
        assert_eq!((wrong.code, wrong.param.as_deref()), (RefusalCode::Invalid, Some("inner[0].number")));
        assert!(wrong.message.contains("expected u32"), "{}", wrong.message);
        let missing = refusal(r#"{"inner": [{}]}"#);
        assert!(missing.message.contains("missing field `number`"), "{}", missing.message);
        for body in ["", "[]", "{", "{} {}", "\u{0}", "{\"inner\": null}x"] {
            assert_eq!(refusal(body).code, RefusalCode::Invalid, "{body}");
        }
        let number = parse::<Outer>(br#"{"inner": [{"number": 7}]}"#).unwrap().inner.unwrap()[0].number;
        assert_eq!(number, 7);
    }
}
