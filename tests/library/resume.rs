//! Conversations that stop and resume, token by token as if they had never stopped.

use std::sync::LazyLock;

use proptest::prelude::*;
use ualm::audio::{WavFormat, Waveform};
use ualm::record::{holds_samples, wav_format};
use ualm::{
    Cancel, Checkpoint, Cut, ErrorKind, Event, GenerationConfig, Message, Modality, Model, Record, Reply, Segment,
    SegmentEnd, Session,
};
use ualm_testing::{Need, is_skipped, model, skip_without_fixtures};

static MODELS: LazyLock<Vec<Model>> =
    LazyLock::new(|| ["tiny-omni-fp32", "tiny-afwhisper-fp32", "tiny-omni-int8", "synthetic-fp32"].map(model).into());

/// A chain of four segments, drawn at random, its sound guided.
fn config(model: &Model, seed: u64) -> GenerationConfig {
    let mut config = model.config();
    config.seed = seed;
    config.force = vec![Modality::Text, Modality::Audio, Modality::Text, Modality::Speech];
    config.insist = true;
    config.max_segments = 4;
    for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
        let segment = config.segment_mut(modality);
        segment.temperature = 1.0;
        segment.max_steps = 6 + 3 * modality as usize;
    }
    config.audio.guidance = 3.0;
    config
}

fn hum(seconds: f64) -> Waveform {
    let samples = (0..(16_000.0 * seconds) as usize).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    Waveform::mono(samples, 16_000).unwrap()
}

/// Adds a turn, a prompt and its reply, to `record`.
fn turn(session: &mut Session, record: &mut Record, messages: &[Message], config: &GenerationConfig) -> Reply {
    let prompt = session.prompt(messages).unwrap();
    record.begin_turn(messages, &prompt, config);
    let reply = session.generate(prompt, config).unwrap().into_reply().unwrap();
    for segment in &reply.segments {
        record.push(segment);
    }
    reply
}

/// Returns the record of two turns, the second with a sound in its prompt.
fn conversation(model: &Model, seed: u64) -> (Record, Vec<Segment>) {
    let mut session = model.session();
    let mut record = Record::new(model.package());
    turn(&mut session, &mut record, &[Message::text("rain on a roof")], &config(model, seed));
    let messages = [Message::audio(hum(0.5)), Message::text("again")];
    let reply = turn(&mut session, &mut record, &messages, &config(model, seed ^ 0xff));
    (Record::from_json(record.to_json().unwrap().as_bytes()).unwrap(), reply.segments)
}

fn go_on(session: &mut Session, from: &Checkpoint, config: &GenerationConfig) -> Vec<Segment> {
    session.generate_from(from, config).unwrap().into_reply().unwrap().segments
}

fn assert_same(found: &[Segment], expected: &[Segment]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.tokens, expected.tokens);
        assert_eq!((found.end, &found.text, &found.audio), (expected.end, &expected.text, &expected.audio));
        assert_eq!(found.draws.to, expected.draws.to);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_reply_goes_on_from_any_frame_as_if_it_had_never_stopped(
        package in 0usize..4, seed in any::<u64>(), segment in 0usize..4, part in 0.0f64..1.0,
    ) {
        if is_skipped(Need::Fixtures) {
            return Ok(());
        }
        let model = &MODELS[package];
        let (record, made) = conversation(model, seed);
        prop_assert_eq!(made.len(), 4);
        let frames = made[segment].tokens.len();
        let frame = (part * frames as f64) as usize;
        let cut = Cut { turn: 1, segment, position: frame };
        let mut session = model.session();
        let checkpoint = session.restore(&record, cut).unwrap();
        let reply = go_on(&mut session, &checkpoint, &record.turns[1].config);
        prop_assert_eq!(reply[0].kept, frame);
        assert_same(&reply, &made[segment..]);
    }

    #[test]
    fn damage_anywhere_is_refused_or_does_no_harm(places in prop::collection::vec((any::<u32>(), any::<u8>()), 1..4)) {
        if is_skipped(Need::Fixtures) {
            return Ok(());
        }
        static WHOLE: LazyLock<String> = LazyLock::new(|| conversation(&MODELS[3], 10).0.to_json().unwrap());
        let mut json = WHOLE.clone().into_bytes();
        for (place, byte) in places {
            let place = place as usize % json.len();
            json[place] = byte;
        }
        let Ok(record) = Record::from_json(&json) else { return Ok(()) };
        let mut session = MODELS[3].session();
        let cut = Cut { turn: 1, segment: 1, position: 2 };
        if let Ok(checkpoint) = session.restore(&record, cut) {
            let mut config = record.turns[1].config.clone();
            config.audio.max_steps = config.audio.max_steps.min(12);
            config.max_segments = 2;
            if let Ok(generation) = session.generate_from(&checkpoint, &config) {
                let _ = generation.into_reply();
            }
        }
    }

    #[test]
    fn takes_of_one_prefill_are_those_of_their_seeds(package in 0usize..4, seed in any::<u32>()) {
        if is_skipped(Need::Fixtures) {
            return Ok(());
        }
        let model = &MODELS[package];
        let mut session = model.session();
        let prompt = session.prompt(&[Message::text("a bell")]).unwrap();
        let checkpoint = session.checkpoint(&prompt).unwrap();
        for seed in [u64::from(seed), u64::from(seed) + 1, u64::from(seed)] {
            let config = config(model, seed);
            let alone = model.session().generate(prompt.clone(), &config).unwrap().into_reply().unwrap();
            assert_same(&go_on(&mut session, &checkpoint, &config), &alone.segments);
        }
    }
}

