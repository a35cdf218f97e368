//! Forms of graphs for the processor, chosen at load time, and the form for long prompts. On a processor without VNNI the tests show
//! that the portable forms run; the form for long prompts runs only on a processor with VNNI.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::scope;

use serde_json::{Value, json};
use ualm::internal::Comparer;
use ualm::provider::GraphPlacement;
use ualm::{
    Cancel, Cut, Engine, EngineOptions, ErrorKind, GenerationConfig, Message, Modality, Model, Processor, Prompt,
    Providers, Record, RuntimeOptions, Session, Tokens,
};
use ualm_testing::{change_in_package, change_manifest, copied_package, package, skip_without_fixtures};

/// The minimum number of positions of a long prompt.
const LONG: usize = 64;

fn options(providers: &str) -> RuntimeOptions {
    RuntimeOptions::default().providers(providers.parse::<Providers>().unwrap())
}

fn load(folder: impl AsRef<Path>, providers: &str) -> Model {
    Model::load_with(folder.as_ref(), &options(providers)).unwrap()
}

fn has_vnni() -> bool {
    Processor::get().vnni().is_some()
}

fn placements(model: &Model) -> BTreeMap<String, GraphPlacement> {
    let report = model.provider_report().unwrap();
    assert_eq!(report.processor, *Processor::get());
    report.graphs.into_iter().map(|placed| (placed.graph.clone(), placed)).collect()
}

/// Makes a package of one precision whose form for long prompts is the float32 graph of another package.
fn with_prefill(name: &str, of: &str, folder: &Path) -> PathBuf {
    let copy = copied_package(name, &folder.join(format!("{name}-{of}")));
    let own = package(of);
    let mut graph = fs::read(own.join("llm.onnx")).unwrap();
    let file = b"llm.onnx.data";
    let other = b"f32.onnx.data";
    for at in 0..graph.len() - file.len() {
        if graph[at..].starts_with(file) {
            graph[at..at + file.len()].copy_from_slice(other);
        }
    }
    for file in ["f32.onnx", "f32.onnx.data"] {
        fs::write(copy.join(file), b"").unwrap();
    }
    change_in_package(&copy, "f32.onnx", |bytes| *bytes = graph);
    change_in_package(&copy, "f32.onnx.data", |bytes| *bytes = fs::read(own.join("llm.onnx.data")).unwrap());
    change_manifest(&copy, |manifest| manifest["variants"]["cpu_vnni"] = json!({"prefill": "f32.onnx"}));
    copy
}

/// Returns a prompt of exactly `len` positions of text.
fn prompt(model: &Model, len: usize, seed: u32) -> Prompt {
    let text = model.manifest().tokens.text.ids;
    let ids: Vec<_> =
        (0..len as u32).map(|at| text.start + (at * 7 + seed * 13) % (text.len() as u32).min(200)).collect();
    Prompt::from_tokens(model.single_tokens(&ids).unwrap())
}

fn config(model: &Model, seed: u64) -> GenerationConfig {
    let mut config = model.config().seed(seed);
    config.force = vec![Modality::Text, Modality::Audio];
    config.insist = true;
    config.max_segments = 2;
    for modality in [Modality::Text, Modality::Audio] {
        let segment = config.segment_mut(modality);
        segment.temperature = 1.0;
        segment.min_steps = 6;
        segment.max_steps = 10;
        segment.guidance = if modality == Modality::Audio && seed.is_multiple_of(2) { 3.0 } else { 1.0 };
    }
    config
}

fn say(session: &mut Session, prompt: Prompt, config: &GenerationConfig) -> Vec<Tokens> {
    let reply = session.generate(prompt, config).unwrap().into_reply().unwrap();
    reply.segments.into_iter().map(|segment| segment.tokens).collect()
}

fn runs(model: &Model, graph: &str) -> u64 {
    model.graph_times().get(graph).map_or(0, |time| time.runs)
}

