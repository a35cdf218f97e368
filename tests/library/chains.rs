//! Chains and takes in a Rust program.

use ualm::{
    Cancel, Chain, ChainOptions, ChainRunner, ChainStep, ChainStop, Engine, EngineOptions, Error, ErrorKind, Expected,
    GenerationConfig, Message, Modality, Model, ReasoningMode, Record, Result, Segment, SegmentEnd, Stage, TakeEvent,
    TakeRunner,
};
use ualm_testing::{package, skip_without_fixtures};

const PLAN: &str = "Keywords: rain. Layout: 0-1 rain. Description: It rains.";

fn model() -> Model {
    Model::load(package("tiny-omni-fp32")).unwrap()
}

fn chain(mode: ReasoningMode, rounds: usize, listen: bool) -> Chain {
    Chain::new(mode).rounds(rounds).listen(listen)
}

/// Settings with which the tiny model draws a few frames at random.
fn drawn(config: &mut GenerationConfig) {
    config.audio.temperature = 1.0;
    config.audio.max_steps = 14;
}

fn options<'a>() -> ChainOptions<'a> {
    ChainOptions::default().seed(5).settings(drawn)
}

fn begin<'a>(model: &Model, chain: Chain, options: ChainOptions<'a>) -> Result<ChainRunner<'a>> {
    let takes = TakeRunner::new(model, options.takes)?;
    ChainRunner::begin(takes, chain, "rain", options)
}

fn resume<'a>(model: &Model, chain: Chain, record: &Record, index: usize) -> Result<ChainRunner<'a>> {
    let options = options().seed(None);
    ChainRunner::resume(TakeRunner::new(model, 1)?, chain, record, index, options)
}

/// Runs a chain without questions to its end, and returns the frames of its record.
fn finish(runner: &mut ChainRunner) -> Vec<Vec<Vec<u32>>> {
    assert!(matches!(runner.run(|_| Ok(())).unwrap(), ChainStep::Finished));
    frames(runner.record())
}

fn frames(record: &Record) -> Vec<Vec<Vec<u32>>> {
    let segments = record.turns.iter().flat_map(|turn| &turn.segments);
    segments.map(|segment| segment.tokens.iter().map(<[_]>::to_vec).collect()).collect()
}