#[test]
fn a_reply_made_segment_by_segment_is_the_same() {
    skip_without_fixtures!();
    for model in MODELS.iter() {
        let all = config(model, 8);
        let mut session = model.session();
        let prompt = session.prompt(&[Message::text("wind")]).unwrap();
        let at_once = session.generate(prompt.clone(), &all).unwrap().into_reply().unwrap().segments;
        let mut session = model.session();
        assert_eq!(session.go_on(1, at_once[0].draws.to).unwrap_err().kind(), ErrorKind::Invalid);
        let mut place = session.checkpoint(&prompt).unwrap();
        for (index, expected) in at_once.iter().enumerate() {
            let config = all.clone().max_segments(index + 1);
            let made = go_on(&mut session, &place, &config);
            assert_same(&made, std::slice::from_ref(expected));
            place = session.go_on(index + 1, made[0].draws.to).unwrap();
        }
    }
}

#[test]
fn a_segment_that_the_model_chose_is_chosen_again() {
    skip_without_fixtures!();
    let mut chosen = 0;
    for seed in 0..20 {
        let model = &MODELS[0];
        let mut session = model.session();
        let mut record = Record::new(model.package());
        let config = config(model, seed).force([Modality::Text, Modality::Audio]).max_segments(3);
        let made = turn(&mut session, &mut record, &[Message::text("rain")], &config).segments;
        let Some(last) = made.get(2..).filter(|last| !last.is_empty()) else { continue };
        let cut = Cut { turn: 0, segment: 2, position: 0 };
        let checkpoint = session.restore(&record, cut).unwrap();
        assert_same(&go_on(&mut session, &checkpoint, &config), last);
        chosen += 1;
    }
    assert!(chosen > 0, "no reply goes on after what is forced");
}

#[test]
fn turns_are_restored_whole() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let (record, made) = conversation(model, 9);
    let mut session = model.session();
    session.restore_turns(&record, 1).unwrap();
    let second = &record.turns[1];
    let reply = session.generate(second.prompt.clone(), &second.config).unwrap().into_reply().unwrap();
    assert_same(&reply.segments, &made);
    assert_eq!(session.restore_turns(&record, 3).unwrap_err().kind(), ErrorKind::Invalid);
    session.restore_turns(&record, 0).unwrap();
    assert_eq!(session.position(), 0);
}

#[test]
fn a_turn_that_is_taken_back_leaves_nothing() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let mut session = model.session();
    let mut record = Record::new(model.package());
    turn(&mut session, &mut record, &[Message::text("rain")], &config(model, 1));
    let mark = session.mark();
    let first = turn(&mut session, &mut record, &[Message::text("hail")], &config(model, 2));
    let later = session.mark();
    session.rewind(&mark).unwrap();
    let again = turn(&mut session, &mut record, &[Message::text("hail")], &config(model, 2));
    assert_same(&again.segments, &first.segments);
    assert_eq!(session.rewind(&later).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(model.session().rewind(&mark).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_sound_is_made_longer_from_its_frames() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let layout = model.layout(Modality::Audio).unwrap();
    let mut session = model.session();
    let mut record = Record::new(model.package());
    let mut config = config(model, 3);
    config.force = vec![Modality::Audio];
    config.audio.min_steps = 30;
    config.audio.max_steps = 30;
    let short = turn(&mut session, &mut record, &[Message::text("rain")], &config).segments.remove(0);
    assert_eq!((short.end, short.tokens.len()), (SegmentEnd::Limit, 30));
    config.audio.min_steps = 60;
    config.audio.max_steps = 60;
    let cut = Cut { turn: 0, segment: 0, position: 30 };
    let checkpoint = session.restore(&record, cut).unwrap();
    let long = go_on(&mut session, &checkpoint, &config).remove(0);
    assert_eq!((long.kept, long.tokens.len()), (30, 60));
    assert_eq!(long.tokens.slice(0..30), short.tokens);
    assert_eq!(long.audio.as_ref().unwrap().len(), layout.frames(&long.tokens) * 320);
    let prompt = model.session().prompt(&[Message::text("rain")]).unwrap();
    let at_once = model.session().generate(prompt, &config).unwrap().into_reply().unwrap();
    assert_eq!(at_once.segments[0].tokens, long.tokens, "30 more frames are the frames of 60 at once");
}

#[test]
fn text_given_as_the_models_own_is_read() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    let checkpoint = session.checkpoint(&prompt).unwrap();
    let plan = model.closed_text_tokens("drops on tin").unwrap();
    let segments = go_on(&mut session, &checkpoint.with_kept(Modality::Text, plan.clone()), &{
        let mut config = config(model, 4);
        config.text.max_steps = 100;
        config
    });
    assert_eq!((segments[0].text.as_str(), segments[0].kept), ("drops on tin", plan.len()));
    assert_eq!((segments[0].end, segments.len()), (SegmentEnd::Eot, 4));
}