#[test]
fn the_form_for_the_processor_is_chosen_and_can_be_refused() {
    skip_without_fixtures!();
    for name in ["tiny-omni-int8", "tiny-afwhisper-int8", "tiny-audex-int8"] {
        let model = load(package(name), "cpu");
        model.load_all().unwrap();
        let portable = load(package(name), "cpu:vnni=0");
        portable.load_all().unwrap();
        let asked = load(package(name), "cpu:vnni=1");
        for graph in ["llm", "audio_encoder"] {
            let own = format!("{graph}.onnx");
            let rows = format!("{graph}.rows.onnx");
            for model in [&model, &asked] {
                let Some(placed) = placements(model).remove(graph) else { continue };
                match Processor::get().vnni() {
                    Some(vnni) => {
                        assert_eq!((&placed.file, placed.instructions.as_deref()), (&rows, Some(vnni)), "{placed}");
                        assert!(placed.to_string().ends_with(&format!("nodes, for {vnni}")), "{placed}");
                        assert_eq!(placed.variant_passed_over, None);
                    }
                    None => {
                        assert_eq!((&placed.file, &placed.instructions), (&own, &None), "{placed}");
                        let why = placed.variant_passed_over.as_deref().unwrap();
                        assert!(why.starts_with(&format!("{rows}: no VNNI")), "{why}");
                    }
                }
            }
            let placed = placements(&portable).remove(graph).unwrap();
            assert_eq!((&placed.file, &placed.instructions), (&own, &None), "{placed}");
            let why = placed.variant_passed_over.as_deref();
            assert_eq!(why, Some(&*format!("{rows}: the portable form was requested (vnni=0)")));
        }
        assert!(
            placements(&model)
                .values()
                .all(|placed| { ["llm", "audio_encoder"].contains(&&*placed.graph) || placed.instructions.is_none() })
        );
    }
}

#[test]
fn options_of_the_cpu_that_say_nothing_are_refused() {
    skip_without_fixtures!();
    for (providers, words) in [
        ("cpu:vnni=perhaps", "vnni=perhaps: expected 0 or 1"),
        ("cpu:speed=high", "the CPU takes the options static and vnni; found \"speed\""),
    ] {
        let error = Model::load_with(package("tiny-omni-int8"), &options(providers)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert!(error.message().contains(words), "{error}");
    }
}

/// The comparison of `ualm doctor`: on this machine the forms compute nearly the same as the portable graphs.
#[test]
fn the_form_for_the_processor_computes_nearly_what_the_portable_one_does() {
    skip_without_fixtures!();
    for (name, of_other_weights) in
        [("tiny-omni-int8", None), ("tiny-audex-int8", None), ("tiny-omni-int4", Some("prefill"))]
    {
        let model = load(package(name), "cpu");
        let comparer = Comparer::new(&model).unwrap();
        let found = &comparer.alone;
        assert!(found.is_right(), "{name}: {found}");
        let graphs: Vec<_> = found.compared.iter().flat_map(|one| one.graphs.clone()).collect();
        let expected = match (has_vnni(), of_other_weights) {
            (true, None) => &["llm", "audio_encoder"][..],
            (true, Some(_)) => &["audio_encoder"],
            (false, _) => &[],
        };
        assert_eq!(graphs, expected, "{name}: {found}");
        assert_eq!(found.exact_products.as_deref(), Processor::get().vnni());
        let other: Vec<_> = of_other_weights.filter(|_| has_vnni()).into_iter().collect();
        assert_eq!(found.of_other_weights, other);
        for one in &found.compared {
            assert!(one.difference.unwrap() > 0.0, "another form: {one}");
            assert!(one.to_string().contains("differs from the portable form by"), "{one}");
        }
        let portable = load(package(name), "cpu:vnni=0");
        let nothing = Comparer::new(&portable).unwrap().alone.to_string();
        assert!(nothing.contains("there is nothing to compare"), "{nothing}");
    }
}

/// A prompt of `LONG` positions or more runs on its form, which is loaded with the first such prompt. Shorter prompts and steps run
/// on `llm`.
#[test]
fn long_prompts_run_on_their_form() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let copy = with_prefill("tiny-omni-int8", "tiny-omni-fp32", folder.path());
    let model = load(&copy, "cpu");
    let mut session = model.session();
    let start = session.mark();
    // the template around the prompt counts
    session.checkpoint(&prompt(&model, 1, 0)).unwrap();
    let around = session.position() - 1;
    session.rewind(&start).unwrap();
    session.checkpoint(&prompt(&model, LONG - 1 - around, 1)).unwrap();
    assert_eq!((runs(&model, "llm"), runs(&model, "prefill")), (2, 0));
    assert!(!placements(&model).contains_key("prefill"), "not before the first long prompt");

    session.rewind(&start).unwrap();
    let reply = say(&mut session, prompt(&model, LONG - around, 1), &config(&model, 1));
    let steps: usize = reply.iter().map(Tokens::len).sum();
    let long = u64::from(has_vnni());
    assert_eq!(runs(&model, "prefill"), long);
    assert!(runs(&model, "llm") >= 2 + (1 - long) + steps as u64 - 2, "steps are run by llm");
    if let Some(placed) = placements(&model).get("prefill") {
        assert_eq!((&*placed.file, placed.instructions.as_deref()), ("f32.onnx", Processor::get().vnni()));
    }
    assert_eq!(placements(&model).contains_key("prefill"), has_vnni());

    // the form computes other numbers
    let logits = |providers| {
        let model = load(&copy, providers);
        let reply = say(&mut model.session(), prompt(&model, 90, 3), &config(&model, 3));
        (runs(&model, "prefill"), reply)
    };
    let (portable, _) = logits("cpu:vnni=0");
    assert_eq!(portable, 0);
    assert_eq!(logits("cpu").0, long);
    let placed = placements(&load(&copy, "cpu:vnni=0")).remove("llm").unwrap();
    let why = placed.variant_passed_over.unwrap();
    assert_eq!(why, "f32.onnx for long prompts: the portable form was requested (vnni=0)");
}