fn invalid(result: Result<impl Sized>) -> String {
    let Err(error) = result else { panic!("expected a refusal") };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

#[test]
fn a_chain_reports_every_stage_and_keeps_its_segments() {
    skip_without_fixtures!();
    let model = model();
    let mut runner = begin(&model, chain(ReasoningMode::Reflect, 2, true), options()).unwrap();
    let mut events = Vec::new();
    let mut made = Vec::new();
    let mut heard = 0;
    loop {
        let step = runner.advance(|event| {
            if let TakeEvent::SegmentStarted(position) = &event {
                events.push((position.number, position.stage.unwrap(), position.modality));
            }
            if let TakeEvent::SegmentEnded { segment, sound, record, .. } = event {
                assert_eq!(sound.is_some(), segment.modality.is_sound());
                let last = record.turns.last().unwrap().segments.last().unwrap();
                assert_eq!(last.tokens, segment.tokens, "the record ends with the segment");
            }
            Ok(())
        });
        match step.unwrap() {
            ChainStep::Segment(segment) => made.push(segment.position.stage.unwrap()),
            ChainStep::Heard => heard += 1,
            ChainStep::Finished => break,
            step => panic!("{step:?}"),
        }
    }
    use Stage::{Critique, Draft, Final, Plan};
    assert_eq!((made, heard), (vec![Plan, Draft, Critique, Draft, Critique, Final], 2));
    let of_text = |number, stage| (number, stage, Modality::Text);
    let of_sound = |number, stage| (number, stage, Modality::Audio);
    assert_eq!(events[..3], [of_text(1, Plan), of_sound(2, Draft), of_text(3, Critique)]);
    assert_eq!(events[3..], [of_sound(4, Draft), of_text(5, Critique), of_sound(6, Final)]);
    assert_eq!(runner.record().turns.len(), 3, "every hearing begins a turn");
    assert_eq!(runner.record().chain, Some(runner.chain()));
    let steps: usize = frames(runner.record()).iter().map(Vec::len).sum();
    assert_eq!(runner.usage().steps, steps);
    assert_eq!(runner.stage(), None);
}

#[test]
fn a_chain_resumes_at_any_segment_as_if_it_had_never_stopped() {
    skip_without_fixtures!();
    let model = model();
    let reflect = chain(ReasoningMode::Reflect, 1, true);
    let mut whole = begin(&model, reflect, options()).unwrap();
    let expected = finish(&mut whole);
    let written = whole.record().to_json().unwrap();
    assert!(
        !["begins", "by_prompt", "request"].iter().any(|field| written.contains(field)),
        "of chains by prompt alone"
    );
    let record = Record::from_json(written.as_bytes()).unwrap();
    for number in 1..=4 {
        let index = whole.stages().index_of(number).unwrap();
        let mut resumed = resume(&model, reflect, &record, index).unwrap();
        assert_eq!((resumed.next_index(), resumed.seed()), (index, 5));
        assert_eq!(finish(&mut resumed), expected, "segment {number}");
    }
    let mut longer = resume(&model, reflect.rounds(2), &record, 1).unwrap();
    assert_eq!(finish(&mut longer)[..2], expected[..2]);

    assert!(invalid(resume(&model, reflect, &record, 2)).contains("resumes at a segment or at an answer"));
    assert!(invalid(resume(&model, chain(ReasoningMode::Dialogue, 0, false), &record, 2)).contains("differs"));
    assert!(invalid(resume(&model, reflect, &record, 5)).contains("resumes at a segment"));
    let mut plain = record;
    plain.chain = None;
    assert!(invalid(resume(&model, reflect, &plain, 0)).contains("not of a chain"));
}

#[test]
fn a_question_awaits_its_answer() {
    skip_without_fixtures!();
    let model = model();
    let dialogue = chain(ReasoningMode::Dialogue, 0, false);
    let mut runner = begin(&model, dialogue, options()).unwrap();
    assert!(invalid(runner.answer(Message::text("early"))).contains("no question"));
    for _ in 0..2 {
        assert!(matches!(runner.run(|_| Ok(())).unwrap(), ChainStep::Question));
        assert_eq!((runner.stage(), runner.record().turns.len()), (Some(Stage::Answer), 1));
    }
    let asked = runner.record().clone();
    runner.answer(Message::text("on tin")).unwrap();
    assert!(invalid(runner.answer(Message::text("again"))).contains("no question"));
    let whole = finish(&mut runner);
    assert_eq!((whole.len(), runner.record().turns.len()), (3, 2));
    assert_eq!(runner.record().turns[1].messages[0].text.as_deref(), Some("on tin"));

    // the answer may be given in a later session
    let mut resumed = resume(&model, dialogue, &asked, 1).unwrap();
    resumed.answer(Message::text("on tin")).unwrap();
    assert_eq!(finish(&mut resumed), whole);
}

#[test]
fn a_plan_is_given_or_replaced() {
    skip_without_fixtures!();
    let model = model();
    let enrich = chain(ReasoningMode::Enrich, 0, false);
    let mut given = begin(&model, enrich, options().plan(PLAN.to_owned())).unwrap();
    let whole = finish(&mut given);
    assert_eq!(given.plan(), Some(PLAN));

    let mut replaced = begin(&model, enrich, options()).unwrap();
    replaced.advance(|_| Ok(())).unwrap();
    assert_ne!(replaced.plan(), Some(PLAN));
    replaced.set_plan(PLAN).unwrap();
    assert_eq!(finish(&mut replaced), whole);
    assert!(invalid(replaced.set_plan(PLAN)).contains("neither the next segment nor the last"));

    let mut early = begin(&model, enrich, options()).unwrap();
    early.set_plan(PLAN).unwrap();
    assert_eq!(finish(&mut early), whole);

    let options = options().plan(PLAN.to_owned());
    assert!(invalid(begin(&model, chain(ReasoningMode::Dialogue, 0, false), options)).contains("not a plan"));
}

#[test]
fn the_best_take_ends_the_chain() {
    skip_without_fixtures!();
    let model = model();
    let enrich = chain(ReasoningMode::Enrich, 0, false);
    let several = options().takes(3).best(true).plan(PLAN.to_owned());
    let mut runner = begin(&model, enrich, several).unwrap();
    assert!(runner.takes().at_once() > 1);
    runner.advance(|_| Ok(())).unwrap();
    let mut ended = Vec::new();
    let mut listened = Vec::new();
    let step = runner.advance(|event| {
        match event {
            TakeEvent::SegmentEnded { position, segment, .. } => ended.push((position.take, segment.tokens.clone())),
            TakeEvent::Ranked(ranked) => listened.push(ranked.take),
            _ => {}
        }
        Ok(())
    });
    let ChainStep::Segment(made) = step.unwrap() else { panic!("no segment") };
    assert!(made.stop.is_none());
    assert_eq!(listened, [0, 1, 2]);
    assert_eq!((runner.ranking().len(), made.position.take), (3, runner.ranking()[0].take));
    ended.sort_by_key(|(take, _)| *take);
    assert_eq!(ended[made.position.take].1, made.segment.tokens);
    for (take, frames) in &ended {
        let alone = options().seed(5 + *take as u64).plan(PLAN.to_owned());
        let mut alone = begin(&model, enrich, alone).unwrap();
        finish(&mut alone);
        assert_eq!(alone.record().turns[0].segments[1].tokens, *frames, "take {take} is what its seed makes alone");
    }
}

#[test]
fn an_interrupted_chain_keeps_its_segments_and_resumes() {
    skip_without_fixtures!();
    let model = model();
    let enrich = chain(ReasoningMode::Enrich, 0, false);
    let mut whole = begin(&model, enrich, options()).unwrap();
    let expected = finish(&mut whole);
    let mut runner = begin(&model, enrich, options()).unwrap();
    let cancel = Cancel::new();
    runner.set_cancel(&cancel);
    runner.advance(|_| Ok(())).unwrap();
    let step = runner.run(|event| {
        if matches!(event, TakeEvent::AudioProgress(..)) {
            cancel.cancel();
        }
        Ok(())
    });
    let ChainStep::Segment(made) = step.unwrap() else { panic!("no segment") };
    assert!(matches!(made.stop, Some(ChainStop::Cancelled)));
    assert_eq!((made.segment.end, made.segment.tokens.len()), (SegmentEnd::Cancelled, 1));
    assert_eq!(frames(runner.record())[1], expected[1][..1], "the record has the frame that was made");
    runner.set_cancel(&Cancel::new());
    assert!(invalid(runner.advance(|_| Ok(()))).contains("resume it from its record"));
    assert_eq!(finish(&mut resume(&model, enrich, runner.record(), 1).unwrap()), expected);

    // a stage without segments can be run again
    let mut runner = begin(&model, enrich, options()).unwrap();
    let stopped = Cancel::new();
    stopped.cancel();
    runner.set_cancel(&stopped);
    let error = runner.advance(|_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "stopped on request; nothing was made yet");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    runner.set_cancel(&Cancel::new());
    assert_eq!(finish(&mut runner), expected);
}

#[test]
fn an_error_of_the_caller_ends_a_stage() {
    skip_without_fixtures!();
    let mut runner = begin(&model(), chain(ReasoningMode::Enrich, 0, false), options()).unwrap();
    let error = runner.advance(|_| Err(Error::new(ErrorKind::Io, "the line is gone"))).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "the line is gone"));
    assert_eq!(runner.record().turns[0].segments.len(), 0);
}

