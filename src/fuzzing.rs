//! One function for each thing that others may write: it takes any bytes, and must come back. `fuzz/` calls them with what a
//! fuzzer finds, `tests/seeds.rs` with the committed seeds and with damage to them.

use std::collections::BTreeMap;
use std::io::Cursor;

use crate::audio::{DecodeOptions, decode_reader};
use crate::onnx;
use crate::package::{FileSum, Manifest, check_manifest};
use crate::record::Record;
use crate::text::{TextDecoder, TextTokenizer};
use crate::token::{Frames, Interval, Special, TokenId, Vocabulary, delay, holes, undelay};
use crate::wire::{ChatRequest, SpeechRequest, TranscriptionRequest};

/// Takes any bytes, and comes back.
pub type Target = fn(&[u8]);

/// Names and functions.
pub const TARGETS: &[(&str, Target)] = &[
    ("audio", audio),
    ("manifest", manifest),
    ("graph", graph),
    ("tokenizer", tokenizer),
    ("record", record),
    ("take", take),
    ("frames", frames),
    #[cfg(feature = "capi")]
    ("calls", calls),
    ("chat", chat),
    ("speech", speech),
    ("form", form),
];

/// A recording: what comes of it is finite and within the limits.
pub fn audio(bytes: &[u8]) {
    let options = DecodeOptions { sample_rate: Some(16_000), max_seconds: Some(20.0), max_bytes: Some(1 << 24) };
    if let Ok(decoded) = decode_reader(bytes, "sound", &options) {
        assert!(decoded.waveform.samples().iter().all(|sample| sample.is_finite()));
        assert!(decoded.waveform.seconds() < 20.1);
    }
}

/// A manifest, and all that is computed from one that passes.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    if check_manifest(&manifest).is_ok() {
        assert!(manifest.files.keys().all(|name| name != ".." && !name.starts_with(['/', '\\'])));
        let block = manifest.vocabulary.audio.iter().map(Interval::len).sum::<usize>();
        assert!(block <= manifest.vocabulary.size && manifest.vocabulary.codebook_size() > 0);
    }
}

/// A graph file.
pub fn graph(bytes: &[u8]) {
    let sum = FileSum { size: 4096, sha256: String::new() };
    let _ = onnx::check(bytes, &BTreeMap::from([("llm.onnx.data".to_owned(), sum)]));
}

/// A tokenizer, and words through it: pieces are the whole.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(tokenizer) = TextTokenizer::from_bytes(bytes, &vocabulary()) else { return };
    let Ok(ids) = tokenizer.encode("rain, é and\n42") else { return };
    let mut decoder = TextDecoder::default();
    let pieces: Result<String, _> = ids.iter().map(|id| decoder.push(*id, &tokenizer)).collect();
    let _ = pieces.and_then(|pieces| Ok(pieces + &decoder.finish(&tokenizer)?));
}

/// A record: what is read comes back as it is written.
pub fn record(bytes: &[u8]) {
    let Ok(record) = Record::from_json(bytes) else { return };
    let Ok(written) = record.to_json() else { return };
    let again = Record::from_json(written.as_bytes()).and_then(|record| record.to_json());
    assert_eq!(again.ok(), Some(written), "a record that was read cannot be read again");
}

/// A WAV file with a record in it.
pub fn take(bytes: &[u8]) {
    if let Ok(Some(chunk)) = crate::audio::read_chunk(&mut Cursor::new(bytes), *b"ualm", 1 << 24) {
        record(&chunk);
    }
}

/// Token frames to codes and back: what is taken was a sound's.
pub fn frames(bytes: &[u8]) {
    let vocabulary = vocabulary();
    let mut frames = Frames::new(vocabulary.streams);
    for ids in bytes.as_chunks::<2>().0.as_chunks::<3>().0 {
        frames.push(&ids.map(|id| TokenId::from(u16::from_le_bytes(id))));
    }
    let holes = holes(&frames, &vocabulary);
    if let Ok(codes) = undelay(&frames, &vocabulary) {
        assert!(codes.iter().all(|code| (*code as usize) < vocabulary.codebook_size()));
        assert!(holes <= codes.len());
        let again = undelay(&delay(&codes, &vocabulary), &vocabulary);
        assert_eq!(again.ok(), Some(codes));
    }
}

/// Calls of the C library, with a model.
#[cfg(feature = "capi")]
pub fn calls(bytes: &[u8]) {
    crate::capi::calls::calls(bytes);
}

/// The body of a chat: of one that passes, every part can be read, and a record is one or is refused.
pub fn chat(bytes: &[u8]) {
    let Ok(request) = ChatRequest::from_json(bytes) else { return };
    assert!(request.messages.iter().all(|message| message.content.iter().all(|part| part.sound().is_some())));
    let _ = request.ualm.from.map(|from| from.record());
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

/// Three streams of 64 codes.
fn vocabulary() -> Vocabulary {
    let special =
        Special { pad: 0, bos: 1, eos: 2, eot: 3, system: 4, user: 5, assistant: 6, text: 7, audio: 8, speech: 9 };
    let block = |i: u32| Interval { start: 60_000 + i * 65, end: 60_000 + (i + 1) * 65 };
    let audio: Vec<_> = (0..3).map(block).collect();
    Vocabulary { size: 60_195, streams: 3, special, text: Interval { start: 16, end: 60_000 }, audio }
}
