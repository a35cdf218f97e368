//! The JSON Schema of the manifest: written from the types that read it, and as strict as they are.

use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::{Value, json};
use ualm::internal::manifest_schema;
use ualm::package::{Manifest, Package};
use ualm_testing::{root, skip_without_fixtures};

fn validator() -> Validator {
    jsonschema::validator_for(&manifest_schema()).unwrap()
}

/// Returns the manifests of the default package and of all fixtures, in the newest form.
fn manifests() -> Vec<(PathBuf, Value)> {
    let fixtures = fs::read_dir(root().join("target/fixtures/packages")).unwrap().map(|folder| folder.unwrap().path());
    let folders = fixtures.chain([root().join("onnx/default")]).filter(|folder| folder.join("manifest.json").is_file());
    folders
        .map(|folder| {
            let written = serde_json::to_value(Package::open(&folder).unwrap().manifest()).unwrap();
            (folder, written)
        })
        .collect()
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let written = serde_json::to_string_pretty(&manifest_schema()).unwrap() + "\n";
    let path = root().join("docs/manifest.schema.json");
    if std::env::var_os("UALM_WRITE_REFERENCE").is_some() {
        fs::write(&path, written).unwrap();
        return;
    }
    let published = fs::read_to_string(path).unwrap_or_default();
    assert!(published == written, "docs/manifest.schema.json is not of this version's types: run `make reference`");
}

#[test]
fn manifests_are_valid() {
    skip_without_fixtures!();
    let validator = validator();
    let manifests = manifests();
    assert!(manifests.len() > 5, "{} manifests", manifests.len());
    for (folder, written) in &manifests {
        let files =
            [written.clone(), serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()];
        for manifest in files.iter().filter(|manifest| manifest["schema"] == ualm::package::SCHEMA) {
            let faults: Vec<_> = validator.iter_errors(manifest).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:?}", folder.display());
        }
    }
}

/// Returns the JSON pointers of all values in `value`.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{}", escaped(key)), found));
        }
        // the first of a list stands for all
        Value::Array(items) => items.iter().take(1).for_each(|item| pointers(item, &format!("{at}/0"), found)),
        _ => {}
    }
    found.push(at.to_owned());
}

/// Removes the value at `pointer` from its object or list.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(items)) => drop(items.remove(0)),
        _ => {}
    }
}

/// Renames the last key of `pointer`, if it is one of an object.
fn rename(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(fields)) = value.pointer_mut(parent)
        && let Some(value) = fields.remove(&key.replace("~1", "/").replace("~0", "~"))
    {
        fields.insert("other".to_owned(), value);
    }
}

/// Removes every value of the manifests, renames its key, and replaces it by values of every type: the schema refuses what the library refuses.
#[test]
fn a_changed_manifest_is_valid_exactly_where_the_library_reads_it() {
    skip_without_fixtures!();
    let validator = validator();
    let others =
        [json!(null), json!(true), json!(-1), json!(0.5), json!(7), json!("other"), json!([]), json!({}), json!([[1]])];
    let (mut refused, mut read) = (0, 0);
    // one of each family, one with an enhancer
    let names = ["default", "tiny-audex-fp32", "enhanced-fp32"];
    for (folder, manifest) in
        manifests().into_iter().filter(|(folder, _)| names.iter().any(|name| folder.ends_with(name)))
    {
        let mut all = Vec::new();
        pointers(&manifest, "", &mut all);
        for pointer in all.iter().filter(|pointer| *pointer != "/schema") {
            let replaced = others.iter().map(|other| {
                let mut changed = manifest.clone();
                *changed.pointer_mut(pointer).unwrap() = other.clone();
                changed
            });
            let mut without = manifest.clone();
            remove(&mut without, pointer);
            let mut renamed = manifest.clone();
            rename(&mut renamed, pointer);
            for changed in replaced.chain([without, renamed]) {
                let is_read = Manifest::parse(changed.to_string().as_bytes()).is_ok();
                *(if is_read { &mut read } else { &mut refused }) += 1;
                let now = changed.pointer(pointer);
                let is_list = now.is_some_and(Value::is_array); // serde reads a struct from a list, too
                let is_valid = validator.is_valid(&changed);
                assert!(is_valid == is_read || (is_read && is_list), "{}: {pointer} is {now:?}", folder.display());
            }
        }
    }
    assert!(refused > 1000 && read > 100, "{refused} refused, {read} read");
}
