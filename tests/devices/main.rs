//! Comparison of a device with memory of its own with the CPU: the same tokens, from the same numbers up to rounding.
//!
//! `UALM_TEST_DEVICE` names the provider, as in `make test-webgpu`; without it a note is printed. The CPU with fixed shapes
//! represents the providers that need them. The packages are float32, because providers round the activations of graphs with
//! quantized weights differently.

mod qnn;

mod faults;
mod float16;

use std::process::{Command, Output};
use std::sync::LazyLock;
use std::thread::scope;

use ualm::audio::{DecodeOptions, Waveform};
use ualm::internal::Comparer;
use ualm::{
    Codes, Engine, EngineOptions, ErrorKind, GenerationConfig, Message, Modality, Model, Providers, RuntimeOptions,
    Session, Tokens,
};
use ualm_testing::{package, relative_error, skip_without_fixtures};

/// The CPU as a provider that accepts only graphs with fixed shapes, and the CPU for graphs whose shapes cannot be fixed.
const STATIC: &str = "cpu:static=yes,cpu";
const PACKAGES: [&str; 3] = ["tiny-omni-fp32", "tiny-afwhisper-fp32", "tiny-audex-fp32"];
/// The largest difference, relative to the largest value.
const TOLERANCE: f32 = 1e-5;

/// The models of a package on the CPU and on the device.
struct Pair {
    cpu: Model,
    device: Model,
}

static DEVICE: LazyLock<Option<String>> = LazyLock::new(|| {
    let device = std::env::var("UALM_TEST_DEVICE").ok().filter(|device| !device.is_empty());
    if device.is_none() {
        eprintln!(
            "note: no device was tried but the CPU: UALM_TEST_DEVICE names none (`make test-webgpu` needs no GPU)"
        );
    }
    device
});

/// Loads a package.
fn load(name: &str, providers: &str) -> Model {
    let providers: Providers = providers.parse().unwrap();
    Model::load_with(package(name), &RuntimeOptions::default().providers(providers)).unwrap()
}

/// Loads a package on a device, which takes every graph of a step.
fn load_on(device: &str, name: &str) -> Model {
    let model = load(name, device);
    for graph in model.provider_report().unwrap().graphs {
        assert_ne!(graph.provider, "cpu", "every graph of a step runs where it was asked for: {graph}");
    }
    model
}

/// The device with recorded steps, which WebGPU alone has.
fn replaying(device: &str) -> Option<String> {
    device.contains("webgpu").then(|| device.replacen("webgpu", "webgpu:graph_capture=1", 1))
}

/// Loads all packages, on the CPU and on each device, and the first one once more with recorded steps.
fn pairs() -> impl Iterator<Item = Pair> {
    let of_device = |device: &'static str| PACKAGES.map(|name| (device.to_owned(), name));
    let recorded = DEVICE.iter().filter_map(|device| Some((replaying(device)?, PACKAGES[0])));
    let all = DEVICE.as_deref().into_iter().chain([STATIC]).flat_map(of_device).chain(recorded);
    all.map(|(device, name)| Pair { cpu: load(name, "cpu"), device: load_on(&device, name) })
}

fn hum(seconds: f64) -> Waveform {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    Waveform::mono(samples, 16_000).unwrap()
}

/// Returns settings for a reply in `modality` of a few steps, drawn with `seed`, guided for sound.
fn config(model: &Model, modality: Modality, seed: u64) -> GenerationConfig {
    let mut config = model.config().only(modality).thinking(false).seed(seed);
    let settings = config.segment_mut(modality);
    settings.temperature = 1.0;
    settings.max_steps = 24;
    settings.min_steps = 12;
    settings.guidance = if modality.is_sound() { 2.0 } else { 1.0 };
    config
}

/// Returns prompts of all kinds: short, longer than 31 positions, and with sound.
fn prompts() -> [Vec<Message>; 3] {
    let long =
        "rain on a roof, then a dog far away, then nothing for a long time, and then again rain and wind in the trees";
    [
        vec![Message::text("a bell")],
        vec![Message::text(long)],
        vec![Message::audio(hum(1.5)), Message::text("What do you hear?")],
    ]
}

