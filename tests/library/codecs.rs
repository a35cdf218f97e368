//! Codecs, by the package's manifest.

use ndarray::s;
use serde_json::json;
use tempfile::TempDir;
use ualm::{Codes, ErrorKind, Event, Limits, Message, Modality, Model};
use ualm_testing::{change_manifest, copied_package, model, skip_without_fixtures};

/// Frames beyond `most_frames` are dropped, as if the clip ended there.
#[test]
fn a_clip_ends_at_the_maximum_number_of_frames_of_its_codec() {
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
    config.force = vec![Modality::Audio];
    config.max_segments = 1;
    config.audio.min_steps = 40;
    config.audio.max_steps = 40;
    for stream_audio in [false, true] {
        config.stream_audio = stream_audio;
        let mut session = short.session();
        let prompt = session.prompt(&[Message::text("rain")]).unwrap();
        let mut seconds = 0.0;
        let mut chunks = 0;
        for event in session.generate(prompt, &config).unwrap() {
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
