//! Packages that were made to do harm: refused before ONNX Runtime has read anything of them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{change_in_package, change_manifest, copied_package, package};
use serde_json::{Value, json};
use tempfile::TempDir;
use ualm::{ErrorKind, Message, Model, Package, RuntimeOptions};

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

/// Puts `to` in the place of every `from`, which is as long.
fn replace_all(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> =
        bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from.as_bytes()).collect();
    let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "{from}");
    places.into_iter().for_each(|place| bytes[place..place + to.len()].copy_from_slice(to.as_bytes()));
}

#[test]
fn graphs_that_reach_out_are_refused() {
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
fn links_and_files_that_are_none_are_refused() {
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

    // a link within the folder, and the folder itself behind one, do no harm
    let copy = Copy::new();
    fs::rename(copy.path().join("llm.onnx.data"), copy.path().join("real")).unwrap();
    symlink("real", copy.path().join("llm.onnx.data")).unwrap();
    let link = copy.0.path().join("link");
    symlink(copy.path(), &link).unwrap();
    Package::open(link).unwrap();
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 18] = [
        (|m| m["files"]["../x"] = m["files"]["llm.onnx"].clone(), "leaves the folder"),
        (|m| m["files"]["/etc/hostname"] = m["files"]["llm.onnx"].clone(), "leaves the folder"),
        (|m| m["graphs"]["llm"] = json!("absent.onnx"), "not among the files"),
        (|m| m["graphs"]["llm"] = json!("llm.onnx.data"), "expected a file .onnx"),
        (|m| drop(m["files"].as_object_mut().unwrap().remove("tokenizer.json")), "tokenizer.json is not among"),
        (|m| m["language_model"]["num_hidden_layers"] = json!(1u64 << 60), "num_hidden_layers is"),
        (|m| m["language_model"]["head_dim"] = json!(0), "head_dim is 0"),
        (|m| m["language_model"]["rope_theta"] = json!(-1), "no sense"),
        (|m| m["language_model"]["max_position_embeddings"] = json!(u64::MAX), "max_position_embeddings is"),
        (|m| m["vocabulary"]["streams"] = json!(1u64 << 40), "streams is"),
        (|m| m["vocabulary"]["special"]["pad"] = json!(1), "pad is 1"),
        (|m| m["vocabulary"]["audio"][2] = json!([1582, 1047]), "codebook_size is"),
        (|m| m["codec"]["hop_length"] = json!(0), "codec hop_length is 0"),
        (|m| m["codec"]["sampling_rate"] = json!(u32::MAX), "codec sampling_rate is"),
        (|m| m["audio_encoder"]["window_seconds"] = json!(1u64 << 50), "window_seconds is"),
        (|m| m["limits"]["input_seconds"] = json!(-5), "limits.input_seconds is -5"),
        (|m| m["modalities"]["audio"]["generation"]["temperature"] = json!(-1), "temperature"),
        (|m| m["language_model"] = json!([]), "not a manifest"),
    ];
    for (change, expected) in cases {
        let copy = Copy::new();
        change_manifest(&copy.path(), change);
        copy.refused(expected);
    }
    let copy = Copy::new();
    let manifest = fs::File::create(copy.path().join("manifest.json")).unwrap();
    manifest.set_len(1 << 40).unwrap();
    copy.refused("larger than");
}

#[test]
fn the_packages_that_are_exported_pass() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/default");
    for folder in ["tiny-omni-int4", "tiny-omni-int8", "tiny-afwhisper-fp32"].map(package).into_iter().chain([default])
    {
        let begun = Instant::now();
        Package::open(&folder).unwrap();
        println!("{}: {:?}", folder.display(), begun.elapsed());
    }
}

/// A name and what the file of that name holds.
type File = (String, Vec<u8>);

/// The files of a package, read into memory.
fn files(package: &Path) -> Vec<File> {
    let entries = fs::read_dir(package).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_package_in_memory_is_that_of_its_folder() {
    let folder = package("enhanced-fp32"); // which has a graph of every kind
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
        (logits, model.enhance(ualm::Modality::Audio, &model.decode_codes(ualm::Modality::Audio, &codes).unwrap()).unwrap())
    });
    assert_eq!(from_memory, from_folder);
}

#[test]
fn a_package_in_memory_is_refused_as_that_of_a_folder_is() {
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