fn tokens(session: &mut Session, messages: &[Message], config: &GenerationConfig) -> Vec<Tokens> {
    let prompt = session.prompt_for(config.opens_with(), messages).unwrap();
    let reply = session.generate(prompt, config).unwrap().into_reply().unwrap();
    reply.segments.into_iter().map(|segment| segment.tokens).collect()
}

#[test]
fn replies_are_those_of_the_cpu() {
    skip_without_fixtures!();
    for Pair { cpu, device } in pairs() {
        for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
            for (number, messages) in prompts().iter().enumerate() {
                if number == 2 && modality.is_sound() {
                    continue;
                }
                let config = config(&cpu, modality, number as u64);
                let expected = tokens(&mut cpu.session(), messages, &config);
                let found = tokens(&mut device.session(), messages, &config);
                assert_eq!(found, expected, "{}: {modality}, prompt {number}", cpu.manifest().name);
            }
        }
    }
}

#[test]
fn conversations_takes_and_forks_are_those_of_the_cpu() {
    skip_without_fixtures!();
    for Pair { cpu, device } in pairs() {
        let made = |model: &Model| {
            let mut session = model.session();
            let mut made = tokens(&mut session, &[Message::text("a dog")], &config(model, Modality::Text, 1));
            let sound = config(model, Modality::Audio, 0);
            let prompt = session.prompt_for(Modality::Audio, &[Message::text("rain, then wind")]).unwrap();
            let checkpoint = session.checkpoint(&prompt).unwrap();
            let mut fork = session.fork(&checkpoint).unwrap();
            for (seed, session) in [(1, &mut session), (2, &mut fork)] {
                let config = sound.clone().seed(seed);
                let reply = session.generate_from(&checkpoint, &config).unwrap().into_reply().unwrap();
                made.extend(reply.segments.into_iter().map(|segment| segment.tokens));
            }
            made
        };
        assert_eq!(made(&device), made(&cpu), "{}", cpu.manifest().name);
    }
}

/// Two conversations and their forks take turns, and their caches grow several times: a run recorded on memory that was released
/// is never replayed in another conversation.
#[test]
fn steps_are_recorded_anew_for_every_memory() {
    skip_without_fixtures!();
    let Some(device) = DEVICE.as_ref().and_then(|device| replaying(device)) else { return };
    let made = |model: &Model| {
        let mut sessions = [model.session(), model.session()];
        let mut made = Vec::new();
        for turn in 0..4 {
            for (number, session) in sessions.iter_mut().enumerate() {
                let modality = if turn == 2 { Modality::Audio } else { Modality::Text };
                let mut config = config(model, modality, turn * 2 + number as u64);
                let settings = config.segment_mut(modality);
                settings.max_steps = 140;
                settings.min_steps = 130;
                let messages = &prompts()[number];
                let prompt = session.prompt_for(modality, messages).unwrap();
                let checkpoint = session.checkpoint(&prompt).unwrap();
                let mut fork = (turn % 2 == 1).then(|| session.fork(&checkpoint).unwrap());
                for session in fork.iter_mut().chain([session]) {
                    let reply = session.generate_from(&checkpoint, &config).unwrap();
                    made.extend(reply.into_reply().unwrap().segments.into_iter().map(|segment| segment.tokens));
                }
            }
        }
        assert!(sessions.iter().all(|session| session.position() > 512), "the caches have grown twice");
        made
    };
    assert_eq!(made(&load(PACKAGES[0], &device)), made(&load(PACKAGES[0], "cpu")));
}

/// Rows of different lengths, guided and not, step together while a codec decodes.
#[test]
fn sessions_of_an_engine_equal_single_sessions_on_the_cpu() {
    skip_without_fixtures!();
    for Pair { cpu, device } in pairs() {
        let engine = Engine::new(&device, &EngineOptions::default().slots(8).context(400)).unwrap();
        let codes = codes(&device);
        scope(|scope| {
            for client in 0..4 {
                let cpu = &cpu;
                let engine = &engine;
                scope.spawn(move || {
                    let modality = if client % 2 == 0 { Modality::Audio } else { Modality::Text };
                    let config = config(cpu, modality, client);
                    let messages = &prompts()[client as usize % 2];
                    let expected = tokens(&mut cpu.session(), messages, &config);
                    let mut session = engine.session_for(&config).unwrap();
                    assert_eq!(tokens(&mut session, messages, &config), expected, "session {client}");
                });
            }
            let cpu = &cpu;
            let device = &device;
            let codes = &codes;
            scope.spawn(move || check_decoding(cpu, device, codes));
        });
    }
}