/// The takes of a prompt that `runner` makes.
fn takes(runner: &mut TakeRunner, config: &GenerationConfig, count: usize) -> Vec<Vec<Segment>> {
    let model = runner.session().model().clone();
    let messages = [Message::text("rain")];
    let prompt = model.prompt(&messages).unwrap();
    let mut record = Record::new(model.package());
    record.begin_turn(&messages, &prompt, config);
    let checkpoint = runner.session_mut().checkpoint(&prompt).unwrap();
    let takes = runner.make(&checkpoint, &record, config, count, |_| Ok(())).unwrap();
    for (index, take) in takes.iter().enumerate() {
        assert_eq!((take.index, take.is_whole()), (index, true));
        assert_eq!(frames(&take.record).len(), take.segments.len());
        assert!(take.segments.iter().all(|segment| segment.draws.seed == config.seed + index as u64));
    }
    takes.into_iter().map(|take| take.segments).collect()
}

#[test]
fn takes_are_the_same_one_by_one_at_once_and_in_an_engine_of_the_caller_s() {
    skip_without_fixtures!();
    let model = model();
    let mut config = model.config().only(Modality::Audio);
    drawn(&mut config);
    let shown = |takes: Vec<Vec<Segment>>| -> Vec<_> {
        takes.into_iter().flatten().map(|segment| (segment.tokens, segment.audio)).collect()
    };
    let prompt = model.prompt(&[Message::text("rain")]).unwrap();
    let mut at_once = TakeRunner::for_prompt(&model, 3, &prompt, &config).unwrap();
    assert_eq!(at_once.at_once(), 3);
    let expected = shown(takes(&mut at_once, &config, 3));
    assert_eq!(at_once.usage().prompt_positions, prompt.len(), "the takes share their prompt");
    assert_eq!(shown(takes(&mut TakeRunner::in_session(model.session(), 1), &config, 3)), expected);
    let engine = Engine::new(&model, &EngineOptions::default().slots(4)).unwrap();
    assert_eq!(shown(takes(&mut TakeRunner::in_session(engine.session().unwrap(), 2), &config, 3)), expected);

    // a reply of several segments is also a take
    config = config.force([Modality::Text, Modality::Audio]).max_segments(2).insist(true);
    let replies = takes(&mut TakeRunner::new(&model, 2).unwrap(), &config, 2);
    assert!(replies.iter().all(|segments| segments.len() == 2));
}

