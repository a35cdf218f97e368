//! Malicious packages, which are refused before ONNX Runtime reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use ualm::{ErrorKind, Message, Model, Package, RuntimeOptions};
use ualm_testing::{change_in_package, change_manifest, copied_package, package, root, skip_without_fixtures};

struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        copied_package("synthetic-fp32", &folder.path().join("package"));
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("package")
    }

    fn refused(&self, expected: &str) {
        let error = Package::open(self.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Package, "{error}");
        let message = error.full_message();
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    }
}

/// Replaces every `from` by `to`, which has the same length.
fn replace_all(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let windows = bytes.windows(from.len()).enumerate();
    let starts: Vec<_> = windows.filter(|(_, window)| *window == from.as_bytes()).map(|(start, _)| start).collect();
    assert!(!starts.is_empty(), "{from}");
    for start in starts {
        bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
    }
}

#[test]
fn graphs_that_reach_out_are_refused() {
    skip_without_fixtures!();
    for (from, to, expected) in [
        ("com.microsoft", "com.micr0soft", "com.micr0soft"),
        ("llm.onnx.data", "../m.onnx.dat", "not among the package's files"),
        ("llm.onnx.data", "/etc/hostname", "not among the package's files"),
        ("llm.onnx.data", "tokenizer.jso", "not among the package's files"),
    ] {
        let copy = Copy::new();
        change_in_package(&copy.path(), "llm.onnx", |bytes| replace_all(bytes, from, to));
        copy.refused(expected);
    }
    let copy = Copy::new();
    change_in_package(&copy.path(), "llm.onnx", |bytes| bytes.truncate(bytes.len() / 2));
    copy.refused("not an ONNX graph");
    let copy = Copy::new();
    change_in_package(&copy.path(), "llm.onnx.data", |bytes| bytes.truncate(bytes.len() - 64));
    copy.refused("llm.onnx.data, which has");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_and_missing_files_are_refused() {
    skip_without_fixtures!();
    use std::os::unix::fs::symlink;
    let copy = Copy::new();
    let inside = copy.path().join("llm.onnx.data");
    let outside = copy.0.path().join("outside");
    fs::rename(&inside, &outside).unwrap();
    symlink(&outside, &inside).unwrap();
    copy.refused("llm.onnx.data: a link that leaves the package's folder");
    fs::remove_file(&inside).unwrap();
    symlink("nowhere", &inside).unwrap();
    copy.refused("missing");
    fs::remove_file(&inside).unwrap();
    fs::create_dir(&inside).unwrap();
    copy.refused("llm.onnx.data");

    // a link within the folder, and a link to the folder itself, are harmless
    let copy = Copy::new();
    fs::rename(copy.path().join("llm.onnx.data"), copy.path().join("real")).unwrap();
    symlink("real", copy.path().join("llm.onnx.data")).unwrap();
    let link = copy.0.path().join("link");
    symlink(copy.path(), &link).unwrap();
    Package::open(link).unwrap();
    // so are links into the contents of a hub's cache, as its tools lay it out, but not links elsewhere into the cache
    let cache = copy.0.path().join("models--a--b");
    let snapshot = cache.join("snapshots/commit");
    let contents = cache.join("blobs");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&contents).unwrap();
    for file in fs::read_dir(copy.path()).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), contents.join(file.file_name())).unwrap();
        symlink(Path::new("../../blobs").join(file.file_name()), snapshot.join(file.file_name())).unwrap();
    }
    Package::open(&snapshot).unwrap();
    let moved = cache.join("llm.onnx.data");
    fs::rename(contents.join("llm.onnx.data"), &moved).unwrap();
    symlink(&moved, contents.join("llm.onnx.data")).unwrap();
    let error = Package::open(&snapshot).unwrap_err().full_message();
    assert!(error.contains("llm.onnx.data: a link that leaves the package's folder"), "{error}");
}

type Change = fn(&mut Value);

/// Rewrites the manifest of a package in the newest schema.
fn rewrite_manifest(package: &Path) {
    let manifest = serde_json::to_value(Package::open(package).unwrap().manifest()).unwrap();
    fs::write(package.join("manifest.json"), manifest.to_string()).unwrap();
    Package::open(package).unwrap();
}

/// The `decoding` section of a causal decoder.
fn causal(change: fn(&mut Value)) -> Value {
    let mut decoding = json!({"kind": "causal", "chunk": 5, "lookahead": 4, "max_frames": 100,
                              "state": {"layers": 2, "heads": 2, "head_size": 16}});
    change(&mut decoding);
    decoding
}

