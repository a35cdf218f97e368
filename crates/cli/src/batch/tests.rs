//! Tests of requests, shards and the matching of results to requests.

use std::collections::HashSet;

use proptest::prelude::*;
use ualm::ErrorKind;
use ualm::internal::skip_mark;

use super::request::{self, Request, read_requests};
use super::results::{Finder, scan};
use crate::args::{Shard, seed_of};

/// Generates a valid line, or a damaged one.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let request =
        r#"{"id": "ID", "messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}], "seed": 1}"#;
    let result = r#"{"id": "ID", "line": 3, "segments": [{"audio": "a.wav"}], "error": {}, "request": "00"}"#;
    let whole = (prop::sample::select(vec![request, result, "[]", "{}"]), "[a-c]")
        .prop_map(|(line, id)| line.replace("ID", &id).into_bytes());
    let damaged = (whole.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut line, index, byte)| {
        let index = index.index(line.len());
        line[index] = byte;
        line
    });
    prop_oneof![whole, damaged, prop::collection::vec(any::<u8>(), 0..50)]
}

proptest! {
    /// For any lines, each has a unique key and belongs to one shard, and no result matches a request by chance.
    #[test]
    fn any_lines_are_read(lines in prop::collection::vec(line(), 0..12), shards in 1u64..5) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, lines.join(&b'\n')).unwrap();
        let Ok(requests) = read_requests(&path, None) else {
            let is_text = skip_mark(&lines.join(&b'\n')).is_ok();
            prop_assert!(!is_text, "any UTF-8 text is read");
            return Ok(());
        };
        let keys: HashSet<_> = requests.iter().map(|line| line.key.clone()).collect();
        prop_assert_eq!(keys.len(), requests.len());
        requests.iter().for_each(|line| drop(line.request()));
        let of = |shard: u64| read_requests(&path, Some(format!("{shard}/{shards}").parse().unwrap())).unwrap().len();
        prop_assert_eq!((1..=shards).map(of).sum::<usize>(), requests.len());
        let finder = Finder::new(&requests);
        for (_, written) in scan(&path).unwrap() {
            prop_assert_eq!(written.and_then(|written| finder.find(&written)), None, "no sum of a request is 00");
        }
    }
}

#[test]
fn null_means_absent() {
    for field in ["force", "text", "audio", "speech", "thinking", "max_segments", "seed"] {
        let line = format!(r#"{{"id": "a", "messages": [], "{field}": null}}"#);
        assert!(serde_json::from_str::<Request>(&line).is_ok(), "{field}");
    }
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let line = r#"{"id": "a", "messages": [], "temprature": 1}"#;
    let error = serde_json::from_str::<Request>(line).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("temprature")));
}

#[test]
fn lines_of_any_content_have_unique_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.jsonl");
    let mut text = b"{\"id\": \"a\", \"messages\": []}\n\n{broken\n\xff\xfe\n{\"id\": \"a\"}\n".to_vec();
    text.resize(text.len() + request::MAX_LINE as usize + 5, b'x');
    text.extend(b"\n{\"id\": \"b\", \"messages\": []}");
    std::fs::write(&path, text).unwrap();
    let lines = read_requests(&path, None).unwrap();
    let keys: Vec<_> = lines.iter().map(|line| line.key.to_string()).collect();
    assert_eq!(keys, ["a", "line 3", "line 4", "line 5", "line 6", "b"]);
    let kinds: Vec<_> = lines.iter().map(|line| line.request().err().map(|e| e.kind())).collect();
    let invalid = Some(ErrorKind::Invalid);
    assert_eq!(kinds, [None, invalid, invalid, invalid, Some(ErrorKind::Limit), None]);
}

#[test]
fn every_id_is_in_one_shard_and_shards_are_balanced() {
    let shards: Vec<_> = (1..=7).map(|index| format!("{index}/7").parse::<Shard>().unwrap()).collect();
    let mut sizes = [0; 7];
    for id in (0..7000).map(|number| format!("id-{number}")) {
        let holding: Vec<_> = (0..7).filter(|index| shards[*index].holds(&id)).collect();
        assert_eq!(holding.len(), 1);
        sizes[holding[0]] += 1;
    }
    assert!(sizes.iter().all(|size| (850..1150).contains(size)), "{sizes:?}");
}

#[test]
fn seeds_and_shards_never_change() {
    assert_eq!(seed_of("dog-1"), 0xb0a5_1676_59e3_2054);
    assert!("4/4".parse::<Shard>().unwrap().holds("dog-1"));
}

#[test]
fn invalid_shards_are_refused() {
    for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1/10000"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}
