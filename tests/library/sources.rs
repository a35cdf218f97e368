//! Rules about the sources that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Returns the Rust files below `folder`, as paths from the workspace's folder, with their contents.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let (below, files): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
        folders.extend(below);
        for path in files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    sources
}

#[test]
fn unsafe_code_is_where_the_documents_say() {
    let document = include_str!("../../docs/dependencies.md");
    let list = document.split("\n\n").find(|paragraph| paragraph.contains("`ualm` itself has unsafe code")).unwrap();
    let listed: Vec<_> = Regex::new("`((?:src|crates)/[^`]*)`")
        .unwrap()
        .captures_iter(list)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    let code = Regex::new(r"(?m)^[^/\n]*\bunsafe\b *(?:\{|fn|impl|extern)").unwrap();
    let with_code: Vec<_> = ["src", "crates"]
        .into_iter()
        .flat_map(sources)
        .filter(|(_, text)| code.is_match(text))
        .map(|(name, _)| name)
        .collect();
    for name in &with_code {
        assert!(listed.iter().any(|place| Path::new(name).starts_with(place)), "{name} is not in {listed:?}");
    }
    for place in listed {
        assert!(with_code.iter().any(|name| Path::new(name).starts_with(place)), "{place} has no unsafe code");
    }
}

/// The library is called from Rust, from C and by the program, so that its messages name no feature of one of them.
#[test]
fn the_library_names_no_flag_or_command_of_the_program() {
    let own_flag = Regex::new(r"fetch_onnxruntime\.py --[a-z]+").unwrap();
    let of_the_program = Regex::new(r"\B--[a-z]|`ualm ").unwrap();
    let library = sources("src");
    assert!(library.len() > 30);
    for (name, text) in library {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let line = own_flag.replace(line, "");
            assert!(!of_the_program.is_match(&line), "{name}: {}", line.trim());
        }
    }
}

/// Text written by people may begin with a byte order mark, which `read_text` and similar functions skip.
#[test]
fn text_is_read_by_the_functions_that_skip_a_byte_order_mark() {
    // these read text that the system or this program has written
    let own = [
        "src/system/library.rs",
        "crates/cli/src/bench/whole.rs",
        "crates/cli/src/batch/merge.rs",
        "crates/cli/src/batch/results.rs",
    ];
    let reads = |text: &str| text.split("#[cfg(test)]").next().unwrap().contains("read_to_string(");
    let found: Vec<_> = ["src", "crates/cli/src", "crates/capi/src"]
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|(name, text)| reads(text) && !own.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