#[test]
fn manifests_that_are_not_consistent_are_refused() {
    skip_without_fixtures!();
    let cases: [(Change, &str); 47] = [
        (|m| m["files"]["../x"] = m["files"]["llm.onnx"].clone(), "leaves the folder"),
        (|m| m["files"]["/etc/hostname"] = m["files"]["llm.onnx"].clone(), "leaves the folder"),
        (|m| m["graphs"]["llm"] = json!("absent.onnx"), "not among the files"),
        (|m| m["graphs"]["llm"] = json!("llm.onnx.data"), "expected a file .onnx"),
        (|m| drop(m["files"].as_object_mut().unwrap().remove("tokenizer.json")), "tokenizer.json is not among"),
        (|m| m["language_model"]["state"] = json!([]), "entries of language_model.state is 0; expected 1..=1"),
        (|m| m["language_model"]["state"][0]["kind"] = json!("dreams"), "unknown variant `dreams`"),
        (|m| m["language_model"]["state"][0]["layers"] = json!(1u64 << 60), "layers is"),
        (|m| m["language_model"]["state"][0]["head_size"] = json!(0), "head_size is 0; expected"),
        (|m| m["language_model"]["state"][0]["rotary"]["theta"] = json!(-1), "rotary.theta -1"),
        (|m| m["language_model"]["max_positions"] = json!(u64::MAX), "max_positions is"),
        (|m| m["tokens"]["width"] = json!(1u64 << 40), "tokens: width is"),
        (|m| m["tokens"]["pad"] = Value::Null, "no pad, but a position has 3 ids"),
        (|m| m["tokens"]["text"]["ids"] = json!([10, 10]), "text.ids is [10, 10]"),
        (|m| m["heads"]["audio_head"] = json!([[0, 99_999_999]]), "heads.audio_head"),
        (|m| m["heads"]["audio_head"] = json!([[1, 20], [10, 30]]), "expected each id once"),
        (|m| m["heads"]["loose_head"] = json!([[0, 5]]), "has no graph \"loose_head\""),
        (|m| m["heads"]["audio_head"].as_array_mut().unwrap().truncate(3), "its head has 0 of the ids 2..3"),
        (|m| m["modalities"] = json!({}), "no modalities"),
        (|m| m["modalities"]["audio"]["pattern"] = json!("scattered"), "unknown variant `scattered`"),
        (|m| m["modalities"]["audio"]["books"][2] = m["modalities"]["audio"]["books"][1].clone(), "overlaps book 1"),
        (|m| m["modalities"]["audio"]["books"][2] = json!([1582, 1047]), "book 2 is [1582, 1047]"),
        (|m| drop(m["modalities"]["audio"]["books"].as_array_mut().unwrap().pop()), "2 books; its codec has 3"),
        (|m| m["modalities"]["audio"]["ends"]["turn"] = json!([]), "ends.turn is empty"),
        (|m| m["modalities"]["audio"]["ends"]["segment"] = json!([99_999_999]), "the end 99999999 is outside"),
        (|m| m["modalities"]["audio"]["strict"] = json!(false), "expected one interleaved book"),
        (|m| m["modalities"]["audio"]["head"] = json!("no_head"), "head is \"no_head\""),
        (|m| m["modalities"]["audio"]["codec"] = json!("no_codec"), "codec is \"no_codec\""),
        (|m| m["modalities"]["audio"]["codec"] = Value::Null, "modalities.audio: no codec"),
        (|m| m["modalities"]["text"]["codec"] = m["modalities"]["audio"]["codec"].clone(), "expected none for text"),
        (|m| m["modalities"]["audio"]["generation"]["temperature"] = json!(-1), "temperature"),
        (|m| m["codecs"]["idle"] = m["codecs"]["xcodec"].clone(), "codecs.idle is named by no modality"),
        (|m| m["codecs"]["xcodec"]["decoder"] = json!("absent"), "has no graph \"absent\""),
        (|m| m["codecs"]["xcodec"]["hop_length"] = json!(0), "codecs.xcodec.hop_length is 0"),
        (|m| m["codecs"]["xcodec"]["sampling_rate"] = json!(u32::MAX), "codecs.xcodec.sampling_rate is"),
        (|m| m["codecs"]["xcodec"]["codebook_size"] = json!(4096), "book 0 is too small for the 4096 codes"),
        (|m| m["codecs"]["xcodec"]["most_frames"] = json!(0), "codecs.xcodec.most_frames is 0"),
        (|m| m["codecs"]["xcodec"]["decoding"] = causal(|_| {}), "codecs.xcodec.books is 3; expected 1..=1"),
        (|m| m["codecs"]["xcodec"]["decoding"] = causal(|d| d["state"] = json!({})), "missing field `layers`"),
        (
            |m| {
                m["codecs"]["xcodec"]["books"] = json!(1);
                m["codecs"]["xcodec"]["decoding"] = causal(|decoding| decoding["chunk"] = json!(101));
            },
            "codecs.xcodec.chunk is 101; expected 1..=100",
        ),
        (
            |m| {
                m["codecs"]["xcodec"]["books"] = json!(1);
                m["codecs"]["xcodec"]["decoding"] = causal(|decoding| decoding["state"]["heads"] = json!(1u64 << 40));
            },
            "codecs.xcodec.state.heads is",
        ),
        (|m| m["template"]["tasks"] = json!({}), "template has no task for text"),
        (|m| m["template"]["segments"]["audio"] = Value::Null, "invalid type: null"),
        (
            |m| drop(m["template"]["segments"].as_object_mut().unwrap().remove("audio")),
            "segments has no entry for audio",
        ),
        (|m| m["template"]["between"] = json!([99_999_999]), "template: the id 99999999"),
        (|m| m["audio_encoder"]["window_seconds"] = json!(1u64 << 50), "window_seconds is"),
        (|m| m["limits"]["input_seconds"] = json!(-5), "limits.input_seconds is -5"),
    ];
    for (change, expected) in cases {
        let copy = Copy::new();
        rewrite_manifest(&copy.path());
        change_manifest(&copy.path(), change);
        copy.refused(expected);
    }
    let copy = Copy::new();
    change_manifest(&copy.path(), |m| m["language_model"] = json!([]));
    copy.refused("not a manifest");
    let copy = Copy::new();
    let manifest = fs::File::create(copy.path().join("manifest.json")).unwrap();
    manifest.set_len(1 << 40).unwrap();
    copy.refused("larger than");
}

