//! Spoken conversations: a question is heard, answered and the answer spoken, in three requests.

use tempfile::TempDir;
use ualm::audio::Waveform;
use ualm::{
    Cancel, ConverseOptions, Converser, Cut, ErrorKind, GenerationConfig, Message, Modality, Model, Record, TakeEvent,
    TakeRunner,
};
use ualm_testing::{change_manifest, copied_package, model, package_by_prompt, skip_without_fixtures};

fn short(config: &mut GenerationConfig) {
    for modality in [Modality::Text, Modality::Speech] {
        let segment = config.segment_mut(modality);
        segment.temperature = 1.0;
        segment.max_steps = 16;
        segment.min_steps = 12;
    }
}

fn question() -> Waveform {
    let samples = (0..8000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
    Waveform::mono(samples, 16_000).unwrap()
}

fn converser(model: &Model) -> Converser<'static> {
    let options = ConverseOptions::default().seed(3).stream_audio(true).settings(short);
    Converser::new(TakeRunner::in_session(model.session(), 1), options).unwrap()
}

/// Holds a conversation of one spoken question; returns its record, the speech, and the indices of the reported segments.
fn converse(model: &Model) -> (Record, Waveform, Vec<(usize, Modality)>) {
    let mut converser = converser(model);
    let mut events = Vec::new();
    let mut chunks = 0;
    let mut on_event = |event: TakeEvent<'_>| {
        match event {
            TakeEvent::SegmentStarted(position) => events.push((position.number, position.modality)),
            TakeEvent::AudioChunk(_, chunk) => chunks += chunk.len(),
            _ => {}
        }
        Ok(())
    };
    let question = converser.hear(question(), &mut on_event).unwrap();
    let answer = converser.answer(&[Message::text(&*question)], &mut on_event).unwrap();
    let spoken = converser.speak(&answer, &mut on_event).unwrap();
    let record = converser.record().clone();
    assert_eq!(record.turns[1].messages[0].text.as_deref(), Some(&*question));
    assert_eq!(record.turns[2].messages[0].text.as_deref(), Some(&*answer));
    assert_eq!(record.turns[0].config.text.temperature, 0.0, "a question is heard greedily");
    assert_eq!(chunks, spoken.sound.len(), "the speech came in chunks");
    (record, spoken.sound, events)
}

fn check(model: &Model) {
    let (record, sound, events) = converse(model);
    assert_eq!(events, [(1, Modality::Text), (2, Modality::Text), (3, Modality::Speech)]);
    assert_eq!(record.turns.iter().map(|turn| turn.begins).collect::<Vec<_>>(), [false, true, true]);

    // the record alone reproduces the speech
    let record = Record::from_json(record.to_json().unwrap().as_bytes()).unwrap();
    let mut session = model.session();
    let checkpoint = session.restore(&record, Cut { turn: 2, segment: 0, position: 0 }).unwrap();
    let config = &record.turns[2].config;
    let again = session.generate_from(&checkpoint, config).unwrap().into_reply().unwrap();
    assert_eq!(again.segments[0].tokens, record.turns[2].segments[0].tokens);
    assert_eq!(again.audio().unwrap().samples(), sound.samples());
}

#[test]
fn a_question_is_heard_answered_and_spoken() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let in_one_reply = copied_package("tiny-omni-fp32", &folder.path().join("in-one-reply"));
    change_manifest(&in_one_reply, |manifest| {
        manifest["modalities"]["text"]["generation"]["min_steps"] = serde_json::json!(4);
    });
    check(&Model::load(in_one_reply).unwrap());
    check(&Model::load(package_by_prompt(&folder.path().join("package"))).unwrap());
}

#[test]
fn audex_answers_a_spoken_question() {
    skip_without_fixtures!();
    check(&model("tiny-audex-fp32"));
}

#[test]
fn missing_abilities_are_named() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let package = package_by_prompt(&folder.path().join("package"));
    let in_one_reply = model("tiny-omni-fp32");
    let mut converser_of_silence = converser(&in_one_reply);
    let silent = converser_of_silence.hear(question(), |_| Ok(())).unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::Audio, "its first token ends the transcript");
    assert!(converser_of_silence.record().turns.is_empty(), "nothing of a request that failed is kept");
    assert!(silent.message().starts_with("no speech was understood"), "{silent}");
    let model = Model::load(&package).unwrap();
    let stopped = Cancel::new();
    stopped.cancel();
    let error = converser(&model.with_cancel(&stopped)).answer(&[Message::text("why?")], |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let error = converser(&model).answer(&[], |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");

    change_manifest(&package, |manifest| manifest["audio_encoder"] = serde_json::Value::Null);
    let model = Model::load(&package).unwrap();
    let error = converser(&model).hear(question(), |_| Ok(())).unwrap_err();
    assert!(error.message().contains("cannot listen"), "{error}");

    change_manifest(&package, |manifest| {
        manifest["modalities"].as_object_mut().unwrap().remove("speech");
        manifest["absent"] = serde_json::json!({"speech": "the package was exported without it"});
    });
    let model = Model::load(&package).unwrap();
    let takes = TakeRunner::in_session(model.session(), 1);
    let error = Converser::new(takes, ConverseOptions::default()).err().unwrap();
    assert!(error.message().ends_with("the package was exported without it"), "{error}");
}
