//! A request that is refused.

use serde::Serialize;

use ualm::{Error, ErrorKind};

/// Why, for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// A field that is not known, or not supported.
    UnsupportedField,
    /// A value without meaning.
    Invalid,
    /// Sound that cannot be read.
    Audio,
    /// More than is allowed.
    Limit,
    /// Another model than the one that is loaded.
    ModelNotFound,
}

/// An invalid request: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// The field, as in `messages[0].content`; none where it is the whole body.
    pub param: Option<String>,
    /// The message: what was expected, what was found, and what to do.
    pub message: String,
}

impl Refusal {
    /// A value of `param` without meaning.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { code: RefusalCode::Invalid, param: Some(param.to_owned()), message: message.into() }
    }

    /// A field that is not known.
    pub fn unsupported(param: impl Into<String>) -> Self {
        let param = param.into();
        let message =
            format!("the field {param:?} is not supported: leave it out (docs/server.md lists those that are)");
        Self { code: RefusalCode::UnsupportedField, param: Some(param), message }
    }

    /// Converts an error of the library about `param`, if it is the client's fault.
    pub fn of(error: &Error, param: Option<&str>) -> Option<Self> {
        let code = match error.kind() {
            ErrorKind::Invalid => RefusalCode::Invalid,
            ErrorKind::Audio => RefusalCode::Audio,
            ErrorKind::Limit => RefusalCode::Limit,
            _ => return None,
        };
        Some(Self { code, param: param.map(str::to_owned), message: error.full_message() })
    }
}
