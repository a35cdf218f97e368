//! Chains of segments: they end whatever the model does, and a cache made again was run as the first one was.

use proptest::prelude::*;

use super::super::{PastSegment, PastTurn, replay};
use super::*;

const OPENS_TEXT: &[TokenId] = &[7];
const OPENS_AUDIO: &[TokenId] = &[8];

fn shape(reply: &Reply) -> Vec<(Modality, SegmentEnd)> {
    reply.segments.iter().map(|s| (s.modality, s.end)).collect()
}

#[test]
fn a_chain_that_alternates_for_ever_ends_with_the_limit_on_segments() {
    let round: [&[TokenId]; 6] = [OPENS_TEXT, &[10], &[3], OPENS_AUDIO, &[17, 21], &[3, 21]];
    let mut fake = Fake::new(&round.repeat(50));
    fake.max_positions = 10_000;
    let (reply, error, _) = run(&mut fake, config(&[]));
    assert!(error.is_none());
    assert_eq!(reply.segments.len(), 8);
    assert!(reply.segments.iter().all(|segment| segment.end == SegmentEnd::Eot), "the reason: it would have gone on");
}

#[test]
fn a_chain_of_segments_that_never_end_ends_with_their_limits() {
    let forever: Vec<&[TokenId]> = vec![&[17, 21]; 5000];
    let mut fake = Fake::new(&forever);
    fake.max_positions = 10_000;
    let mut settings = config(&[Modality::Audio; 20]);
    settings.insist = true;
    let (reply, ..) = run(&mut fake, settings.clone());
    assert_eq!(shape(&reply), [(Modality::Audio, SegmentEnd::Limit); 8]);
    assert_eq!(reply.usage.steps, 8 * 20);

    let mut fake = Fake::new(&forever);
    let (reply, ..) = run(&mut fake, settings);
    assert_eq!(fake.position, 100);
    assert_eq!(reply.segments.last().unwrap().end, SegmentEnd::Context, "a full context ends a chain as well");
}

#[test]
fn a_chain_of_empty_sounds_ends() {
    let script: Vec<&[TokenId]> = vec![&[3, 21]; 100];
    let (reply, error, _) = run(&mut Fake::new(&script), config(&[Modality::Audio; 8]));
    assert!(error.is_none());
    assert_eq!(shape(&reply), [(Modality::Audio, SegmentEnd::Eot); 8]);
    assert!(reply.segments.iter().all(|segment| segment.audio.as_ref().unwrap().is_empty()));
}

#[test]
fn a_modality_that_the_package_cannot_make_is_refused_before_any_work() {
    let shared = SharedFake::new(Fake::new(&[]));
    let mut conversation = shared.conversation(&[Modality::Text], Limits::default());
    let settings = config(&[Modality::Text, Modality::Audio]);
    let error = Generation::new(&mut conversation, prompt(), settings).err().unwrap();
    assert!(error.message().contains("cannot make audio; it offers text"), "{error}");
    assert_eq!(shared.lock().position, 0);
}

#[test]
fn only_modalities_that_the_package_can_make_are_chosen() {
    let mut fake = Fake::new(&[OPENS_AUDIO, &[10], &[2]]);
    fake.max_positions = 100;
    let shared = SharedFake::new(fake);
    let mut conversation = shared.conversation(&[Modality::Text], Limits::default());
    let reply = Generation::new(&mut conversation, prompt(), config(&[])).unwrap().into_reply().unwrap();
    assert_eq!(shape(&reply), [(Modality::Text, SegmentEnd::Eos)]);
}

#[test]
fn a_reply_that_is_stopped_or_dropped_between_segments_is_closed_as_it_ended() {
    for dropped in [false, true] {
        let shared = SharedFake::new(Fake::new(&[&[10], &[11]]));
        let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
        let mut settings = config(&[Modality::Text, Modality::Audio]);
        settings.insist = true;
        settings.text.max_steps = 2;
        let cancel = conversation.cancel.clone();
        for event in Generation::new(&mut conversation, prompt(), settings).unwrap() {
            if let Event::SegmentEnded { segment, .. } = event.unwrap() {
                assert_eq!(segment.end, SegmentEnd::Limit);
                cancel.cancel();
                if dropped {
                    break;
                }
            }
        }
        assert_eq!(ids(conversation.tail()), [[11, 0], [2, 0]], "no other segment follows");
    }
}

#[test]
fn forced_segments_follow_an_end_only_if_one_insists() {
    let script: [&[TokenId]; 4] = [&[10], &[2], &[17, 21], &[2, 21]];
    let mut settings = config(&[Modality::Text, Modality::Audio]);
    let (reply, ..) = run(&mut Fake::new(&script), settings.clone());
    assert_eq!(shape(&reply), [(Modality::Text, SegmentEnd::Eos)]);
    settings.insist = true;
    let mut fake = Fake::new(&script);
    let (reply, ..) = run(&mut fake, settings);
    assert_eq!(shape(&reply), [(Modality::Text, SegmentEnd::Eos), (Modality::Audio, SegmentEnd::Eos)]);
    assert_eq!(fake.seen[8..11], [[3, 0], [6, 0], [8, 0]], "closed as a segment that is followed by another one");
}

