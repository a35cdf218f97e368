//! Sessions that share their steps in an engine: the same replies as alone, token by token.

use std::thread::{scope, sleep};
use std::time::Duration;

use ualm::audio::Waveform;
use ualm::{
    Cancel, Cut, Engine, EngineOptions, ErrorKind, GenerationConfig, Limits, Message, Modality, Model, Record, Session,
    Tokens,
};
use ualm_testing::{Draws, change_manifest, copied_package, model, skip_without_fixtures};

fn options(slots: usize) -> EngineOptions {
    EngineOptions::default().slots(slots).context(400).prefill_chunk(16)
}

fn hum(seconds: f64) -> Waveform {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    Waveform::mono(samples, 16_000).unwrap()
}

/// A chain of segments drawn at random, its sound guided in every other conversation.
fn config(model: &Model, seed: u64) -> GenerationConfig {
    let mut config = model.config();
    config.seed = seed;
    config.force = vec![Modality::Text, Modality::Audio, Modality::Text, Modality::Speech];
    config.force.rotate_left(seed as usize % 4);
    config.insist = true;
    config.max_segments = 4;
    for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
        let segment = config.segment_mut(modality);
        segment.temperature = 1.0;
        segment.max_steps = 4 + 3 * modality as usize + seed as usize % 5;
        segment.guidance = 1.0;
    }
    if seed.is_multiple_of(2) {
        config.audio.guidance = 3.0;
    }
    config
}

fn messages(model: &Model, seed: u64) -> Vec<Message> {
    let words = "rain on a roof, then a dog far away, then nothing for a long time";
    let mut messages = vec![Message::text(&words[..words.len() - 7 * (seed as usize % 6)])];
    if seed.is_multiple_of(3) && model.manifest().audio_encoder.is_some() {
        messages.push(Message::audio(hum(0.3 + 0.2 * (seed % 4) as f64)));
    }
    messages
}

/// Two turns; the frames of all segments.
fn converse(session: &mut Session, seed: u64) -> Vec<Tokens> {
    let model = session.model().clone();
    let mut frames = Vec::new();
    for turn in 0..2 {
        let prompt = session.prompt(&messages(&model, seed + turn)).unwrap();
        let config = config(&model, seed).seed(seed + 1000 * turn);
        let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
        frames.extend(reply.segments.into_iter().map(|segment| segment.tokens));
    }
    frames
}

#[test]
fn replies_are_the_same_as_alone() {
    skip_without_fixtures!();
    for name in ["tiny-omni-fp32", "tiny-omni-int8", "tiny-afwhisper-int8", "synthetic-fp32"] {
        let model = model(name);
        let engine = Engine::new(&model, &options(8)).unwrap();
        let alone: Vec<_> = (0..8).map(|seed| converse(&mut model.session(), seed)).collect();
        scope(|scope| {
            for client in 0..4 {
                let engine = &engine;
                let model = &model;
                let alone = &alone;
                scope.spawn(move || {
                    let mut draws = Draws(client);
                    for round in 0..2 {
                        let seed = client * 2 + round;
                        sleep(Duration::from_millis(draws.below(30) as u64));
                        let mut session = engine.session_for(&config(model, seed)).unwrap();
                        assert_eq!(converse(&mut session, seed), alone[seed as usize], "{name}, seed {seed}");
                    }
                });
            }
        });
        let stats = engine.stats();
        assert_eq!((stats.slots, stats.free_slots, stats.sessions, stats.waiting_prompts), (8, 8, 0, 0));
        assert!(stats.row_steps > stats.steps, "{name}: no step was shared: {stats:?}");
    }
}

/// Concurrent takes from one prefill equal single runs with the same seeds, and so does a restored conversation.
#[test]
fn forks_and_restored_sessions_continue_as_alone() {
    skip_without_fixtures!();
    let model = model("tiny-omni-int8");
    let engine = Engine::new(&model, &options(8)).unwrap();
    let take = |session: &mut Session, seed| converse_at(session, seed);
    let alone: Vec<_> = (0..4).map(|seed| converse_at(&mut model.session(), seed)).collect();
    assert_eq!(alone[1], take(&mut engine.session().unwrap(), 1));

    let mut session = engine.session().unwrap();
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    let checkpoint = session.checkpoint(&prompt).unwrap();
    let forks: Vec<_> = (0..3).map(|_| session.fork(&checkpoint).unwrap()).collect();
    assert_eq!(engine.stats().sessions, 4);
    assert_eq!(session.fork(&checkpoint).err().unwrap().kind(), ErrorKind::Limit);
    scope(|scope| {
        for (seed, mut session) in forks.into_iter().chain([session]).enumerate() {
            let checkpoint = &checkpoint;
            let alone = &alone;
            let config = take_config(&model, seed as u64);
            scope.spawn(move || {
                let generation = session.generate_from(checkpoint, &config).unwrap();
                assert_eq!(generation.into_reply().unwrap().segments[0].tokens, alone[seed], "take {seed}");
            });
        }
    });

    let mut record = Record::new(model.package());
    let mut session = model.session();
    let config = config(&model, 4);
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    record.begin_turn(&[Message::text("rain")], &prompt, &config);
    let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
    for segment in &reply.segments {
        record.push(segment);
    }
    let mut session = engine.session().unwrap();
    for segment in 1..4 {
        let cut = Cut { turn: 0, segment, position: 2 };
        let checkpoint = session.restore(&record, cut).unwrap();
        let again = session.generate_from(&checkpoint, &config).unwrap().into_reply().unwrap();
        let again = &again.segments[0].tokens;
        let before = &reply.segments[segment].tokens;
        assert_eq!(again, before, "from segment {segment} on");
    }
}

