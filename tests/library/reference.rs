//! The runtime against the answers of the authors' code: token by token, and arrays within a tolerance.

use ndarray::{Array2, ArrayD, s};
use ualm::audio::{DecodeOptions, decode_file};
use ualm::{GenerationConfig, Message, Modality, Model, Reply, SegmentConfig, SegmentEnd};
use ualm_testing::{Answers, Case, NAMES, Settings, model, relative_error, skip_without_fixtures};

/// The tolerance, far below the required 1e-3; the runtime reaches about 1e-6.
const TOLERANCE: f32 = 1e-4;

fn modality(name: &str) -> Modality {
    Modality::ALL.into_iter().find(|m| m.name() == name).unwrap()
}

fn settings(settings: &Settings) -> SegmentConfig {
    SegmentConfig::default()
        .temperature(settings.temperature)
        .top_k(settings.topk)
        .top_p(1.0)
        .guidance(settings.cfg)
        .max_steps(settings.max_step)
        .min_steps(0)
}

fn config(model: &Model, answers: &Answers, force: &[Modality]) -> GenerationConfig {
    let mut config = model.config().force(force.iter().copied()).max_segments(force.len());
    config.text = settings(&answers.expected.inference.text);
    config.audio = settings(&answers.expected.inference.audio);
    config.speech = config.audio;
    config
}

/// Returns the messages of a case in the order of its task in training.
fn messages(answers: &Answers, case: &Case) -> Vec<Message> {
    let text = Message::text(&case.data.text[0].2);
    let Some(file) = &case.data.audio else { return vec![text] };
    let sound = decode_file(answers.path(file), &DecodeOptions::default()).unwrap().waveform;
    match case.task.as_str() {
        "audio_to_conversation" => vec![Message::audio(sound), text],
        "audio_to_caption" => vec![text, Message::audio(sound)],
        "speech_to_transcription" => vec![text, Message::speech(sound)],
        other => panic!("a task that is not known: {other}"),
    }
}

fn reply(model: &Model, messages: &[Message], config: &GenerationConfig) -> Reply {
    let mut session = model.session();
    let prompt = session.prompt(messages).unwrap();
    session.generate(prompt, config).unwrap().into_reply().unwrap()
}

fn frames(frames: &ualm::Tokens) -> Vec<Vec<u32>> {
    frames.iter().map(<[u32]>::to_vec).collect()
}

#[test]
fn prompts_and_greedy_tokens_are_the_authors() {
    skip_without_fixtures!();
    for name in NAMES {
        let answers = Answers::new(name);
        let model = model(&format!("{name}-fp32"));
        assert!(answers.expected.cases.len() >= 4);
        for case in &answers.expected.cases {
            let messages = messages(&answers, case);
            assert_eq!(frames(model.prompt(&messages).unwrap().tokens()), case.prompt_frames, "{name} {}", case.name);
            let reply = reply(&model, &messages, &config(&model, &answers, &[modality(&case.modality)]));
            assert_eq!(frames(&reply.segments[0].tokens), case.tokens, "{name} {}", case.name);
            assert_eq!(reply.segments[0].end != SegmentEnd::Limit, case.ended, "{name} {}", case.name);
            if let Some(text) = &case.text {
                assert_eq!(&reply.text(), text, "{name} {}", case.name);
            }
            if case.audio.is_some() {
                let expected: ArrayD<f32> = answers.array(&format!("{}.audio", case.name));
                let error = relative_error(reply.audio().unwrap().samples(), &expected);
                assert!(error < TOLERANCE, "{name} {}: sound differs by {error}", case.name);
            }
        }
    }
}

#[test]
fn chains_of_segments_are_the_authors() {
    skip_without_fixtures!();
    for name in NAMES {
        let answers = Answers::new(name);
        let model = model(&format!("{name}-fp32"));
        assert!(!answers.expected.interleaved.is_empty());
        for exchange in &answers.expected.interleaved {
            let messages = [Message::text(&exchange.prompt)];
            assert_eq!(frames(model.prompt(&messages).unwrap().tokens()), exchange.prompt_frames);
            let mut config = config(&model, &answers, &[Modality::Text, Modality::Audio, Modality::Text]);
            config.max_segments = 3;
            let reply = reply(&model, &messages, &config);
            assert_eq!(reply.segments.len(), exchange.segments.len(), "{name} {}", exchange.prompt);
            for (found, expected) in reply.segments.iter().zip(&exchange.segments) {
                assert_eq!(found.modality, modality(&expected.modality));
                assert_eq!(frames(&found.tokens), expected.tokens, "{name} {}", exchange.prompt);
            }
        }
    }
}

