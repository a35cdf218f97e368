//! Deserializers for JSON fields: null means the default, and an array is not accepted for an object, as serde does for
//! structs.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Reads a `T` from an object.
///
/// # Errors
/// An error for any other value, and the errors of `T`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Fields(PhantomData))
}

/// Reads a `T` from an object; `None` from null.
///
/// # Errors
/// As [`object`].
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|found| found.map(|object| object.0))
}

/// Reads a `T` from an object; the default from null.
///
/// # Errors
/// As [`object`].
pub fn object_or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    optional_object(deserializer).map(Option::unwrap_or_default)
}

/// Reads a `T`; the default from null.
///
/// # Errors
/// The errors of `T`.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        inner: Inner,
        #[serde(deserialize_with = "optional_object")]
        other: Option<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        number: u32,
    }

    fn read(json: &str) -> Result<Outer, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn objects_are_read() {
        assert_eq!(read(r#"{"inner": {"number": 3}}"#).unwrap().inner, Inner { number: 3 });
        assert_eq!(read(r#"{"other": {"number": 3}}"#).unwrap().other, Some(Inner { number: 3 }));
        assert_eq!(read(r#"{"other": null}"#).unwrap(), Outer::default());
    }

    #[test]
    fn other_values_are_refused() {
        for json in
            [r#"{"inner": [3]}"#, r#"{"inner": []}"#, r#"{"other": [3]}"#, r#"{"other": 5}"#, r#"{"inner": null}"#]
        {
            let error = read(json).unwrap_err();
            assert!(error.contains("expected an object"), "{json}: {error}");
        }
        assert!(read(r#"{"other": {"nummer": 3}}"#).unwrap_err().contains("nummer"));
    }
}
