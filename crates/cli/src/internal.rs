//! One function for each thing that others write for the program: it takes any bytes, and must come back. `fuzz/` calls
//! them with what a fuzzer finds, the tests with the committed seeds and with damage to them.

#![expect(clippy::expect_used, reason = "the fuzzer wants panics")]

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

/// Lines of a batch: each has a key of its own, belongs to one of the shards, and is a request or says what is wrong with
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
            Err(error) => assert!(error.message().contains("line ") || error.message().contains("used before")),
        }
    }
}

/// The body of a chat: of one that passes, every message says something, and a record is one or is refused.
pub fn chat(bytes: &[u8]) {
    let Ok(request) = ChatRequest::from_json(bytes) else { return };
    let says = |message: &ChatMessage| !message.said().is_empty() || message.left_out().is_some();
    assert!(request.messages.iter().all(says), "a message is heard, or it is told why not");
    let _ = request.ualm.from.map(|from| from.record());
}

/// Base64, with or without the URL around it: bytes, which come back from what is usually written for them.
pub fn base64(bytes: &[u8]) {
    let Ok(decoded) = decode_base64(&String::from_utf8_lossy(bytes)) else { return };
    assert!(decoded.len() <= bytes.len());
    let written = format!("data:audio/wav;base64,{}", STANDARD.encode(&decoded));
    assert_eq!(decode_base64(&written), Ok(decoded));
}

/// The body of a request for speech.
pub fn speech(bytes: &[u8]) {
    if let Ok(request) = SpeechRequest::from_json(bytes) {
        assert!(!request.input.trim().is_empty());
    }
}

/// The form of a transcription, whose fields the line `x` divides.
pub fn form(bytes: &[u8]) {
    let _ = TranscriptionRequest::from_form(bytes.to_vec().into(), "x");
}
