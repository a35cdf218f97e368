//! Codecs, by the package's manifest.

use ndarray::s;
use serde_json::json;
use tempfile::TempDir;
use ualm::{Cancel, Codes, Event, Message, Modality, Model};
use ualm_testing::{change_manifest, copied_package, skip_without_fixtures};

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
