//! A package with an enhancer: every sound that the program writes is enhanced. (The test enhancer repeats each sample
//! three times, unchanged on the left, times -2 on the right.)

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use ualm::ErrorKind;
use ualm::audio::Waveform;
use ualm_testing::{model, package, skip_without_fixtures};

const CODEC_RATE: u32 = 16_000;

fn enhanced(sample: f32) -> [f32; 6] {
    [sample, -2.0 * sample].repeat(3).try_into().unwrap()
}

fn ualm(package_name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package(package_name));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Generates a sound, and returns its format and interleaved samples.
fn made(package_name: &str, folder: &Path) -> (hound::WavSpec, Vec<f32>) {
    let out = folder.join(format!("{package_name}.wav"));
    let made = generate(package_name, out.to_str().unwrap());
    assert!(made.is_empty());
    let file = hound::WavReader::open(out).unwrap();
    (file.spec(), file.into_samples().map(Result::unwrap).collect())
}

/// Runs `ualm generate -o out`, and returns its standard output.
fn generate(package_name: &str, out: &str) -> Vec<u8> {
    let steps = ["--min-steps", "60", "--max-steps", "60"];
    ualm(package_name, &[&["generate", "a dog barks", "--seed", "1", "--float", "-o", out], &steps[..]].concat()).stdout
}

#[test]
fn a_sound_is_enhanced_only_by_a_package_with_an_enhancer() {
    skip_without_fixtures!();
    let sound = Waveform::mono(vec![0.5, -0.25, 0.125], CODEC_RATE).unwrap();
    let better = model("enhanced-fp32").enhance(ualm::Modality::Audio, &sound).unwrap().unwrap();
    assert_eq!(better.sample_rate(), 48_000);
    let left = [0.5, 0.5, 0.5, -0.25, -0.25, -0.25, 0.125, 0.125, 0.125];
    assert_eq!(better.channels(), [left.to_vec(), left.map(|sample| -2.0 * sample).to_vec()]);
    assert!(model("tiny-omni-fp32").enhance(ualm::Modality::Audio, &sound).unwrap().is_none());
}

#[test]
fn samples_that_are_not_finite_are_an_error() {
    skip_without_fixtures!();
    let loud = Waveform::mono(vec![0.0, f32::MAX], CODEC_RATE).unwrap();
    let error = model("enhanced-fp32").enhance(ualm::Modality::Audio, &loud).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numeric);
    assert!(error.to_string().contains("enhancer"), "{error}");
}

#[test]
fn files_and_streams_hold_the_enhanced_sound() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let (plain_spec, plain) = made("tiny-omni-fp32", folder.path());
    let (spec, better) = made("enhanced-fp32", folder.path());
    assert_eq!((plain_spec.channels, plain_spec.sample_rate), (1, CODEC_RATE));
    assert_eq!((spec.channels, spec.sample_rate), (2, 48_000));
    assert!(plain.len() > 10_000);
    assert_eq!(better, plain.iter().flat_map(|sample| enhanced(*sample)).collect::<Vec<_>>());

    let streamed = generate("enhanced-fp32", "-");
    let samples: Vec<_> = better.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert!(streamed.starts_with(b"RIFF") && streamed.ends_with(&samples));
}

#[test]
fn a_batch_writes_the_enhanced_sound() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let requests = folder.path().join("requests.jsonl");
    let request = r#"{"id": "dog", "messages": [{"role": "user", "content": [{"type": "text", "text": "a dog barks"}]}],
        "force": ["audio"], "max_segments": 1, "seed": 1, "audio": {"min_steps": 60, "max_steps": 60}}"#;
    std::fs::write(&requests, request.replace('\n', "")).unwrap();
    let answer = |package_name: &str| {
        let out = folder.path().join(package_name);
        ualm(package_name, &["batch", requests.to_str().unwrap(), "--out", out.to_str().unwrap(), "--float"]);
        let result: Value = serde_json::from_slice(&std::fs::read(out.join("results.jsonl")).unwrap()).unwrap();
        let file = hound::WavReader::open(out.join("dog.0.wav")).unwrap();
        (result, file.spec(), file.into_samples().map(Result::unwrap).collect::<Vec<f32>>())
    };
    let (plain_result, _, plain) = answer("tiny-omni-fp32");
    let (result, spec, better) = answer("enhanced-fp32");
    assert_eq!((spec.channels, spec.sample_rate), (2, 48_000));
    assert!(plain.len() > 10_000);
    assert_eq!(better, plain.iter().flat_map(|sample| enhanced(*sample)).collect::<Vec<_>>());
    assert_eq!(result["segments"][0]["seconds"], plain_result["segments"][0]["seconds"]);
}

#[test]
fn a_take_is_enhanced_when_repeated_extended_and_planned() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sound = path("sound.wav");
    let longer = path("longer.wav");
    let chain = path("chain");
    generate("enhanced-fp32", &sound);
    ualm("enhanced-fp32", &["take", &sound, "--again"]);
    ualm("enhanced-fp32", &["take", &sound, "--extend", "0.5s", "-o", &longer]);
    let frames = |file: &str| hound::WavReader::open(file).unwrap().duration();
    assert_eq!(frames(&longer), frames(&sound) + 24_000);
    let hears = ["--reflect", "--listen", "--temperature", "1", "--min-steps", "60", "--max-steps", "60"];
    ualm("enhanced-fp32", &[&["reason", "rain", "-o", &chain, "--seed", "5"], &hears[..]].concat());
    let last = hound::WavReader::open(folder.path().join("chain/04-final.wav")).unwrap().spec();
    assert_eq!((last.channels, last.sample_rate), (2, 48_000));
}
