//! Sound that is decoded beside the steps, on a thread of its own.

use super::*;
use crate::error::Error;

/// Frames of the sound that the fake generates.
const FRAMES: usize = 70;

/// Runs a reply of sound with `codec`; calls `each` after every event, and returns the events in words with the error.
fn run(codec: &FakeCodec, stream_audio: bool, limits: Limits, each: impl Fn()) -> (Vec<String>, Option<Error>) {
    let codes = Codes::from_shape_fn((2, FRAMES), |(stream, frame)| ((stream + frame) % 4) as u32);
    let mut script = ids(&lay(&codes));
    script.push(vec![2, 21]);
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    let shared = SharedFake::new(Fake::new(&script));
    let mut conversation = shared.conversation_with(&SCHEMA1, limits, codec.clone());
    let mut config = config(&[Modality::Audio]);
    config.audio.max_steps = 90;
    config.stream_audio = stream_audio;
    let (mut events, mut failure) = (Vec::new(), None);
    for event in Generation::new(&mut conversation, prompt(), config).unwrap() {
        match event {
            Ok(Event::AudioProgress { seconds }) => events.push(format!("{seconds} s")),
            Ok(Event::AudioChunk(chunk)) => events.push(format!("{:?}", chunk.samples())),
            Ok(Event::SegmentEnded { segment, .. }) => {
                events.push(format!("{:?} {:?}", segment.end, segment.audio.unwrap().samples()));
            }
            Ok(_) => events.push(String::new()),
            Err(error) => failure = Some(error),
        }
        each();
    }
    (events, failure)
}

fn beside(milliseconds: u64) -> FakeCodec {
    FakeCodec { beside: true, milliseconds, ..FakeCodec::default() }
}

/// Returns, for each chunk of samples, the number of frames generated before it, and the number of its own.
fn chunks(events: &[String]) -> Vec<(usize, usize)> {
    let (mut steps, mut chunks) = (0_usize, Vec::new());
    for event in events {
        steps += usize::from(event.ends_with(" s"));
        if event.starts_with('[') {
            chunks.push((steps.saturating_sub(STREAMS - 1), event.split(',').count() / HOP));
        }
    }
    chunks
}

#[test]
fn samples_and_events_are_the_same_however_long_decoding_takes() {
    for stream_audio in [false, true] {
        let (between, _) = run(&FakeCodec::default(), stream_audio, Limits::default(), || {});
        let (expected, _) = run(&beside(0), stream_audio, Limits::default(), || {});
        for milliseconds in [1, 5] {
            let slow_steps = || std::thread::sleep(std::time::Duration::from_millis(1));
            assert_eq!(run(&beside(milliseconds), stream_audio, Limits::default(), || {}).0, expected);
            assert_eq!(run(&beside(milliseconds), stream_audio, Limits::default(), slow_steps).0, expected);
        }
        let sorted = |events: &[String]| {
            let mut events = events.to_vec();
            events.sort();
            events
        };
        assert_eq!(sorted(&between), sorted(&expected), "streamed: {stream_audio}");
    }
}

#[test]
fn a_piece_is_taken_back_after_a_quarter_of_its_length() {
    let of = |codec: FakeCodec, stream_audio| chunks(&run(&codec, stream_audio, Limits::default(), || {}).0);
    let pieces: Vec<_> = (1..9).map(|piece| (8 * piece, 8)).chain([(70, 6)]).collect();
    assert_eq!(of(FakeCodec::default(), true), pieces);
    let mut later: Vec<_> = pieces.iter().map(|(frames, of_piece)| (frames + 2, *of_piece)).collect();
    later[0] = (8, 8);
    later[8] = (70, 6);
    assert_eq!(of(beside(0), true), later, "the first sound is not later");
    assert_eq!(of(FakeCodec::default(), false), [(24, 24), (48, 24), (70, 22)]);
    assert_eq!(of(beside(0), false), [(30, 24), (54, 24), (70, 22)]);
}

#[test]
fn only_what_steps_can_run_beside_is_decoded_on_the_thread() {
    let codec = beside(0);
    run(&codec, true, Limits::default(), || {});
    let threads = codec.threads.lock().unwrap().iter().map(|name| name == "ualm-sound").collect::<Vec<_>>();
    assert_eq!(threads, [false, true, true, true, true, true, true, true, false]);

    let codec = FakeCodec::default();
    run(&codec, true, Limits::default(), || {});
    assert!(codec.threads.lock().unwrap().iter().all(|name| name != "ualm-sound"));
}

/// A piece that fails ends the segment when it is taken back; the sound before the failure is kept.
#[test]
fn a_failure_is_reported_and_nothing_before_it_is_lost() {
    for stream_audio in [false, true] {
        let (events, error) = run(&beside(1), stream_audio, Limits::default().memory(20), || {});
        assert_eq!(error.unwrap().kind(), ErrorKind::Limit);
        let heard: usize = chunks(&events).iter().map(|(_, frames)| frames).sum();
        let (between, _) = run(&FakeCodec::default(), stream_audio, Limits::default().memory(20), || {});
        assert_eq!((heard, events.last()), (20, between.last()), "streamed: {stream_audio}");
        assert!(events.last().unwrap().starts_with("Failed [0.0, 0.0, 1.0, 1.0"));
    }
}

#[test]
fn a_panic_of_the_thread_is_an_error_and_the_sound_before_it_is_kept() {
    let codec = FakeCodec { panics: true, ..beside(0) };
    let (events, error) = run(&codec, true, Limits::default(), || {});
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Graph);
    assert!(error.message().contains("the thread that decodes sound panicked"), "{error}");
    assert_eq!(chunks(&events), [(8, 8)]);
    assert_eq!(events.last().unwrap().split(',').count(), 8 * HOP);
}

/// Cancelling keeps the piece that is being decoded; dropping a generation ends the thread.
#[test]
fn a_generation_that_ends_early_ends_its_thread() {
    let script: Vec<&[TokenId]> = vec![&[17, 22]; 80];
    for drops in [false, true] {
        let codec = beside(5);
        let shared = SharedFake::new(Fake::new(&script));
        let mut conversation = shared.conversation_with(&SCHEMA1, Limits::default(), codec.clone());
        let clones = Arc::strong_count(&codec.threads);
        let mut config = config(&[Modality::Audio]);
        config.audio.max_steps = 80;
        config.stream_audio = true;
        let cancel = conversation.cancel.clone();
        let mut generation = Generation::new(&mut conversation, prompt(), config).unwrap();
        // the second piece has been begun and is not due
        let mut progress = 0;
        while progress < 17 {
            progress += usize::from(matches!(generation.next().unwrap().unwrap(), Event::AudioProgress { .. }));
        }
        if drops {
            drop(generation);
        } else {
            cancel.cancel();
            let (reply, error) = generation.into_partial_reply();
            assert!(error.is_none());
            assert_eq!(reply.segments[0].end, SegmentEnd::Cancelled);
            assert_eq!(reply.audio().unwrap().len(), 16 * HOP);
        }
        assert_eq!(Arc::strong_count(&codec.threads), clones, "the thread and its clip are gone");
        assert_eq!(codec.threads.lock().unwrap().iter().filter(|name| *name == "ualm-sound").count(), 1);
    }
}
