//! Tests that one package's manifests in both schemas are equal.

use serde_json::Value;

use crate::package::parse_manifest;

const SCHEMA_1: &[u8] = include_bytes!("../../../tests/data/manifests/schema1.json");
const SCHEMA_2: &[u8] = include_bytes!("../../../tests/data/manifests/schema2.json");

/// Returns a manifest as parsed and written again by the runtime.
fn read(text: &[u8]) -> Value {
    let manifest = parse_manifest(text).unwrap();
    super::super::check::check_manifest(&manifest).unwrap();
    serde_json::to_value(manifest).unwrap()
}

#[test]
fn a_manifest_of_schema_1_converts_to_its_counterpart_of_schema_2() {
    let old = read(SCHEMA_1);
    let new = read(SCHEMA_2);
    for (section, expected) in new.as_object().unwrap() {
        assert_eq!(old[section], *expected, "{section}");
    }
    assert_eq!(old.as_object().unwrap().len(), new.as_object().unwrap().len());
}

#[test]
fn a_written_manifest_reads_back_the_same() {
    let new = read(SCHEMA_2);
    assert_eq!(read(new.to_string().as_bytes()), new);
}

#[test]
fn control_ids_of_schema_1_lie_below_the_text_and_pad_is_0() {
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut manifest: Value = serde_json::from_slice(SCHEMA_1).unwrap();
        change(&mut manifest);
        let error = parse_manifest(manifest.to_string().as_bytes()).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    };
    refused(&|m| m["vocabulary"]["special"]["pad"] = 1.into(), "pad is 1; expected 0");
    refused(&|m| m["vocabulary"]["special"]["user"] = 300.into(), "the special id 300");
    refused(&|m| m["modalities"]["audio"]["token"] = 300.into(), "the special id 300");
    refused(&|m| m["vocabulary"]["streams"] = 7.into(), "streams is 7, but there are 8 audio blocks");
    refused(&|m| m["language_model"] = 7.into(), "not a manifest");
    refused(&|m| m["schema"] = 3.into(), "schema 3, but this version knows up to 2");
}