#[test]
fn the_form_is_not_used_with_low_memory() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let copy = with_prefill("tiny-omni-int8", "tiny-omni-fp32", folder.path());
    let model = Model::load_with(&copy, &options("cpu").low_memory(true)).unwrap();
    model.load_all().unwrap();
    say(&mut model.session(), prompt(&model, 90, 1), &config(&model, 1));
    let mut placements = placements(&model);
    assert!(!placements.contains_key("prefill"));
    let why = placements.remove("llm").unwrap().variant_passed_over.unwrap();
    let expected = if has_vnni() { "f32.onnx for long prompts: memory is to be saved" } else { "no VNNI" };
    assert!(why.contains(expected), "{why}");
}

/// Two turns, of which the first, the second or both have long prompts.
fn converse(session: &mut Session, seed: u64) -> Vec<Tokens> {
    let model = session.model().clone();
    let lens = [[LONG + 5, 3], [4, 150], [LONG, 70], [LONG - 9, LONG - 8]][seed as usize % 4];
    let mut all = Vec::new();
    for (turn, len) in lens.into_iter().enumerate() {
        all.extend(say(session, prompt(&model, len, seed as u32), &config(&model, seed + 100 * turn as u64)));
    }
    all
}

/// The graph that computes a position does not depend on the chunks of a prompt or on other sessions of an engine.
#[test]
fn engines_give_the_replies_of_sessions() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let copies = [("tiny-omni-int8", "tiny-omni-fp32"), ("tiny-afwhisper-int8", "tiny-afwhisper-fp32")];
    let copies = copies.map(|(name, of)| with_prefill(name, of, folder.path()));
    for copy in copies.iter().map(PathBuf::as_path).chain([&*package("tiny-omni-int8")]) {
        let model = load(copy, "cpu");
        let alone: Vec<_> = (0..8).map(|seed| converse(&mut model.session(), seed)).collect();
        let has_prefill = runs(&model, "prefill") > 0;
        assert_eq!(has_prefill, has_vnni() && copy.join("f32.onnx").exists());
        for chunk in [7, 64] {
            let options = EngineOptions::default().slots(16).context(400).prefill_chunk(chunk);
            let engine = Engine::new(&model, &options).unwrap();
            scope(|scope| {
                for (seed, alone) in alone.iter().enumerate() {
                    let engine = &engine;
                    scope.spawn(move || {
                        let mut session = engine.session().unwrap();
                        assert_eq!(converse(&mut session, seed as u64), *alone, "seed {seed}, chunks of {chunk}");
                    });
                }
            });
        }
    }
}