#[test]
fn exported_packages_pass() {
    skip_without_fixtures!();
    let default = root().join("onnx/default");
    for folder in ["tiny-omni-int4", "tiny-omni-int8", "tiny-afwhisper-fp32"].map(package).into_iter().chain([default])
    {
        let begun = Instant::now();
        Package::open(&folder).unwrap();
        println!("{}: {:?}", folder.display(), begun.elapsed());
    }
}

/// The name and the content of a file.
type File = (String, Vec<u8>);

/// Reads the files of a package into memory.
fn files(package: &Path) -> Vec<File> {
    let entries = fs::read_dir(package).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_package_in_memory_equals_that_of_its_folder() {
    skip_without_fixtures!();
    let folder = package("enhanced-fp32"); // has a graph of every kind
    let in_memory = Package::from_files(files(&folder)).unwrap();
    in_memory.verify().unwrap();
    assert_eq!(in_memory.sha256(), Package::open(&folder).unwrap().sha256());
    let models = [Model::from_package(in_memory, &RuntimeOptions::default()).unwrap(), Model::load(&folder).unwrap()];
    let [from_memory, from_folder] = models.map(|model| {
        model.load_all().unwrap();
        let tone = (0..8000).map(|i| (i as f32 * 0.1).sin()).collect();
        let sound = ualm::audio::Waveform::mono(tone, 16_000).unwrap();
        let mut session = model.session();
        let prompt = session.prompt(&[Message::text("what is it?"), Message::audio(sound.clone())]).unwrap();
        let logits = session.next_logits(&prompt).unwrap();
        let codes = model.encode_codes(ualm::Modality::Audio, &sound).unwrap();
        (
            logits,
            model.enhance(ualm::Modality::Audio, &model.decode_codes(ualm::Modality::Audio, &codes).unwrap()).unwrap(),
        )
    });
    assert_eq!(from_memory, from_folder);
}

#[test]
fn a_package_in_memory_is_refused_like_that_of_a_folder() {
    skip_without_fixtures!();
    let whole = files(&package("synthetic-fp32"));
    let refused = |change: &dyn Fn(&mut Vec<File>), expected: &str| {
        let mut files = whole.clone();
        change(&mut files);
        let error = Package::from_files(files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Package, "{error}");
        assert!(error.to_string().contains(expected), "expected {expected:?} in: {error}");
    };
    refused(&|files| files.clear(), "manifest.json");
    refused(&|files| files.retain(|(name, _)| name != "tokenizer.json"), "tokenizer.json");
    for (name, _) in &whole {
        let damage =
            |files: &mut Vec<(String, Vec<u8>)>| files.iter_mut().find(|file| file.0 == *name).unwrap().1[0] ^= 1;
        refused(&damage, name);
    }
}
