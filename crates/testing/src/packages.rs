//! The fixtures that `tests/tools/fixtures.py` lays out (`make fixtures`), and copies of their packages to damage.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use ualm::Model;

use crate::root;

/// Returns a path under `target/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    let path = root().join("target/fixtures").join(path);
    assert!(path.exists(), "{} is missing: run `make test`, or `make fixtures` once", path.display());
    path
}

/// Returns the folder of a package under `target/fixtures/packages`.
pub fn package(name: &str) -> PathBuf {
    fixture(&format!("packages/{name}"))
}

/// Loads a package under `target/fixtures/packages`.
pub fn model(name: &str) -> Model {
    Model::load(package(name)).unwrap()
}

/// Copies a package to the new folder `copy`, where it may be damaged.
pub fn copied_package(name: &str, copy: &Path) -> PathBuf {
    fs::create_dir(copy).unwrap();
    for entry in fs::read_dir(package(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy.to_path_buf()
}

/// Copies `tiny-omni-fp32` to the new folder `copy`, with a manifest by which the prompt determines the modality: a reply has one
/// segment, and chains are by prompt. The model writes any text, and draws a few frames of sound.
pub fn package_by_prompt(copy: &Path) -> PathBuf {
    let package = copied_package("tiny-omni-fp32", copy);
    change_manifest(&package, |manifest| {
        manifest["template"]["choice"] = json!("by_prompt");
        manifest["template"]["between"] = json!([]);
        for modality in ["text", "audio", "speech"] {
            let config = &mut manifest["modalities"][modality];
            config["ends"] = json!({"turn": [2]});
            config["generation"]["max_steps"] = json!(12);
            // random weights may end a text before its first word
            config["generation"]["min_steps"] = json!(if modality == "text" { 4 } else { 10 });
        }
    });
    package
}

/// Changes a file of a package, and its checksum in the manifest.
pub fn change_in_package(package: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(package.join(name)).unwrap();
    change(&mut bytes);
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(package.join(name), &bytes).unwrap();
    change_manifest(package, |manifest| manifest["files"][name] = json!({"size": bytes.len(), "sha256": sum}));
}

/// Changes the manifest of a package.
pub fn change_manifest(package: &Path, change: impl FnOnce(&mut Value)) {
    let path = package.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}