#[test]
fn takes_that_are_stopped_keep_their_segments() {
    skip_without_fixtures!();
    let model = model();
    let cancel = Cancel::new();
    let mut config = model.config().only(Modality::Audio);
    drawn(&mut config);
    config.audio.min_steps = 10;
    let prompt = model.prompt(&[Message::text("rain")]).unwrap();
    let mut runner = TakeRunner::in_session(model.with_cancel(&cancel).session(), 1);
    let checkpoint = runner.session_mut().checkpoint(&prompt).unwrap();
    let record = Record::new(model.package());
    let mut progress = 0;
    let takes = runner.make(&checkpoint, &record, &config, 4, |event| {
        if matches!(event, TakeEvent::AudioProgress(position, _) if position.take == 1) {
            progress += 1;
            if progress == 3 {
                cancel.cancel();
            }
        }
        Ok(())
    });
    let takes = takes.unwrap();
    assert_eq!((takes.len(), takes[0].is_whole(), takes[1].is_whole()), (2, true, false), "no other is begun");
    assert_eq!((takes[1].end(), takes[1].segments[0].tokens.len()), (Some(SegmentEnd::Cancelled), 3));
    let nothing = runner.make(&checkpoint, &record, &config, 2, |_| Ok(())).unwrap_err();
    assert_eq!(nothing.to_string(), "stopped on request; nothing was made yet");
    assert!(invalid(runner.make(&checkpoint, &record, &config, 0, |_| Ok(()))).contains("0 takes"));

    let expected = Expected::of("rain");
    runner.session_mut().set_cancel(&Cancel::new());
    let (ranked, failure) = runner.rank(&takes, Modality::Audio, &expected, |_| Ok(())).unwrap();
    assert_eq!((ranked.len(), failure.is_none()), (2, true));
    runner.session_mut().set_cancel(&cancel);
    let (ranked, failure) = runner.rank(&takes, Modality::Audio, &expected, |_| Ok(())).unwrap();
    assert_eq!((ranked.len(), failure.unwrap().kind()), (0, ErrorKind::Cancelled));
}
