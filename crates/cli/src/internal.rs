//! Fuzz targets: one function for each of the program's input formats. Each takes any bytes and must return. `fuzz/`
//! calls the functions with the fuzzer's input, the tests with the committed seeds and with damaged copies of them.

#![expect(clippy::expect_used, reason = "a fuzzer detects faults by panics")]

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::batch::lines_of;
use crate::wire::{ChatMessage, ChatRequest, SpeechRequest, TranscriptionRequest, decode_base64};

/// A fuzz target: its name, and the function that takes any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of the program's own formats.
pub const TARGETS: &[Target] =
    &[("batch", batch), ("chat", chat), ("speech", speech), ("form", form), ("base64", base64)];

/// Checks lines of a batch: each has a unique key, belongs to one shard, and is a request or has an error that names
/// it.
pub fn batch(bytes: &[u8]) {
    let of = |shard: Option<&str>| {
        let shard = shard.map(|shard| shard.parse().expect("a shard"));
        lines_of(bytes, shard).expect("the whole file could be read")
    };
    let Ok(lines) = lines_of(bytes, None) else { return };
    let keys: HashSet<_> = lines.iter().map(|line| &line.key).collect();
    assert_eq!(keys.len(), lines.len());
    assert_eq!(of(Some("1/2")).len() + of(Some("2/2")).len(), lines.len());
    for line in &lines {
        match line.request() {
            Ok(request) => assert_eq!(Some(request.id), line.id),
            Err(error) => assert!(error.message().contains("line ") || error.message().contains("already used")),
        }
    }
}

/// Checks the body of a chat request: in an accepted one, each message has content or a reason for its absence.
pub fn chat(bytes: &[u8]) {
    let Ok(request) = ChatRequest::from_json(bytes) else { return };
    let has_content = |message: &ChatMessage| !message.contents().is_empty() || message.omission().is_some();
    assert!(request.messages.iter().all(has_content), "a message has content, or a reason for its absence");
    let _ = request.ualm.from.map(|from| from.record());
}

/// Checks that Base64, with or without a data URL around it, survives a round trip.
pub fn base64(bytes: &[u8]) {
    let Ok(decoded) = decode_base64(&String::from_utf8_lossy(bytes)) else { return };
    assert!(decoded.len() <= bytes.len());
    let written = format!("data:audio/wav;base64,{}", STANDARD.encode(&decoded));
    assert_eq!(decode_base64(&written), Ok(decoded));
}

/// Checks the body of a speech request.
pub fn speech(bytes: &[u8]) {
    if let Ok(request) = SpeechRequest::from_json(bytes) {
        assert!(!request.input.trim().is_empty());
    }
}

/// Parses the form of a transcription request with the boundary `x`.
pub fn form(bytes: &[u8]) {
    let _ = TranscriptionRequest::from_form(bytes.to_vec().into(), "x");
}