#[test]
fn features_embeddings_and_logits_are_the_authors() {
    skip_without_fixtures!();
    for name in NAMES {
        let answers = Answers::new(name);
        let model = model(&format!("{name}-fp32"));
        let books = model.manifest().modalities[&Modality::Audio].layout.books.clone();
        for case in &answers.expected.cases {
            let prompt = model.prompt(&messages(&answers, case)).unwrap();
            if !case.feature_slots.is_empty() {
                let expected: Array2<f32> = answers.array(&format!("{}.features", case.name));
                let error = relative_error(prompt.features()[0].features(), &expected);
                assert!(error < TOLERANCE, "{name} {}: features differ by {error}", case.name);
            }
            let expected: ArrayD<f32> = answers.array(&format!("{}.prompt_embeds", case.name));
            let found = model.prompt_embeddings(&prompt).unwrap();
            let error = relative_error(&found, expected.iter().take(found.len()));
            assert!(error < TOLERANCE, "{name} {}: embeddings differ by {error}", case.name);

            let expected: Array2<f32> = answers.array(&format!("{}.next_logits", case.name));
            let (text, audio) = model.session().next_logits(&prompt).unwrap();
            let error = relative_error(&text, expected.row(0).iter().take(text.len()));
            assert!(error < TOLERANCE, "{name} {}: text logits differ by {error}", case.name);
            let mut choosable = Vec::new();
            for (stream, block) in books.iter().enumerate() {
                choosable.extend(expected.slice(s![stream, block.start as usize..block.end as usize]).iter().copied());
            }
            choosable.extend([expected[(0, 2)], expected[(0, 3)]]);
            let error = relative_error(&audio.unwrap(), &choosable);
            assert!(error < TOLERANCE, "{name} {}: audio logits differ by {error}", case.name);
        }
    }
}

