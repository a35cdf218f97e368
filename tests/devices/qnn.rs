//! Qualcomm's NPU in its emulation on a processor: graphs with fixed shapes, in float16.
//!
//! `UALM_TEST_QNN` names the provider, as `make test-qnn` does; without it the tests are skipped with a note.

use std::sync::LazyLock;

use ualm::internal::{Comparer, GraphComparison};
use ualm::{Codes, Message, Modality, Model};
use ualm_testing::{relative_error, skip_without_fixtures};

use super::{codes, config, load, tokens};

/// The largest difference; the emulation was observed to differ by a tenth of this.
const BOUND: f64 = 0.05;

static QNN: LazyLock<Option<String>> = LazyLock::new(|| {
    let qnn = std::env::var("UALM_TEST_QNN").ok().filter(|qnn| !qnn.is_empty());
    if qnn.is_none() {
        eprintln!("note: QNN was not tried: run `make test-qnn`, which fetches it");
    }
    qnn
});

/// Returns the graph, its provider, the nodes on the provider, and the reason why QNN was passed over.
fn placed(model: &Model, graph: &str) -> (String, usize, String) {
    let graphs = model.provider_report().unwrap().graphs;
    let placed = graphs.into_iter().find(|placed| placed.graph == graph).unwrap();
    assert_eq!(placed.in_float16, placed.provider.starts_with("qnn"), "{placed}");
    assert_eq!(placed.sizes.is_empty(), placed.provider == "cpu", "{placed}");
    let why = placed.passed_over.first().map(|passed_over| passed_over.why.clone()).unwrap_or_default();
    let provider = placed.provider.split(':').next().unwrap_or_default().to_owned();
    (provider, placed.nodes - placed.nodes_on_cpu, why)
}

#[test]
fn qnn_takes_graphs_with_fixed_shapes_and_passes_over_the_others() {
    skip_without_fixtures!();
    let Some(qnn) = QNN.as_deref() else { return };
    let model = load("tiny-omni-fp32", &format!("{qnn},cpu"));
    model.load_all().unwrap();
    for graph in ["embed", "llm", "text_head", "audio_head", "audio_encoder", "codec_decoder"] {
        let (provider, nodes, why) = placed(&model, graph);
        assert_eq!((provider.as_str(), why.as_str()), ("qnn", ""), "{graph}");
        assert!(nodes > 0, "{graph}");
    }
    let (provider, _, why) = placed(&model, "codec_encoder");
    assert!(provider == "cpu" && why.contains("codes depend on the whole sound"), "{provider}: {why}");

    let model = load("tiny-omni-int8", &format!("{qnn},cpu"));
    let (provider, _, why) = placed(&model, "text_head");
    assert!(provider == "cpu" && why.contains("takes none of the graph's 1 nodes"), "{provider}: {why}");
    assert_eq!(placed(&model, "llm").0, "qnn");

    let model = load("tiny-omni-fp32", &format!("{qnn},static=no,cpu"));
    let (provider, _, why) = placed(&model, "llm");
    assert!(provider == "cpu" && why.contains("takes none of the graph's"), "{provider}: {why}");

    let error = load("tiny-omni-fp32", qnn).load_all().unwrap_err();
    assert!(error.message().contains("none of the requested providers serves the graph codec_encoder"), "{error}");
}

/// The numbers of the language model and of the audio encoder are within the bound of float16.
#[test]
fn qnn_computes_to_float16_what_the_cpu_computes() {
    skip_without_fixtures!();
    let Some(qnn) = QNN.as_deref() else { return };
    for name in ["tiny-omni-fp32", "tiny-omni-int8", "tiny-afwhisper-fp32"] {
        let model = load(name, &format!("{qnn},cpu,codec=cpu"));
        let comparer = Comparer::new(&model).unwrap();
        assert!(comparer.alone.is_right(), "{name}: {}", comparer.alone);
        let is_moved = |graph: &&GraphComparison| graph.providers.iter().any(|provider| provider.starts_with("qnn"));
        let compared: Vec<_> = comparer.alone.compared.iter().filter(is_moved).collect();
        assert!(compared.len() > 2, "{name}: {}", comparer.alone);
        for graph in compared {
            assert!(graph.bound >= BOUND && graph.difference.is_some_and(|size| size > 0.0), "{name}: {graph}");
            println!("{name}: {graph}");
        }
        if name == "tiny-omni-fp32" {
            let beside = comparer.on_two_threads();
            assert!(beside.is_right(), "{beside}");
        }
    }
}

/// Decodes two windows, for which the emulation needs a minute.
#[test]
fn qnn_decodes_to_float16_what_the_cpu_decodes() {
    skip_without_fixtures!();
    let Some(qnn) = QNN.as_deref() else { return };
    let cpu = load("tiny-omni-fp32", "cpu");
    let model = load("tiny-omni-fp32", &format!("cpu,codec_decoder={qnn}"));
    let codes = Codes::from_shape_fn((8, 52), |(book, frame)| (book * 131 + frame * 37) as u32 % 1024);
    let [expected, found] = [&cpu, &model].map(|model| model.decode_codes(Modality::Audio, &codes).unwrap());
    assert_eq!(placed(&model, "codec_decoder").0, "qnn");
    assert_eq!(found.samples().len(), expected.samples().len());
    let error = f64::from(relative_error(found.samples(), expected.samples()));
    assert!(error > 0.0 && error < BOUND, "the sound differs by {error:e}");
    println!("codec_decoder: differs from the CPU by {error:.1e}");
}

#[test]
fn qnn_replies_in_text_and_in_sound_with_guidance() {
    skip_without_fixtures!();
    let Some(qnn) = QNN.as_deref() else { return };
    let cpu = load("tiny-omni-fp32", "cpu");
    let model = load("tiny-omni-fp32", &format!("{qnn},cpu,codec=cpu"));
    let words = "rain on a roof, then a dog far away, then nothing for a long time, and then again rain";
    for modality in [Modality::Text, Modality::Audio] {
        let mut config = config(&cpu, modality, 1);
        config.segment_mut(modality).temperature = 0.0;
        let messages = [Message::text(words)];
        let expected = tokens(&mut cpu.session(), &messages, &config);
        let found = tokens(&mut model.session(), &messages, &config);
        let positions = |reply: &[ualm::Tokens]| reply.iter().map(ualm::Tokens::len).sum::<usize>();
        assert!(positions(&found) >= 12, "{modality}: {} positions", positions(&found));
        let same = found[0].iter().zip(expected[0].iter()).take_while(|(a, b)| a == b).count();
        println!("{modality}: the first {same} of {} positions are those of the CPU", expected[0].len());
        assert!(same > 0, "{modality}: another beginning than on the CPU");
    }
    let sound = model.decode_codes(Modality::Audio, &codes(&model)).unwrap();
    assert!(sound.samples().iter().any(|sample| *sample != 0.0));
    let heard = [Message::audio(super::hum(1.5)), Message::text("What do you hear?")];
    let config = config(&cpu, Modality::Text, 2);
    let mut session = model.session();
    let prompt = session.prompt_for(Modality::Text, &heard).unwrap();
    assert!(!session.generate(prompt, &config).unwrap().into_reply().unwrap().segments.is_empty());
}