#[test]
fn a_segment_does_not_end_before_its_fewest_frames() {
    let closing: Vec<&[TokenId]> = vec![&[2, 21]; 20];
    let mut settings = config(&[Modality::Audio]);
    settings.audio.min_steps = 5;
    let (reply, ..) = run(&mut Fake::new(&closing), settings);
    let frames = ids(&reply.segments[0].tokens);
    assert_eq!((frames.len(), reply.segments[0].end), (6, SegmentEnd::Eos));
    assert!(frames[..5].iter().all(|frame| frame[0] > 16), "neither closed nor run out: {frames:?}");

    let closing: Vec<&[TokenId]> = vec![&[2]; 20];
    let mut settings = config(&[Modality::Text]);
    settings.text.min_steps = 3;
    assert_eq!(run(&mut Fake::new(&closing), settings).0.text(), "aaa");
}

/// Generates the chain `script`, and returns the fake, which has recorded the positions it was given, the reply, and the
/// tokens left to run.
fn first_run(
    script: &[Vec<TokenId>],
    insist: bool,
    guidance: f32,
    fails: Option<(usize, Failing)>,
) -> (Fake, Reply, Tokens) {
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    let mut fake = Fake::new(&script);
    fake.fails = fails;
    let mut settings = config(&[Modality::Text, Modality::Audio, Modality::Text, Modality::Audio]);
    settings.insist = insist;
    settings.max_segments = 4;
    settings.text.max_steps = 4;
    settings.audio.max_steps = 6;
    settings.audio.guidance = guidance;
    let (reply, error, tail) = run(&mut fake, settings);
    let failed = reply.segments.iter().any(|segment| segment.end == SegmentEnd::Failed);
    assert_eq!(failed, error.is_some());
    (fake, reply, tail)
}

fn past_segment(segment: &Segment) -> PastSegment<'_> {
    let guided = segment.config.is_guided();
    PastSegment { modality: segment.modality, end: segment.end, guided, tokens: &segment.tokens }
}

proptest! {
    /// A replay of the tokens runs the same positions in the same way, whatever the model draws and wherever it fails.
    #[test]
    fn a_cache_made_again_has_seen_the_same(
        script in prop::collection::vec(prop_oneof![Just(2u32), Just(3), 10u32..16, 17u32..21], 30),
        insist in any::<bool>(),
        guided in any::<bool>(),
        another_turn in any::<bool>(),
        fails in prop::option::of((6usize..40, prop_oneof![Just(Failing::Step), Just(Failing::Logits)])),
    ) {
        let script: Vec<_> = script.into_iter().map(|id| vec![id]).collect();
        let guidance = if guided { 3.0 } else { 1.0 };
        let (first, reply, tail) = first_run(&script, insist, guidance, fails);
        let prompt = prompt();
        let mut past = vec![PastTurn { prompt: &prompt, segments: reply.segments.iter().map(past_segment).collect() }];
        if another_turn {
            past.push(PastTurn { prompt: &prompt, segments: Vec::new() });
        }
        let shared = SharedFake::new(Fake::new(&[]));
        let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
        replay(&mut conversation, &past, Some(None)).unwrap();
        prop_assert!(conversation.tail().is_empty());
        let again = shared.lock();
        let mut expected = first.seen;
        expected.extend(ids(&tail));
        if another_turn {
            expected.extend(ids(&prompt.tokens));
        } else if let Some(closing) = expected.last_mut() {
            closing[0] = 3; // the reply goes on
        }
        expected.push(vec![6, 0]);
        prop_assert_eq!(&again.seen, &expected);
        prop_assert_eq!(&again.prefixes, &first.prefixes);
    }
}

/// Returns a conversation of one reply, `[1, 5, 7, 11, 2]` and "ab", that has ended.
fn ended_conversation(shared: &SharedFake) -> Conversation {
    let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
    let settings = config(&[Modality::Text]);
    let reply = Generation::new(&mut conversation, prompt(), settings).unwrap().into_reply().unwrap();
    assert_eq!(reply.text(), "ab");
    conversation
}

#[test]
fn a_conversation_whose_next_segment_cannot_be_reached_is_what_it_was() {
    let shared = SharedFake::new(Fake::new(&[&[10], &[11], &[2]]));
    let mut conversation = ended_conversation(&shared);
    let before = (conversation.position(), conversation.tail().clone());
    shared.lock().fails = Some((0, Failing::Logits));
    let snapshot = conversation.snapshot();
    conversation.reopen().unwrap();
    assert_eq!(ids(conversation.tail()), [[3, 0]], "closed as a segment that is followed by another one");
    assert_eq!(conversation.run_to_segment(None, None).unwrap_err().kind(), ErrorKind::Graph);
    conversation.restore(snapshot);
    assert_eq!((conversation.position(), conversation.tail().clone()), before);
    shared.lock().fails = None;
    conversation.reopen().unwrap();
    assert!(conversation.run_to_segment(None, None).is_ok(), "it can still go on");
    assert!(conversation.reopen().is_err(), "no segment has ended since");
}

#[test]
fn a_state_that_cannot_be_computed_again_leaves_nothing() {
    let shared = SharedFake::new(Fake::new(&[]));
    let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
    let prompt = prompt();
    let past = [PastTurn { prompt: &prompt, segments: Vec::new() }];
    shared.lock().fails = Some((0, Failing::Logits));
    let error = replay(&mut conversation, &past, Some(None)).unwrap_err();
    assert_eq!((error.kind(), conversation.position()), (ErrorKind::Graph, 0), "the prompt was run, and is forgotten");
}
