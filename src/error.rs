//! The library's error type.

use std::fmt;

/// The kind of an error. Its names are stable (`"kind"` in a batch result, status codes of the C library).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A request, option or argument that is out of range or contradicts another.
    Invalid,
    /// A file that is missing, cannot be read or cannot be written.
    Io,
    /// Sound that cannot be read: not audio, damaged, empty, not finite.
    Audio,
    /// More than a limit allows: seconds of input, positions of context, segments.
    Limit,
    /// A model package that is damaged, incomplete or violates its contract.
    Package,
    /// ONNX Runtime's library: missing, too old, not loadable.
    Library,
    /// A requested execution provider that cannot serve.
    Provider,
    /// A graph that failed while it ran.
    Graph,
    /// Numbers that cannot be right: logits that are not finite.
    Numeric,
    /// Stopped on request.
    Cancelled,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Invalid,
        Self::Io,
        Self::Audio,
        Self::Limit,
        Self::Package,
        Self::Library,
        Self::Provider,
        Self::Graph,
        Self::Numeric,
        Self::Cancelled,
    ];

    /// Returns the kind's name in results and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Io => "io",
            Self::Audio => "audio",
            Self::Limit => "limit",
            Self::Package => "package",
            Self::Library => "library",
            Self::Provider => "provider",
            Self::Graph => "graph",
            Self::Numeric => "numeric",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error: its kind, a message for people, and its cause, if there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of the library's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error of `kind`; `message` names what was expected, what was found and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Sets the error that caused this one.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context` before the message, as in `"clip.wav: …"`.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message with its contexts, without those of the causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the message followed by the messages of all causes. `Display` writes the message alone, as callers that walk
    /// [`source`](std::error::Error::source) expect.
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            text.push_str(&format!(": {error}"));
            below = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let below = Error::new(ErrorKind::Io, "cannot be read").with_source(std::io::Error::other("the disk is gone"));
        let error = Error::new(ErrorKind::Package, "no package is here").with_source(below).context("model");
        assert_eq!(error.to_string(), "model: no package is here");
        let mut messages = Vec::new();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = next {
            messages.push(error.to_string());
            next = error.source();
        }
        assert_eq!(messages, ["model: no package is here", "cannot be read", "the disk is gone"]);
        assert_eq!(error.full_message(), messages.join(": "));
    }
}
