//! Lines of a batch, as the program reads them. Its modules are no part of the library: they are compiled into what
//! includes this file, which has `overrides` at its root.

#[path = "../src/bin/ualm/batch/request.rs"]
mod request;
#[path = "../src/bin/ualm/batch/shard.rs"]
mod shard;

use std::collections::HashSet;

/// Each line has a key of its own, belongs to one of the shards, and is a request or says what is wrong with it.
pub fn batch(bytes: &[u8]) {
    let of = |shard: Option<&str>| {
        let shard = shard.map(|shard| shard.parse().expect("a shard"));
        request::lines_of(bytes, shard).expect("memory can be read")
    };
    let lines = of(None);
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