#[test]
fn a_restored_session_that_was_stopped_can_be_used_again() {
    skip_without_fixtures!();
    let model = &MODELS[1];
    let (record, made) = conversation(model, 5);
    let mut session = model.session();
    let stopped = Cancel::new();
    stopped.cancel();
    session.set_cancel(&stopped);
    let cut = Cut { turn: 1, segment: 2, position: 0 };
    assert_eq!(session.restore(&record, cut).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(session.position(), 0);
    let cancel = Cancel::new();
    session.set_cancel(&cancel);
    let checkpoint = session.restore(&record, cut).unwrap();
    for event in session.generate_from(&checkpoint, &record.turns[1].config).unwrap() {
        if let Event::TextDelta(_) = event.unwrap() {
            cancel.cancel();
        }
    }
    session.set_cancel(&Cancel::new());
    assert_same(&go_on(&mut session, &checkpoint, &record.turns[1].config), &made[2..]);
}

#[test]
fn a_take_in_a_wav_file_makes_the_same_samples() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let (record, made) = conversation(model, 6);
    let take = record.before(Cut { turn: 1, segment: 2, position: 0 }).unwrap();
    let sound = made[1].audio.clone().unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    for format in [WavFormat::Pcm16, WavFormat::Float32] {
        let path = folder.path().join("take.wav");
        take.write_wav(&path, &sound, format).unwrap();
        assert_eq!(ualm::audio::decode_file(&path, &Default::default()).unwrap().waveform.len(), sound.len());
        let read = Record::read_wav(&path).unwrap();
        let (segment, cut) = read.last_segment().unwrap();
        let mut config = read.turns[1].config.clone();
        config.seed = segment.draws.seed;
        config.max_segments = cut.segment + 1;
        let mut session = model.session();
        let checkpoint = session.restore(&read, cut).unwrap();
        let again = go_on(&mut session, &checkpoint, &config);
        assert!(holds_samples(&path, again[0].audio.as_ref().unwrap(), wav_format(&path).unwrap()).unwrap());
        assert!(!holds_samples(&path, &hum(0.1), format).unwrap());
    }
}

#[test]
fn damaged_and_foreign_records_are_refused() {
    skip_without_fixtures!();
    let model = &MODELS[0];
    let (record, _) = conversation(model, 7);
    let json = record.to_json().unwrap();
    let refused = |json: &str, expected: &str| {
        let restore = |record: Record| {
            let cut = Cut { turn: 1, segment: 4, position: 0 };
            model.session().restore(&record, cut).map(drop)
        };
        let error = Record::from_json(json.as_bytes()).and_then(restore).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(expected), "expected {expected:?} in {error}");
    };
    refused("", "not a record");
    refused("{}", "not a record");
    refused(&json[..json.len() / 2], "not a record");
    refused(r#"{"format": "ualm-record", "schema": 2}"#, "damaged");
    let edits = [
        ("\"schema\":2", "\"schema\":3", "update ualm"),
        ("ualm-record", "ualm-recipe", "ualm-recipe"),
        ("\"sha256\":\"", "\"sha256\":\"0", "load the package that made it"),
        ("\"width\":8", "\"width\":0", "positions of 0 ids"),
        ("\"width\":8", "\"width\":7", "expected 7"),
        ("\"rows\":", "\"rows\":9", "numbers found"),
        ("\"data\":\"", "\"data\":\"*", "Base64"),
        ("\"start\":", "\"start\":99", "within the prompt"),
        ("[[1,0,0,0,0,0,0,0]", "[[1,0,0,0,0,0,0,99999]", "99999"),
        ("\"end\":\"limit\"", "\"end\":\"eos\"", "does not end it"),
        ("\"kept\":0", "\"kept\":99", "given"),
        ("\"modality\":\"audio\",\"end\"", "\"modality\":\"text\",\"end\"", "text: position 0 is"),
        ("\"temperature\":1.0", "\"temperature\":-1.0", "temperature"),
    ];
    for (from, to, expected) in edits {
        assert!(json.contains(from), "{from}");
        let place = if from.contains("temperature") { json.rfind(from) } else { json.find(from) }.unwrap();
        refused(&format!("{}{to}{}", &json[..place], &json[place + from.len()..]), expected);
    }
    for cut in [(2, 0, 0), (1, 5, 0), (1, 0, 999)] {
        let cut = Cut { turn: cut.0, segment: cut.1, position: cut.2 };
        assert_eq!(model.session().restore(&record, cut).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let other = &MODELS[1];
    let cut = Cut { turn: 1, segment: 1, position: 0 };
    assert!(other.session().restore(&record, cut).unwrap_err().message().contains("load the package that made it"));
}