/// After a rewind, from a checkpoint, and from a record, a conversation continues like a new one.
#[test]
fn a_kept_beginning_equals_a_new_one() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let model = load(with_prefill("tiny-omni-int8", "tiny-omni-fp32", folder.path()), "cpu");
    let engine = Engine::new(&model, &EngineOptions::default().slots(8).context(400).prefill_chunk(16)).unwrap();
    for (first, second) in [(90, 5), (5, 90), (70, 75)] {
        let [first, second] = [(first, 1), (second, 2)].map(|(len, seed)| prompt(&model, len, seed));
        let fresh = |session: &mut Session| {
            let before = say(session, first.clone(), &config(&model, 4));
            (before, say(session, second.clone(), &config(&model, 5)))
        };
        let (before, expected) = fresh(&mut model.session());
        for mut session in [model.session(), engine.session().unwrap()] {
            assert_eq!(say(&mut session, first.clone(), &config(&model, 4)), before);
            let mark = session.mark();
            say(&mut session, prompt(&model, 77, 9), &config(&model, 8));
            session.rewind(&mark).unwrap();
            assert_eq!(say(&mut session, second.clone(), &config(&model, 5)), expected);
        }
        // takes of one prompt
        for mut session in [model.session(), engine.session().unwrap()] {
            let checkpoint = session.checkpoint(&first).unwrap();
            let mut fork = session.fork(&checkpoint).unwrap();
            for session in [&mut fork, &mut session] {
                let reply = session.generate_from(&checkpoint, &config(&model, 4)).unwrap();
                let reply: Vec<_> = reply.into_reply().unwrap().segments.into_iter().map(|one| one.tokens).collect();
                assert_eq!(reply, before);
            }
        }
    }
}

#[test]
fn a_conversation_continues_from_its_record() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let model = load(with_prefill("tiny-omni-int8", "tiny-omni-fp32", folder.path()), "cpu");
    let engine = Engine::new(&model, &EngineOptions::default().slots(4).context(400).prefill_chunk(16)).unwrap();
    let mut record = Record::new(model.package());
    let mut session = model.session();
    let mut replies = Vec::new();
    for (turn, words) in
        ["rain on a roof, then a dog far away, then nothing for a long time ".repeat(2), "on".to_owned()]
            .into_iter()
            .enumerate()
    {
        let messages = [Message::text(words)];
        let config = config(&model, 4 + turn as u64);
        let prompt = session.prompt(&messages).unwrap();
        record.begin_turn(&messages, &prompt, &config);
        let reply = session.generate(prompt, &config).unwrap().into_reply().unwrap();
        for segment in &reply.segments {
            record.push(segment);
        }
        replies.push(reply);
    }
    assert_eq!(runs(&model, "prefill") > 0, has_vnni());
    for mut session in [model.session(), engine.session().unwrap()] {
        for (turn, segment) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let cut = Cut { turn, segment, position: 3 };
            let checkpoint = session.restore(&record, cut).unwrap();
            let config = config(&model, 4 + turn as u64);
            let again = session.generate_from(&checkpoint, &config).unwrap().into_reply().unwrap();
            assert_eq!(again.segments[0].tokens, replies[turn].segments[segment].tokens, "turn {turn}, {segment}");
        }
    }
}

