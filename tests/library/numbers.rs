//! Numbers that are not finite, from graphs with damaged weights: they are reported with the graph, and never used.

use std::path::PathBuf;

use tempfile::TempDir;
use ualm::audio::Waveform;
use ualm::{Error, ErrorKind, GenerationConfig, Message, Modality, Model, SegmentEnd};
use ualm_testing::{change_in_package, copied_package, package, skip_without_fixtures};

/// Makes a copy of the tiny package in which all weights of `graph` are NaN.
fn broken_package(folder: &TempDir, graph: &str) -> PathBuf {
    let copy = copied_package("tiny-omni-fp32", &folder.path().join(graph));
    change_in_package(&copy, &format!("{graph}.onnx.data"), |bytes| bytes.fill(0xff));
    copy
}

fn config(model: &Model, modality: Modality) -> GenerationConfig {
    let mut config = model.config();
    config.force = vec![modality];
    config.max_segments = 1;
    config.text.max_steps = 4;
    config.audio.max_steps = 12;
    config.audio.temperature = 0.0;
    config.audio.min_steps = 10;
    config
}

/// Generates with a broken graph, and checks that the error names the graph.
fn generates(graph: &str, modality: Modality, expected: &[&str]) {
    let folder = TempDir::new().unwrap();
    let model = Model::load(broken_package(&folder, graph)).unwrap();
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("a dog barks")]).unwrap();
    let generation = session.generate(prompt, &config(&model, modality)).unwrap();
    let (reply, error) = generation.into_partial_reply();
    is_numeric(&error.expect("NaN was taken"), expected);
    // the sound of a segment is decoded after the end of its steps
    let ended = |segment: &ualm::Segment| segment.end == SegmentEnd::Failed || graph == "codec_decoder";
    assert!(reply.segments.iter().all(ended));
}

fn is_numeric(error: &Error, expected: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Numeric, "{error}");
    assert!(expected.iter().all(|words| error.to_string().contains(words)), "{error}");
}

#[test]
fn nan_is_found_in_the_graph_that_made_it() {
    skip_without_fixtures!();
    generates("embed", Modality::Text, &["before segment 0", "embed: embedding of prompt position 0"]);
    generates("llm", Modality::Text, &["before segment 0", "llm: hidden state 0, 0 is NaN"]);
    generates("text_head", Modality::Text, &["segment 0, step 0", "text_head: the logit of id", "NaN"]);
    generates("audio_head", Modality::Audio, &["segment 0, step 0", "audio_head, stream 0", "NaN"]);
    generates("codec_decoder", Modality::Audio, &["codec_decoder: after frame 0: sample of frame 0"]);
}

#[test]
fn nan_is_found_in_features() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let hum = Waveform::mono((0..16_000).map(|n| (n as f32 * 0.05).sin() * 0.3).collect(), 16_000).unwrap();
    let model = Model::load(broken_package(&folder, "audio_encoder")).unwrap();
    is_numeric(&model.audio_features(&hum).unwrap_err(), &["audio_encoder: feature 0, 0 is NaN"]);

    let model = Model::load(package("tiny-omni-fp32")).unwrap();
    let mut samples = hum.samples().to_vec();
    samples[77] = f32::INFINITY;
    let broken = Waveform::mono(samples, 16_000).unwrap();
    for error in [model.audio_features(&broken).unwrap_err(), model.encode_codes(Modality::Audio, &broken).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Audio);
        assert!(error.message().contains("sample 77 of channel 0 is inf"), "{error}");
    }
}

#[test]
fn invalid_frames_are_not_clamped() {
    skip_without_fixtures!();
    let model = Model::load(package("tiny-omni-fp32")).unwrap();
    let width = model.manifest().tokens.width;
    let books = &model.manifest().modalities[&Modality::Audio].layout.books;
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("a dog barks")]).unwrap();
    let checkpoint = session.checkpoint(&prompt).unwrap();
    // every stream holds an id of the first
    let kept = model.tokens(vec![books[0].start + 1; width * (width + 2)]).unwrap();
    let strange = checkpoint.clone().with_kept(Modality::Audio, kept);
    let narrow =
        checkpoint.with_kept(Modality::Audio, model_of_three_streams().tokens(vec![books[0].start + 1; 3]).unwrap());
    for (place, expected) in [(strange, "position 0 is"), (narrow, "positions of 3 ids; this model's have 8")] {
        let error = session.generate_from(&place, &config(&model, Modality::Audio)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(expected), "{error}");
    }
}

fn model_of_three_streams() -> Model {
    Model::load(package("synthetic-fp32")).unwrap()
}

#[test]
fn a_prompt_of_another_model_is_refused() {
    skip_without_fixtures!();
    let model = Model::load(package("tiny-omni-fp32")).unwrap();
    let other = model_of_three_streams();
    let prompt = other.prompt(&[Message::text("a dog barks")]).unwrap();
    let mut session = model.session();
    let config = config(&model, Modality::Text);
    for error in [
        session.generate(prompt.clone(), &config).err().unwrap(),
        session.checkpoint(&prompt).unwrap_err(),
        session.next_logits(&prompt).unwrap_err(),
        model.prompt_embeddings(&prompt).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("positions of 3 ids; this model's have 8"), "{error}");
    }
    assert_eq!(session.position(), 0);
}