/// Some codes of the model's sound.
fn codes(model: &Model) -> Codes {
    let layout = model.layout(Modality::Audio).unwrap();
    let config = config(model, Modality::Audio, 3);
    let mut session = model.session();
    let made = tokens(&mut session, &[Message::text("a bell")], &config);
    layout.codes(&made[0], 0..layout.frames(&made[0])).unwrap()
}

fn check_decoding(cpu: &Model, device: &Model, codes: &Codes) {
    let decoded = |model: &Model| model.decode_codes(Modality::Audio, codes).unwrap();
    let expected = decoded(cpu);
    let found = decoded(device);
    assert_eq!(found.samples().len(), expected.samples().len());
    let error = relative_error(found.samples(), expected.samples());
    assert!(error <= TOLERANCE, "{}: the sound differs by {error:e}", cpu.manifest().name);
}

#[test]
fn features_and_sounds_are_those_of_the_cpu() {
    skip_without_fixtures!();
    for Pair { cpu, device } in pairs() {
        let features = |model: &Model| model.audio_features(&hum(1.0)).unwrap();
        let error = relative_error(&features(&device), &features(&cpu));
        assert!(error <= TOLERANCE, "{}: the features differ by {error:e}", cpu.manifest().name);
        check_decoding(&cpu, &device, &codes(&cpu));
    }
}

/// A software driver binds 128 MiB of a buffer; WebGPU's provider does not write rows beyond.
#[test]
fn rows_of_a_large_cache_move_right_or_it_is_refused() {
    skip_without_fixtures!();
    let Some(device) = DEVICE.as_ref() else { return };
    let cpu = load(PACKAGES[0], "cpu");
    let device = load(PACKAGES[0], device);
    let config = config(&cpu, Modality::Text, 1);
    let expected = tokens(&mut cpu.session(), &prompts()[1], &config);
    for slots in [4000, 5000] {
        let megabytes = slots * 512 * 64 / 1_000_000;
        let engine = match Engine::new(&device, &EngineOptions::default().slots(slots).context(512)) {
            Ok(engine) => engine,
            Err(error) => {
                assert!(slots == 5000 && error.kind() == ErrorKind::Limit, "{megabytes} MB: {error}");
                assert!(error.message().contains("take fewer slots"), "{error}");
                continue;
            }
        };
        let mut sessions: Vec<_> = (0..slots).map(|_| engine.session_for(&config).unwrap()).collect();
        assert_eq!(tokens(sessions.last_mut().unwrap(), &prompts()[1], &config), expected, "{megabytes} MB");
    }
}