/// The unconditional prompt of guidance is a prompt by itself, whose beginning may be shared.
#[test]
fn guidance_beside_a_long_prompt_is_the_same_in_an_engine() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let model = load(with_prefill("tiny-audex-int8", "tiny-audex-fp32", folder.path()), "cpu");
    let engine = Engine::new(&model, &EngineOptions::default().slots(8).context(300).prefill_chunk(16)).unwrap();
    let words = "rain on a roof, then a dog far away, then nothing for a long time, ";
    for (modality, words) in
        [(Modality::Audio, words.to_owned()), (Modality::Speech, words.repeat(2)), (Modality::Audio, "rain".into())]
    {
        let mut config = model.config().only(modality).seed(6);
        let segment = config.segment_mut(modality);
        segment.guidance = 3.0;
        segment.max_steps = 12;
        segment.min_steps = 12;
        segment.temperature = 1.0;
        let make = |session: &mut Session| {
            let prompt = session.prompt_for(modality, &[Message::text(&words)]).unwrap();
            say(session, prompt, &config)
        };
        let alone = make(&mut model.session());
        let engine = &engine;
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(make(&mut engine.session().unwrap()), alone));
            }
        });
    }
    assert_eq!(runs(&model, "prefill") > 0, has_vnni());
}

#[test]
fn a_long_prompt_can_be_stopped() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let model = load(with_prefill("tiny-omni-int8", "tiny-omni-fp32", folder.path()), "cpu");
    let engine = Engine::new(&model, &EngineOptions::default().slots(2).context(400)).unwrap();
    for mut session in [model.session(), engine.session().unwrap()] {
        let cancel = Cancel::new();
        cancel.cancel();
        session.set_cancel(&cancel);
        let error = session.checkpoint(&prompt(&model, 90, 1)).unwrap_err();
        session.set_cancel(&Cancel::new());
        assert_eq!((error.kind(), session.position()), (ErrorKind::Cancelled, 0));
        say(&mut session, prompt(&model, 90, 1), &config(&model, 1));
    }
}

/// A form that cannot be loaded, or has another cache, fails the prompt and leaves the conversation unchanged. A variant of no graph
/// is an error of the package.
#[test]
fn a_wrong_form_is_refused() {
    skip_without_fixtures!();
    let folder = tempfile::tempdir().unwrap();
    let other_cache = copied_package("tiny-omni-gpu", &folder.path().join("half"));
    let half = |manifest: &mut Value| manifest["variants"]["cpu_vnni"] = json!({"prefill": "llm.cuda.onnx"});
    change_manifest(&other_cache, half);
    let other_graph = copied_package("tiny-omni-int8", &folder.path().join("graph"));
    change_manifest(&other_graph, |manifest| manifest["variants"]["cpu_vnni"] = json!({"prefill": "embed.onnx"}));
    let wrong =
        [(other_cache, "prefill and llm have caches of different types"), (other_graph, "violates its contract")];
    for (copy, words) in wrong.into_iter().filter(|_| has_vnni()) {
        let model = load(&copy, "cpu");
        let engine = Arc::new(Engine::new(&model, &EngineOptions::default().slots(2).context(200)).unwrap());
        for mut session in [model.session(), engine.session().unwrap()] {
            session.checkpoint(&prompt(&model, 3, 1)).unwrap();
            let before = session.position();
            let error = session.checkpoint(&prompt(&model, 90, 1)).unwrap_err();
            assert_eq!((error.kind(), session.position()), (ErrorKind::Package, before));
            assert!(error.message().contains(words), "{error}");
        }
        assert!(model.load_all().is_err());
        load(&copy, "cpu:vnni=0").load_all().unwrap();
    }
    for (provider, graph) in [("cpu_vnni", "no_such_head"), ("cuda", "prefill")] {
        let copy = copied_package("tiny-omni-int8", &folder.path().join(provider));
        change_manifest(&copy, |manifest| manifest["variants"][provider] = json!({graph: "llm.onnx"}));
        let error = Model::load(&copy).err().unwrap();
        assert!(error.message().contains(&format!("variants.{provider}.{graph} belongs to no graph")), "{error}");
    }
}