fn take_config(model: &Model, seed: u64) -> GenerationConfig {
    config(model, 0).only(Modality::Audio).seed(seed)
}

fn converse_at(session: &mut Session, seed: u64) -> Tokens {
    let config = take_config(session.model(), seed);
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
    reply.segments[0].tokens.clone()
}

/// Replies that are cancelled, dropped half-way or refused do not affect others, and release their slots.
#[test]
fn replies_that_end_early_do_not_affect_others() {
    skip_without_fixtures!();
    let model = model("tiny-omni-fp32");
    let engine = Engine::new(&model, &options(12)).unwrap();
    let alone = converse(&mut model.session(), 2);
    scope(|scope| {
        for client in 0..4u64 {
            let engine = &engine;
            let model = &model;
            let alone = &alone;
            scope.spawn(move || {
                for round in 0..3 {
                    let mut session = engine.session().unwrap();
                    let prompt = session.prompt(&messages(model, round)).unwrap();
                    let cancel = Cancel::new();
                    session.set_cancel(&cancel);
                    let mut config = config(model, client + round);
                    match client {
                        0 => assert_eq!(&converse(&mut session, 2), alone),
                        1 => drop(session.generate(prompt, &config).unwrap().nth(3 * round as usize)),
                        2 => {
                            let mut generation = session.generate(prompt, &config).unwrap();
                            generation.nth(2 * round as usize);
                            cancel.cancel();
                            assert!(generation.all(|event| event.is_ok()));
                        }
                        _ => {
                            config.audio.max_steps = 1000;
                            config.audio.min_steps = 1000;
                            let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
                            assert!(session.position() <= 402, "{}", reply.segments.len());
                        }
                    }
                }
            });
        }
    });
    assert_eq!(engine.stats().free_slots, 12);
    assert_eq!(converse(&mut engine.session().unwrap(), 2), alone);
}

#[test]
fn an_engine_that_is_dropped_leaves_errors() {
    skip_without_fixtures!();
    let model = model("synthetic-fp32");
    let engine = Engine::new(&model, &options(2)).unwrap();
    let mut session = engine.session().unwrap();
    let prompt = session.prompt(&[Message::text("x")]).unwrap();
    let config = config(&model, 1);
    let mut generation = session.generate(prompt, &config).unwrap();
    generation.next().unwrap().unwrap();
    drop(engine);
    let error = generation.find_map(|event| event.err()).unwrap();
    assert!(error.message().contains("the engine has ended: it was dropped"), "{error}");
}

#[test]
fn memory_is_counted_for_all_slots_together() {
    skip_without_fixtures!();
    let whole = model("synthetic-fp32");
    let sizes = &whole.manifest().language_model;
    let ualm::package::StateConfig::Attention(attention) = sizes.state[0] else { panic!("attention") };
    let position = (8 * attention.layers * attention.heads * attention.head_size) as u64;
    let limited = |memory| whole.with_limits(Limits::default().memory(memory));
    let all = 4 * 400 * position;
    Engine::new(&limited(all), &options(4)).unwrap();
    for (model, options) in [
        (limited(all - 1), options(4)),
        (limited(u64::MAX), options(4).context(513)),
        (limited(3 * position), options(4).context(None)),
    ] {
        let error = Engine::new(&model, &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.message().contains("4 slots of"), "{error}");
    }
    let fitted = Engine::new(&limited(all), &options(8).context(None)).unwrap();
    assert_eq!(fitted.context(), 200);
    for options in [options(1).slots(0), options(1).prefill_chunk(0)] {
        assert_eq!(Engine::new(&whole, &options).err().unwrap().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn slots_have_4096_positions_without_a_limit_on_positions() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let package = copied_package("tiny-omni-fp32", &folder.path().join("package"));
    change_manifest(&package, |manifest| manifest["language_model"]["max_positions"] = 8192.into());
    let model = Model::load(package).unwrap();
    let positions = |model: &Model| Engine::new(model, &options(1).context(None)).unwrap().context();
    assert_eq!(positions(&model), 4096);
    assert_eq!(positions(&model.with_limits(Limits::default().context(6000))), 6000);
    assert_eq!(positions(&model.with_limits(Limits::default().context(60_000))), 8192);
}

#[test]
fn a_session_takes_two_slots_only_if_a_segment_may_be_guided() {
    skip_without_fixtures!();
    let model = model("tiny-omni-fp32");
    let engine = Engine::new(&model, &options(3)).unwrap();
    let mut plain = model.config();
    for modality in Modality::ALL {
        plain.segment_mut(modality).guidance = 1.0;
    }
    let mut guided = plain.clone();
    guided.audio.guidance = 2.0;
    let mut text = guided.clone();
    text.force = vec![Modality::Text];
    text.max_segments = 1;
    assert_eq!([&plain, &guided, &text].map(Engine::slots_for), [1, 2, 1]);
    let _one = engine.session_for(&guided).unwrap();
    assert_eq!(engine.session_for(&guided).err().unwrap().kind(), ErrorKind::Limit);
    let _two = engine.session_for(&text).unwrap();
    assert_eq!((engine.stats().free_slots, engine.stats().sessions), (0, 2));
}
