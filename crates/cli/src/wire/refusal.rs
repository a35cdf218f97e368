//! Refusals of requests.

use serde::Serialize;

use ualm::{Error, ErrorKind};

/// The machine-readable reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// An unknown or unsupported field.
    UnsupportedField,
    /// An invalid value.
    Invalid,
    /// Sound that cannot be decoded.
    Audio,
    /// A limit was exceeded.
    Limit,
    /// A model that is not loaded.
    ModelNotFound,
}

/// The refusal of a request: the field, and the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: RefusalCode,
    /// The field, as in `messages[0].content`; `None` for the whole body.
    pub param: Option<String>,
    /// The message: what was expected, what was found, and what to do.
    pub message: String,
}

impl Refusal {
    /// Refuses an invalid value of `param`.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { code: RefusalCode::Invalid, param: Some(param.to_owned()), message: message.into() }
    }

    /// Refuses an unknown field.
    pub fn unsupported(param: impl Into<String>) -> Self {
        let param = param.into();
        let message =
            format!("the field {param:?} is not supported: leave it out (docs/server.md lists the supported fields)");
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
