//! Packages and records of schema 1: they load, make the same tokens and samples, and resume on a package whose manifest was
//! rewritten.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use ualm::{Cut, ErrorKind, GenerationConfig, Message, Modality, Model, Package, Record, Reply};
use ualm_testing::{change_manifest, copied_package, root, skip_without_fixtures};

/// Makes a copy of `tiny-omni-fp32` with a manifest of schema 1 in `folder`.
fn old_package(folder: &TempDir) -> std::path::PathBuf {
    let package = copied_package("tiny-omni-fp32", &folder.path().join("package"));
    let of_package = read(&package.join("manifest.json"));
    let mut manifest = read(&root().join("tests/data/manifests/schema1.json"));
    manifest["files"] = of_package["files"].clone();
    fs::write(package.join("manifest.json"), manifest.to_string()).unwrap();
    package
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Rewrites the manifest of `package` in schema 2, as `export/upgrade_manifest.py` does.
fn upgrade(package: &Path) {
    let old = Package::open(package).unwrap();
    let mut manifest = serde_json::to_value(old.manifest()).unwrap();
    manifest["formerly"] = json!([old.sha256()]);
    fs::write(package.join("manifest.json"), manifest.to_string()).unwrap();
}

fn config(model: &Model) -> GenerationConfig {
    let mut config = model.config();
    config.seed = 7;
    config.insist = true;
    config.max_segments = 2;
    config.force = vec![Modality::Text, Modality::Audio];
    for modality in config.force.clone() {
        let segment = config.segment_mut(modality);
        segment.temperature = 0.9;
        segment.max_steps = 20;
        segment.min_steps = 20;
    }
    config
}

/// Returns a reply to one message, and the record of both.
fn reply(model: &Model) -> (Reply, Record) {
    let messages = [Message::text("rain on a roof")];
    let config = config(model);
    let mut session = model.session();
    let prompt = session.prompt(&messages).unwrap();
    let mut record = Record::new(model.package());
    record.begin_turn(&messages, &prompt, &config);
    let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
    for segment in &reply.segments {
        record.push(segment);
    }
    (reply, record)
}

/// Returns the record in schema 1: `streams` and `frames` for `width` and `tokens`, and prompts for any modality.
fn of_schema_1(record: &Record) -> String {
    fn rename(value: &mut Value, old: &str, new: &str) {
        let object = value.as_object_mut().unwrap();
        let content = object.remove(old).unwrap();
        object.insert(new.to_owned(), content);
    }
    let mut json: Value = serde_json::from_str(&record.to_json().unwrap()).unwrap();
    json["schema"] = 1.into();
    rename(&mut json, "width", "streams");
    for turn in json["turns"].as_array_mut().unwrap() {
        rename(turn, "tokens", "frames");
        turn.as_object_mut().unwrap().remove("modality").unwrap();
        for segment in turn["segments"].as_array_mut().unwrap() {
            rename(segment, "tokens", "frames");
        }
    }
    json.to_string()
}

#[test]
fn a_package_of_schema_1_makes_the_same_tokens_and_samples() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let (old, _) = reply(&Model::load(old_package(&folder)).unwrap());
    let (new, _) = reply(&ualm_testing::model("tiny-omni-fp32"));
    assert_eq!(old.segments.len(), 2);
    for (old, new) in old.segments.iter().zip(&new.segments) {
        assert_eq!((&old.tokens, &old.text, &old.audio), (&new.tokens, &new.text, &new.audio));
    }
}

#[test]
fn records_of_schema_1_resume_on_a_package_with_a_rewritten_manifest() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let package = old_package(&folder);
    let (made, record) = reply(&Model::load(&package).unwrap());
    upgrade(&package);
    let model = Model::load(&package).unwrap();
    assert_ne!(record.package.sha256, model.package().sha256());

    let record = Record::from_json(of_schema_1(&record).as_bytes()).unwrap();
    let cut = Cut { turn: 0, segment: 1, position: 7 };
    let mut session = model.session();
    let checkpoint = session.restore(&record, cut).unwrap();
    let went_on = session.generate_from(&checkpoint, &config(&model)).unwrap().into_reply().unwrap();
    let went_on = &went_on.segments[0];
    let made = &made.segments[1];
    assert_eq!((&went_on.tokens, &went_on.audio, went_on.kept), (&made.tokens, &made.audio, 7));

    change_manifest(&package, |manifest| manifest["formerly"] = json!([]));
    let other = Model::load(&package).unwrap();
    let error = other.session().restore(&record, cut).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("load the package that made it"), "{error}");
}
