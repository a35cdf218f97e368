//! `crates/capi/include/ualm.h` is generated from `crates/capi/src` by `make header`.

use std::fs;
use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config};

/// The files of `crates/capi/src` in the order of the header.
const SOURCES: [&str; 26] = [
    "version",
    "boundary",
    "names",
    "runtime_options",
    "generation_options",
    "report",
    "view",
    "model",
    "limits",
    "cancel",
    "prompt",
    "event",
    "session",
    "engine",
    "checkpoint",
    "generation",
    "reply",
    "audio",
    "codes",
    "tensor",
    "ranking",
    "record",
    "converse",
    "takes",
    "chain",
    "argument",
];

/// Returns the folder of the crate `ualm-capi`.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> PathBuf {
    folder().join("include/ualm.h")
}

fn generated() -> String {
    let mut config = Config::from_file(folder().join("cbindgen.toml")).unwrap();
    config.header = Some(fs::read_to_string(folder().join("include/ualm.h.txt")).unwrap().trim_end().to_owned());
    let sources = SOURCES.iter().map(|name| folder().join("src").join(name).with_extension("rs"));
    let builder = sources.fold(Builder::new().with_config(config), Builder::with_src);
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_up_to_date() {
    let generated = generated();
    if std::env::var_os("UALM_WRITE_HEADER").is_some() {
        fs::write(header(), &generated).unwrap();
    }
    let committed = fs::read_to_string(header()).unwrap_or_default();
    assert!(
        committed == generated,
        "crates/capi/include/ualm.h is not what crates/capi/src says: run `make header` and commit it"
    );
}

#[test]
fn every_function_of_the_source_is_in_the_header() {
    let header = generated();
    let mut functions = 0;
    let files = fs::read_dir(folder().join("src")).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        let source = fs::read_to_string(file).unwrap();
        for function in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = function.split_once(" fn ").and_then(|(_, rest)| rest.split_once('(')).unwrap().0;
            assert!(name.starts_with("ualm_"), "{name}");
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header: see SOURCES");
            functions += 1;
        }
    }
    assert!(functions > 30, "found {functions} functions");
}
