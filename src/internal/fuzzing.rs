//! Fuzz targets: one function for each format of untrusted input. `fuzz/` calls them with the fuzzer's input, the tests
//! with the committed seeds and with damaged copies.

use std::collections::BTreeMap;
use std::io::Cursor;

pub use crate::audio::fuzzed::{aiff, au, caf, matroska, mp4, opus, wave};
use crate::audio::{DecodeOptions, decode_reader};
use crate::package::{FileSum, check_graph, check_manifest, parse_manifest};
use crate::record::Record;
use crate::text::{TextDecoder, TextTokenizer};
use crate::token::{Ends, Interval, Layout, LayoutConfig, Pattern, TextIds, TokenId, Tokens, Vocabulary};

/// A fuzz target: takes any bytes, and must return.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("audio", audio),
    ("wave", wave),
    ("au", au),
    ("aiff", aiff),
    ("caf", caf),
    ("mp4", mp4),
    ("matroska", matroska),
    ("opus", opus),
    ("manifest", manifest),
    ("graph", graph),
    ("tokenizer", tokenizer),
    ("record", record),
    ("take", take),
    ("tokens", tokens),
];

/// Decodes a recording; its samples must be finite, and within the limits.
pub fn audio(bytes: &[u8]) {
    let options = DecodeOptions { sample_rate: Some(16_000), max_seconds: Some(20.0), max_bytes: Some(1 << 24) };
    if let Ok(decoded) = decode_reader(bytes, "sound", &options) {
        assert!(decoded.waveform.samples().iter().all(|sample| sample.is_finite()));
        assert!(decoded.waveform.seconds() < 20.1);
    }
}

/// Reads a manifest of any schema, and checks everything computed from a valid one.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = parse_manifest(bytes) else { return };
    if check_manifest(&manifest).is_ok() {
        assert!(manifest.files.keys().all(|name| name != ".." && !name.starts_with(['/', '\\'])));
        assert!(manifest.modalities.values().all(|modality| manifest.heads.contains_key(&modality.head)));
        let written =
            serde_json::to_vec(&manifest).ok().map(|written| parse_manifest(&written).map(|again| again.tokens));
        assert_eq!(written.and_then(Result::ok), Some(manifest.tokens), "a manifest that passed is not read again");
    }
}

/// Checks a graph file.
pub fn graph(bytes: &[u8]) {
    let _ = check_graph(bytes, &BTreeMap::from([("llm.onnx.data".to_owned(), FileSum::unread(4096))]));
}

/// Reads a tokenizer, and encodes and decodes text with it.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(tokenizer) = TextTokenizer::from_bytes(bytes, &vocabulary(1)) else { return };
    let Ok(ids) = tokenizer.encode("rain, é and\n42") else { return };
    let mut decoder = TextDecoder::default();
    let pieces: Result<String, _> = ids.iter().map(|id| decoder.push(*id, &tokenizer)).collect();
    let _ = pieces.and_then(|pieces| Ok(pieces + &decoder.finish(&tokenizer)?));
}

/// Reads a record; writing and reading it again must not change it.
pub fn record(bytes: &[u8]) {
    let Ok(record) = Record::from_json(bytes) else { return };
    let Ok(written) = record.to_json() else { return };
    let again = Record::from_json(written.as_bytes()).and_then(|record| record.to_json());
    assert_eq!(again.ok(), Some(written), "a record that was read cannot be read again");
}

/// Reads the record in a WAV file.
pub fn take(bytes: &[u8]) {
    if let Ok(Some(chunk)) = crate::audio::read_chunk(&mut Cursor::new(bytes), *b"ualm", 1 << 24) {
        record(&chunk);
    }
}

/// Converts tokens of a segment to codes and back, in the layout of the first byte.
pub fn tokens(bytes: &[u8]) {
    let Some((first, ids)) = bytes.split_first() else { return };
    let (layout, vocabulary) = layout(*first);
    let ids = ids.as_chunks::<2>().0.iter().map(|id| TokenId::from(u16::from_le_bytes(*id)));
    let whole = ids.len() / vocabulary.width * vocabulary.width;
    let ids: Vec<_> = ids.take(whole).collect();
    let Ok(segment) = Tokens::from_ids(vocabulary.non_zero_width(), ids) else { return };
    let frames = layout.frames(&segment);
    assert!(layout.holes(&segment) <= segment.len() * layout.books() && layout.sounding_len(&segment) <= segment.len());
    if let Ok(codes) = layout.codes(&segment, 0..frames) {
        assert_eq!(codes.dim(), (layout.books(), frames));
        let again = layout.lay(&codes).and_then(|laid| layout.codes(&laid, 0..frames));
        assert_eq!(again.ok(), Some(codes));
    }
}

/// Returns a layout of 64 codes per book: three delayed books, three interleaved ones, or one among other ids.
fn layout(number: u8) -> (Layout, Vocabulary) {
    let (pattern, books, width) = match number % 3 {
        0 => (Pattern::Delayed, 3, 3),
        1 => (Pattern::Interleaved, 3, 1),
        _ => (Pattern::Interleaved, 1, 1),
    };
    let book = |i: u32| Interval { start: 60_000 + i * 65, end: 60_000 + (i + 1) * 65 };
    let mut config = LayoutConfig::new(pattern, (0..books).map(book).collect(), Ends::new(vec![2], vec![3]));
    config.strict = number % 3 != 2;
    let vocabulary = vocabulary(width);
    let head = [Interval { start: 0, end: 60_195 }];
    match Layout::new(&config, &vocabulary, &head) {
        Ok(layout) => (layout, vocabulary),
        #[expect(clippy::panic, reason = "the layouts of this function are right")]
        Err(error) => panic!("{error}"),
    }
}

fn vocabulary(width: usize) -> Vocabulary {
    let text = TextIds { ids: Interval { start: 16, end: 60_000 }, zero_is_pad: true };
    Vocabulary::new(60_195, width, Some(0), text)
}