/// Runs the program, and returns its output.
fn ualm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    let output = command.args(arguments).arg("--model").arg(package(PACKAGES[0])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Keys and values stay on the device, so that the bytes copied in a step do not depend on their number.
#[test]
fn a_step_copies_ids_and_lengths_there_and_states_and_logits_back() {
    skip_without_fixtures!();
    let Some(device) = DEVICE.as_ref() else { return };
    let model = load(PACKAGES[0], "cpu");
    let manifest = model.manifest();
    let columns = |head: &str| manifest.heads[head].iter().map(|ids| ids.len() as u64).sum::<u64>();
    let hidden = manifest.language_model.hidden_size as u64;
    let width = manifest.tokens.width as u64;
    let asked = ["bench", "--only", "steps", "--runs", "1", "--json", "--context", "30,300", "--provider", device];
    let report: serde_json::Value = serde_json::from_slice(&ualm(&asked).stdout).unwrap();
    let figures = report["figures"].as_array().unwrap().iter().filter(|figure| figure["parts"].is_object());
    let copied = |figure: &serde_json::Value| serde_json::from_value::<[u64; 2]>(figure["copied_bytes"].clone());
    let found: Vec<_> = figures.map(|figure| copied(figure).unwrap()).collect();
    let of = |head: &str, rows: u64| {
        // ids, the last position of each row, the number of positions, and the hidden states that the host checks
        let to_device = rows * width * 8 + rows * 4 + rows * hidden * 4;
        [to_device, rows * (hidden + columns(head)) * 4]
    };
    let expected = [of("text_head", 1), of("audio_head", 1), of("audio_head", 2)];
    assert_eq!(found, [expected, expected].concat(), "at context 30, then at 300");
}

/// Two processes share a device, and each gives the results of a single process.
#[test]
fn two_processes_use_one_device_at_once() {
    skip_without_fixtures!();
    let Some(device) = DEVICE.as_ref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sound = |name: &str, provider: &str| {
        let file = folder.path().join(name);
        let settings = ["--seed", "1", "--max-steps", "40", "--quiet", "--provider", provider];
        ualm(&[&["generate", "rain"], &settings[..], &["-o", file.to_str().unwrap()]].concat());
        let decoded = ualm::audio::decode_file(&file, &DecodeOptions::default()).unwrap();
        decoded.waveform.channels()[0].to_vec()
    };
    let expected = sound("cpu.wav", "cpu");
    let sound = &sound;
    let found: Vec<_> = scope(|scope| {
        let processes = ["one.wav", "two.wav"].map(|name| scope.spawn(move || sound(name, device)));
        processes.into_iter().map(|process| process.join().unwrap()).collect()
    });
    assert!(found[0] == found[1], "the two differ");
    assert_eq!(found[0].len(), expected.len());
    let error = relative_error(&found[0], &expected);
    assert!(error <= 1e-3, "the sound differs from the CPU's by {error:e}");
}

/// Clips shorter than a window, as long as a window, a little longer, and of several windows, decoded at once and in chunks.
#[test]
fn clips_of_any_length_are_those_of_the_cpu() {
    skip_without_fixtures!();
    for Pair { cpu, device } in pairs() {
        let name = &cpu.manifest().name;
        let codes = codes(&cpu);
        for frames in [1, 16, 51, 52, 53, 84, 85, 200] {
            let codes = Codes::from_shape_fn((codes.nrows(), frames), |(book, frame)| {
                codes[(book, (frame * 7 + book) % codes.ncols())]
            });
            check_decoding(&cpu, &device, &codes);
        }
        let heard = |model: &Model, seconds| model.audio_features(&hum(seconds)).unwrap();
        for seconds in [0.1, 1.9, 2.0, 2.1, 31.0] {
            let expected = heard(&cpu, seconds);
            let found = heard(&device, seconds);
            assert_eq!(found.dim(), expected.dim(), "{name}, {seconds} s");
            let error = relative_error(&found, &expected);
            assert!(error <= TOLERANCE, "{name}, {seconds} s: the features differ by {error:e}");
        }
    }
}

/// A causal decoder with fixed shapes, up to its capacity and beyond.
#[test]
fn speech_of_any_length_is_that_of_the_cpu() {
    skip_without_fixtures!();
    let cpu = load("tiny-audex-fp32", "cpu");
    for (providers, expected) in [("cpu:static=yes,cpu", "cpu:static=yes"), ("cpu:static=70,cpu", "cpu:static=70")] {
        let fixed = load("tiny-audex-fp32", providers);
        for frames in [1, 4, 31, 32, 33, 38, 39, 64, 70, 71, 150] {
            let codes = Codes::from_shape_fn((1, frames), |(_, frame)| (frame * 37 % 60) as u32);
            let [expected, found] = [&cpu, &fixed].map(|model| model.decode_codes(Modality::Speech, &codes).unwrap());
            assert_eq!(found.samples().len(), expected.samples().len(), "{providers}, {frames} frames");
            let error = relative_error(found.samples(), expected.samples());
            assert!(error <= TOLERANCE, "{providers}, {frames} frames: the speech differs by {error:e}");
        }
        let graphs = fixed.provider_report().unwrap().graphs;
        let placed = graphs.iter().find(|placed| placed.graph == "speech_decoder").unwrap();
        assert_eq!(placed.provider, expected, "{placed}");
    }
}

/// The comparison of `ualm doctor`: prompts, steps, guidance, forks, rows of different lengths, sound whole and streamed.
#[test]
fn fixed_shapes_compute_what_open_ones_compute() {
    skip_without_fixtures!();
    for name in PACKAGES.into_iter().chain(["tiny-omni-int8", "tiny-audex-int4"]) {
        // quantized graphs with the same weights, without the forms for the processor
        let model = load(name, "cpu:static=yes,vnni=0,cpu:vnni=0");
        let comparer = Comparer::new(&model).unwrap();
        assert!(comparer.alone.compared.len() >= 6, "{name}: {}", comparer.alone);
        for graph in &comparer.alone.compared {
            let bound = if PACKAGES.contains(&name) { f64::from(TOLERANCE) } else { 1e-3 };
            assert!(graph.difference.is_some_and(|difference| difference <= bound), "{name}: {graph}");
        }
        let beside = comparer.on_two_threads();
        assert!(beside.is_right(), "{name}: {beside}");
    }
}

/// A sequence has at most the positions of its fixed shapes, and up to that length prompts and steps equal those of open shapes.
#[test]
fn a_sequence_ends_with_its_fixed_capacity() {
    skip_without_fixtures!();
    for name in PACKAGES {
        let cpu = load(name, "cpu");
        let fixed = load(name, "cpu:static=70,cpu");
        let cpu = cpu.with_limits(cpu.limits().context(70));
        assert_eq!(fixed.session().max_positions(), 70);
        for (modality, words) in
            [(Modality::Text, 1), (Modality::Audio, 1), (Modality::Text, 15), (Modality::Audio, 15)]
        {
            let message = Message::text(vec!["rain"; words].join(" "));
            let mut config = config(&cpu, modality, words as u64);
            config.segment_mut(modality).max_steps = 100;
            config.segment_mut(modality).min_steps = 100;
            let made = |model: &Model| {
                let mut session = model.session();
                let prompt = session.prompt_for(modality, std::slice::from_ref(&message)).unwrap();
                let reply = session.generate(prompt, &config);
                reply
                    .map(|reply| reply.into_reply().unwrap().segments.into_iter().map(|s| s.tokens).collect::<Vec<_>>())
            };
            match (made(&cpu), made(&fixed)) {
                (Ok(expected), Ok(found)) => assert_eq!(found, expected, "{name}: {modality} after {words} words"),
                (expected, found) => panic!("{name}: {modality} after {words} words: {expected:?}, {found:?}"),
            }
        }
    }
}

#[test]
fn fixed_sizes_are_reported_and_other_graphs_are_passed_over() {
    skip_without_fixtures!();
    let model = load("tiny-omni-fp32", "cpu:static=300,cpu");
    model.load_all().unwrap();
    let sizes = |graph: &str| {
        let report = model.provider_report().unwrap();
        let placed = report.graphs.into_iter().find(|placed| placed.graph == graph).unwrap();
        let sizes: Vec<_> = placed.sizes.iter().map(|(name, sizes)| format!("{name} {sizes:?}")).collect();
        let why = placed.passed_over.first().map(|passed_over| passed_over.why.clone());
        (placed.provider, sizes.join(", "), why)
    };
    for (graph, expected) in [
        ("embed", "batch [1], frames [1]"),
        ("llm", "batch [1], capacity [300], positions [1, 32]"),
        ("text_head", "rows [1]"),
        ("audio_encoder", "chunks [1]"),
        ("codec_decoder", "batch [1], frames [52]"),
    ] {
        assert_eq!(sizes(graph), ("cpu:static=300".to_owned(), expected.to_owned(), None), "{graph}");
    }
    let (provider, fixed, why) = sizes("codec_encoder");
    assert_eq!((provider.as_str(), fixed.as_str()), ("cpu", ""));
    assert!(why.unwrap().contains("it wants fixed shapes, but codes depend on the whole sound"));
    let words = model.provider_report().unwrap().to_string();
    assert!(words.contains("fixed to batch 1, capacity 300, positions 1 and 32"), "{words}");

    let model = load("tiny-omni-fp32", "cpu:static=yes");
    let error = model.load_all().unwrap_err();
    assert!(error.message().contains("none of the requested providers serves the graph codec_encoder"), "{error}");
}
