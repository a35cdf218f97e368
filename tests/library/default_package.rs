//! Whole runs of the package that comes with the program: it makes the requested sounds, and recognizes them.
//!
//! The samples depend on the machine in their last bits, so that single draws may differ: the tests require most, not all.

use std::sync::LazyLock;

use ualm::audio::Waveform;
use ualm::{Message, Modality, Model, Package, ReasoningMode, Reply, RichCaption};
use ualm_testing::{root, skip_without_library};

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::load(folder()).unwrap());

fn folder() -> std::path::PathBuf {
    root().join("onnx/default")
}

/// A prompt, and a word of the answer when its sound is heard.
const SOUNDS: [(&str, &str); 16] = [
    ("a dog barking", "dog"),
    ("rain", "rain"),
    ("sea waves", "waves"),
    ("a baby crying", "baby"),
    ("a clock ticking", "clock"),
    ("a person sneezing", "sneezing"),
    ("a helicopter", "helicopter"),
    ("a chainsaw", "chainsaw"),
    ("a rooster crowing", "rooster"),
    ("a fire crackling", "fire"),
    ("a telephone ringing", "telephone"),
    ("a siren", "siren"),
    ("a car horn", "horn"),
    ("glass breaking", "glass"),
    ("a violin", "violin"),
    ("a person whistling", "whistling"),
];
/// Prompts of two sounds in order, with the keywords of the plan.
const SCENES: [(&str, [&str; 2]); 4] = [
    ("a dog barking twice, then rain", ["dog bark", "rain"]),
    ("a car horn, then glass breaking", ["car horn", "glass breaking"]),
    ("a siren, then a telephone ringing", ["siren", "telephone ringing"]),
    ("knocking on a door three times, then a person whistling", ["knocking", "whistling"]),
];
const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn reply(messages: &[Message], force: &[Modality], seed: u64) -> Reply {
    let mut config = MODEL.config();
    config.force = force.to_vec();
    config.max_segments = force.len();
    config.insist = true;
    config.seed = seed;
    let mut session = MODEL.session();
    let prompt = session.prompt(messages).unwrap();
    session.generate(prompt, &config).unwrap().into_reply().unwrap()
}

fn make(words: &str, modality: Modality, seed: u64) -> Waveform {
    reply(&[Message::text(words)], &[modality], seed).audio().unwrap().clone()
}

fn hear(messages: &[Message]) -> String {
    reply(messages, &[Modality::Text], 0).text()
}

fn level(sound: &Waveform) -> f32 {
    (sound.samples().iter().map(|x| x * x).sum::<f32>() / sound.len() as f32).sqrt()
}

#[test]
fn the_package_is_whole_and_small() {
    skip_without_library!();
    let package = Package::open(folder()).unwrap();
    package.verify().unwrap();
    assert!(package.size() <= 40_000_000, "{} bytes", package.size());
    assert!(folder().join("README.md").is_file(), "a package has a card");
}

/// The seeds of the sounds.
const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn prompts_make_sounds_that_are_heard_as_such() {
    skip_without_library!();
    let mut heard = Vec::new();
    for (prompt, word) in SOUNDS {
        for seed in SEEDS {
            let sound = make(prompt, Modality::Audio, seed);
            let audible = sound.seconds() > 0.2 && level(&sound) > 1e-3;
            let answer = hear(&[Message::audio(sound), Message::text("What sound is this?")]);
            heard.push((prompt, audible && answer.contains(word), answer));
        }
    }
    let right = heard.iter().filter(|(_, right, _)| *right).count();
    assert!(right >= 30, "{right} of 48: {heard:?}");
}

#[test]
fn digits_are_spoken_and_heard() {
    skip_without_library!();
    let mut heard = Vec::new();
    for digit in DIGITS {
        for seed in SEEDS {
            let sound = make(digit, Modality::Speech, seed);
            assert!((0.1..4.0).contains(&sound.seconds()), "{digit}: {} s", sound.seconds());
            let answer = hear(&[Message::text("Transcribe the speech."), Message::speech(sound)]);
            heard.push((digit, answer.trim().trim_end_matches('.') == digit, answer));
        }
    }
    let right = heard.iter().filter(|(_, right, _)| *right).count();
    assert!(right >= 20, "{right} of 30: {heard:?}");
}

#[test]
fn a_reflection_plans_makes_and_describes_the_requested_sounds() {
    skip_without_library!();
    use Modality::{Audio, Text};
    let reasoning = MODEL.manifest().reasoning.as_ref().unwrap();
    let mut planned = 0;
    for (words, keywords) in SCENES {
        let prompt = reasoning.prompt(ReasoningMode::Reflect, words);
        let chain = reply(&[Message::text(prompt)], &[Text, Audio, Text, Audio], 1);
        let texts: Vec<_> = chain.segments.iter().filter(|s| s.modality == Text).map(|s| s.text.as_str()).collect();
        assert_eq!((chain.segments.len(), texts.len()), (4, 2), "{words}");
        assert!(chain.segments.iter().filter_map(|s| s.audio.as_ref()).all(|sound| level(sound) > 1e-3), "{words}");
        assert!(texts[1].contains("I hear "), "{words}: {}", texts[1]);
        planned += usize::from(RichCaption::parse(texts[0]).is_some_and(|plan| plan.keywords == keywords));
    }
    assert!(planned >= 3, "{planned} of {} plans hold the keywords", SCENES.len());
}

#[test]
fn streamed_sound_is_the_whole_sound() {
    skip_without_library!();
    let sound = |stream_audio| {
        let mut config = MODEL.config();
        config.force = vec![Modality::Audio];
        config.max_segments = 1;
        config.stream_audio = stream_audio;
        config.seed = 3;
        let mut session = MODEL.session();
        let prompt = session.prompt(&[Message::text("rain")]).unwrap();
        let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
        reply.audio().unwrap().clone()
    };
    let whole = sound(false);
    let streamed = sound(true);
    assert_eq!(whole.len(), streamed.len());
    let difference = whole.samples().iter().zip(streamed.samples()).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(difference < 1e-5, "they differ by {difference}");
}