#[test]
fn codes_and_round_trips_are_the_authors() {
    skip_without_fixtures!();
    let mut checked = 0;
    for name in NAMES {
        let answers = Answers::new(name);
        let model = model(&format!("{name}-fp32"));
        let layout = model.layout(Modality::Audio).unwrap();
        let block = 1 + model.manifest().codec(Modality::Audio).unwrap().1.codebook_size;
        for clip in &answers.expected.codec {
            let stem = clip.file.trim_end_matches(".wav");
            let sound = decode_file(answers.path(&clip.file), &DecodeOptions::default()).unwrap().waveform;
            let codes = model.encode_codes(Modality::Audio, &sound).unwrap();
            assert_eq!(layout.steps_for(codes.ncols()), clip.frames_with_delay);
            let delayed: Array2<i32> = answers.array(&format!("codec.{stem}.codes"));
            for ((stream, frame), code) in codes.indexed_iter() {
                let expected = delayed[(frame + stream, stream)] - (stream * block) as i32 - 1;
                assert_eq!(i64::from(*code), i64::from(expected), "{name} {stem}: stream {stream}, frame {frame}");
            }
            let decoded = model.decode_codes(Modality::Audio, &codes).unwrap();
            assert_eq!(decoded.len(), clip.samples);
            let expected: ArrayD<f32> = answers.array(&format!("codec.{stem}.audio"));
            let error = relative_error(decoded.samples(), &expected);
            assert!(error < TOLERANCE, "{name} {stem}: sound differs by {error}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// Quantized packages load and answer in every modality; the answers themselves may differ.
#[test]
fn quantized_packages_run() {
    skip_without_fixtures!();
    for name in NAMES {
        for precision in ["int8", "int4"] {
            let model = model(&format!("{name}-{precision}"));
            model.load_all().unwrap();
            for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
                let mut config = model.config();
                config.force = vec![modality];
                config.max_segments = 1;
                config.segment_mut(modality).max_steps = 12;
                let reply = reply(&model, &[Message::text("a dog barks")], &config);
                assert!((1..=12).contains(&reply.usage.steps), "{name}-{precision} {modality}");
            }
        }
    }
}

/// In a second turn the model sees the first turn, exactly as if both had been one prompt.
#[test]
fn a_second_turn_continues_the_first() {
    skip_without_fixtures!();
    let model = model("tiny-omni-fp32");
    let mut config = model.config();
    config.force = vec![Modality::Text];
    config.max_segments = 1;
    config.text.max_steps = 8;
    let first = [Message::text("what sounds can you hear?")];
    let second = [Message::text("and now?")];

    let mut session = model.session();
    let prompt = session.prompt(&first).unwrap();
    let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
    let continued = session.prompt(&second).unwrap();
    let (one_by_one, _) = session.next_logits(&continued).unwrap();

    let [assistant, opens_text, ends_turn] = [6, 7, 2];
    let mut ids = model.prompt(&first).unwrap().tokens().ids().to_vec();
    let single = |id| model.single_tokens(&[id]).unwrap().ids().to_vec();
    for id in [assistant, opens_text] {
        ids.extend(single(id));
    }
    ids.extend(reply.segments[0].tokens.ids());
    if !matches!(reply.segments[0].end, SegmentEnd::Eos | SegmentEnd::Eot) {
        ids.extend(single(ends_turn));
    }
    ids.extend(continued.tokens().ids());
    let whole = ualm::Prompt::from_tokens(model.tokens(ids).unwrap());
    let (at_once, _) = model.session().next_logits(&whole).unwrap();
    let error = relative_error(&one_by_one, &at_once);
    assert!(error < TOLERANCE, "logits differ by {error}");
}

#[test]
fn one_seed_gives_the_same_frames_ten_times() {
    skip_without_fixtures!();
    let model = model("tiny-omni-fp32");
    let mut config = model.config();
    config.force = vec![Modality::Audio];
    config.max_segments = 1;
    config.audio.max_steps = 25;
    config.seed = 42;
    let messages = [Message::text("a bell rings")];
    let first = reply(&model, &messages, &config);
    for _ in 0..9 {
        assert_eq!(reply(&model, &messages, &config).segments[0].tokens, first.segments[0].tokens);
    }
    config.seed = 43;
    assert_ne!(reply(&model, &messages, &config).segments[0].tokens, first.segments[0].tokens);
}

/// No size is hard-coded: another number of streams, codes and mel bins, and heads that are padded in the graph.
#[test]
fn other_sizes_run() {
    skip_without_fixtures!();
    let model = model("synthetic-fp32");
    let (_, codec) = model.manifest().codec(Modality::Audio).unwrap();
    assert_eq!((model.manifest().tokens.width, codec.codebook_size), (3, 512));
    let samples = (0..24_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect();
    let sound = ualm::audio::Waveform::mono(samples, 16_000).unwrap();
    let decoded = model.decode_codes(Modality::Audio, &model.encode_codes(Modality::Audio, &sound).unwrap()).unwrap();
    assert_eq!(decoded.len(), 24_000);
    for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
        let mut config = model.config();
        config.force = vec![modality];
        config.max_segments = 1;
        config.segment_mut(modality).max_steps = 12;
        let reply = reply(&model, &[Message::text("a dog barks"), Message::audio(sound.clone())], &config);
        assert!((1..=12).contains(&reply.usage.steps), "{modality}");
    }
}

/// Sound longer than a window is encoded window by window; a tail shorter than one feature adds none.
#[test]
fn long_sound_is_heard_in_windows() {
    skip_without_fixtures!();
    for name in NAMES {
        let model = model(&format!("{name}-fp32"));
        let rate = 16_000;
        let sound = |from: usize, to: usize| {
            let samples = (from..to).map(|i| 0.3 * (i as f32 * 0.05).sin() * (i as f32 * 1e-4).cos()).collect();
            ualm::audio::Waveform::mono(samples, rate).unwrap()
        };
        let window = 30 * rate as usize;
        let len = 61 * rate as usize + 100;
        let whole = model.audio_features(&sound(0, len)).unwrap();
        let parts: Vec<_> = [(0, window), (window, 2 * window), (2 * window, len)]
            .map(|(from, to)| model.audio_features(&sound(from, to)).unwrap())
            .into();
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let joined = ndarray::concatenate(ndarray::Axis(0), &views).unwrap();
        assert_eq!(whole.nrows(), 750 + 750 + 25);
        assert_eq!(whole, joined, "{name}");
        let exact = model.audio_features(&sound(0, window + 100)).unwrap();
        assert_eq!(exact.nrows(), 750, "{name}: 100 samples more are too few to be heard");
    }
}
