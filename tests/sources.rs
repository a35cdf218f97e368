//! Rules about the sources that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The Rust files below `folder`, as paths from the package's folder, with what is in them.
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
    let document = include_str!("../docs/dependencies.md");
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
