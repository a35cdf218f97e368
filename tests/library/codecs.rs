//! Codecs, by the package's manifest.

use ndarray::{Array1, s};
use serde_json::json;
use tempfile::TempDir;
use ualm::{Cancel, Codes, ErrorKind, Event, Limits, Message, Modality, Model};
use ualm_testing::{answer, change_manifest, copied_package, model, relative_error, skip_without_fixtures};

/// Frames beyond `most_frames` are dropped, as if the clip ended there.
#[test]
fn a_clip_ends_at_the_most_frames_of_its_codec() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let copy = copied_package("tiny-omni-fp32", &folder.path().join("package"));
    let model = Model::load(&copy).unwrap();
    change_manifest(&copy, |manifest| manifest["codecs"]["xcodec"]["most_frames"] = json!(20));
    let short = Model::load(&copy).unwrap();

    let codes = Codes::from_shape_fn((8, 50), |(book, frame)| ((book * 31 + frame * 17) % 1024) as u32);
    let first = model.decode_codes(Modality::Audio, &codes.slice(s![.., ..20]).to_owned()).unwrap();
    assert_eq!(short.decode_codes(Modality::Audio, &codes).unwrap(), first);

    let mut config = short.config();
    (config.force, config.max_segments) = (vec![Modality::Audio], 1);
    (config.audio.min_steps, config.audio.max_steps) = (40, 40);
    for stream_audio in [false, true] {
        config.stream_audio = stream_audio;
        let mut session = short.session();
        let prompt = session.prompt(&[Message::text("rain")]).unwrap();
        let mut seconds = 0.0;
        let mut chunks = 0;
        for event in session.generate(prompt, &config, &Cancel::new()).unwrap() {
            match event.unwrap() {
                Event::AudioProgress { seconds: so_far } => seconds = so_far,
                Event::AudioChunk(chunk) => chunks += chunk.len(),
                Event::SegmentEnded { segment, .. } => assert_eq!(segment.audio.unwrap().len(), 20 * 320),
                _ => {}
            }
        }
        assert_eq!((seconds, chunks), (0.4, 20 * 320), "streamed: {stream_audio}");
    }
}

fn speech_codes(name: &str) -> Codes {
    let codes: Array1<i32> = answer("tiny-audex", &format!("{name}.codes"));
    Codes::from_shape_fn((1, codes.len()), |(_, frame)| codes[frame] as u32)
}

#[test]
fn a_causal_decoder_gives_the_sound_of_the_authors() {
    skip_without_fixtures!();
    let model = model("tiny-audex-fp32");
    for name in ["speech_decoder", "tts_greedy", "tts_guided", "tts_guided_ends", "tts_skips"] {
        let sound = model.decode_codes(Modality::Speech, &speech_codes(name)).unwrap();
        let expected: Array1<f32> = answer("tiny-audex", &format!("{name}.audio"));
        let error = relative_error(sound.samples(), expected.iter());
        assert!(error < 1e-5, "{name}: {error}");
    }
    let sound = model.decode_codes(Modality::Speech, &speech_codes("tts_greedy")).unwrap();
    let error = model.encode_codes(Modality::Speech, &sound).unwrap_err();
    assert!(error.message().contains("has no encoder"), "{error}");
}

/// Speech that is decoded while it is being generated is that of its codes.
#[test]
fn a_causal_decoder_streams() {
    skip_without_fixtures!();
    let model = model("tiny-audex-fp32");
    let mut config = model.config();
    (config.force, config.max_segments, config.stream_audio) = (vec![Modality::Speech], 1, true);
    (config.speech.temperature, config.speech.min_steps, config.speech.max_steps) = (0.0, 120, 120);
    let mut session = model.session();
    let messages = [Message::text("The quick brown fox.")];
    let prompt = model.prompt_for(Modality::Speech, &messages, &Cancel::new()).unwrap();
    let mut chunks = Vec::new();
    let mut speech = None;
    for event in session.generate(prompt, &config, &Cancel::new()).unwrap() {
        match event.unwrap() {
            Event::AudioChunk(chunk) => chunks.push(chunk.samples().to_vec()),
            Event::SegmentEnded { segment, .. } => speech = Some(segment),
            _ => {}
        }
    }
    let speech = speech.unwrap();
    let layout = model.layout(Modality::Speech).unwrap();
    let codes = layout.codes(&speech.tokens, 0..layout.frames(&speech.tokens)).unwrap();
    assert!(codes.ncols() > 19 && chunks.len() > 2, "{} frames, {} chunks", codes.ncols(), chunks.len());
    assert_eq!(chunks[0].len(), 5 * 320, "the first chunk is heard early");
    let streamed = chunks.concat();
    assert_eq!(speech.audio.unwrap().samples(), streamed);
    let whole = model.decode_codes(Modality::Speech, &codes).unwrap();
    let error = relative_error(&streamed, whole.samples());
    assert!(error < 1e-5, "{error}");
}

/// A clip that is too long for the decoder's limit on memory is refused with the limit.
#[test]
fn the_state_of_a_causal_decoder_is_limited() {
    skip_without_fixtures!();
    let model = model("tiny-audex-fp32");
    let codes = Codes::zeros((1, 1000));
    assert_eq!(model.decode_codes(Modality::Speech, &codes).unwrap().len(), 1000 * 320);
    let small = model.with_limits(Limits::default().memory(1 << 20));
    let error = small.decode_codes(Modality::Speech, &codes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("the limit on memory is 2 MB"), "{error}");
    let error = model.decode_codes(Modality::Speech, &Codes::zeros((1, 9000))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("longer than 8192 frames"), "{error}");
}
