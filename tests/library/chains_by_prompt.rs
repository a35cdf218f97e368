//! Chains by prompt: every stage is a separate request.

use std::sync::LazyLock;

use tempfile::TempDir;
use ualm::{
    Cancel, Chain, ChainOptions, ChainRunner, ChainStep, ChainStop, ErrorKind, GenerationConfig, Message, Modality,
    Model, ReasoningMode, Record, Result, SegmentEnd, Stage, StageCost, TakeEvent, TakeRunner, Wording,
};
use ualm_testing::{model, package_by_prompt, skip_without_fixtures};

const PLAN: &str = "Keywords: rain. Layout: 0-0.1 rain. Description: It rains.";

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let model = Model::load(package_by_prompt(&folder.path().join("package"))).unwrap();
    // graphs are loaded on first use
    model.load_all().unwrap();
    model
});

fn drawn(config: &mut GenerationConfig) {
    config.audio.temperature = 1.0;
    config.audio.max_steps = 20;
}

fn options<'a>() -> ChainOptions<'a> {
    ChainOptions::default().seed(5).settings(drawn)
}

fn chain(mode: ReasoningMode, rounds: usize) -> Chain {
    MODEL.reasoning().changed(MODEL.reasoning().chain(), Some(mode), Some(rounds), None)
}

fn begin<'a>(chain: Chain, options: ChainOptions<'a>) -> Result<ChainRunner<'a>> {
    let takes = TakeRunner::new(&MODEL, options.takes)?;
    ChainRunner::begin(takes, chain, "rain", options)
}

fn resume<'a>(chain: Chain, record: &Record, index: usize, options: ChainOptions<'a>) -> Result<ChainRunner<'a>> {
    ChainRunner::resume(TakeRunner::new(&MODEL, 1)?, chain, record, index, options)
}

fn finish(runner: &mut ChainRunner) -> Record {
    assert!(matches!(runner.run(|_| Ok(())).unwrap(), ChainStep::Finished));
    runner.record().clone()
}

/// The prompts and the segments of a record.
fn tokens(record: &Record) -> Vec<Vec<Vec<u32>>> {
    let lists = |tokens: &ualm::Tokens| tokens.iter().map(<[_]>::to_vec).collect();
    let turns = record.turns.iter();
    turns.flat_map(|turn| [lists(turn.prompt.tokens()), lists(&turn.segments[0].tokens)]).collect()
}

/// Returns the record, written and parsed again.
fn read_again(record: &Record) -> Record {
    Record::from_json(record.to_json().unwrap().as_bytes()).unwrap()
}

fn said(record: &Record, turn: usize) -> &str {
    record.turns[turn].messages.last().unwrap().text.as_deref().unwrap()
}

fn invalid(result: Result<impl Sized>) -> String {
    let Err(error) = result else { panic!("expected a refusal") };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

#[test]
fn every_stage_is_a_separate_request() {
    skip_without_fixtures!();
    use Stage::{Critique, Description, Draft, Final, Plan};
    let mut runner = begin(chain(ReasoningMode::Reflect, 2), options()).unwrap();
    assert!(runner.chain().by_prompt);
    let mut stages = Vec::new();
    let mut costs: Vec<StageCost> = Vec::new();
    loop {
        let step = runner.advance(|event| {
            if let TakeEvent::StageStarted(cost) = event {
                costs.push(cost);
            }
            Ok(())
        });
        match step.unwrap() {
            ChainStep::Segment(made) => stages.push((made.position.number, made.position.stage.unwrap())),
            ChainStep::Finished => break,
            step => panic!("{step:?}"),
        }
    }
    let expected = [Plan, Draft, Description, Critique, Draft, Description, Critique, Final];
    assert_eq!(stages, (1..).zip(expected).collect::<Vec<_>>());
    assert_eq!(costs.iter().map(|cost| cost.stage).collect::<Vec<_>>(), expected);
    assert_eq!((costs[0].steps, costs[0].seconds), (12, None));
    assert!(costs[1..].iter().all(|cost| cost.seconds.is_some_and(|seconds| seconds > 0.0)));

    let record = runner.record();
    assert_eq!(record.turns.len(), 8);
    let begins: Vec<_> = record.turns.iter().map(|turn| turn.begins).collect();
    assert_eq!(begins, [false, true, true, true, true, true, true, true]);
    let text = |turn: usize| record.turns[turn].segments[0].text.trim();
    assert!(said(record, 0).starts_with("Plan a sound of at most ten seconds from these words: rain\nWrite"));
    assert_eq!(said(record, 1), text(0), "a plan that is no rich caption is what is asked for");
    assert_eq!((said(record, 2), record.turns[2].messages.len()), ("Describe the audio.", 2));
    assert!(
        said(record, 3).contains(text(0)) && said(record, 3).contains(text(2)),
        "plan and description are compared"
    );
    assert_eq!(record.request.as_ref().unwrap().words, "rain");
    assert_eq!(record.turns[1].config.force, [Modality::Audio]);
}

#[test]
fn a_chain_resumes_at_any_stage_as_if_it_had_never_stopped() {
    skip_without_fixtures!();
    let reflect = chain(ReasoningMode::Reflect, 1);
    let whole = read_again(&finish(&mut begin(reflect, options()).unwrap()));
    let expected = tokens(&whole);
    for index in 0..5 {
        let mut resumed = resume(reflect, &whole, index, options().seed(None)).unwrap();
        assert_eq!((resumed.next_index(), resumed.seed()), (index, 5));
        assert_eq!(tokens(&finish(&mut resumed)), expected, "stage {index}");

        // a chain that was interrupted between two stages has no prompt of the next stage
        let mut before = whole.clone();
        before.turns.truncate(index);
        let mut resumed = resume(reflect, &before, index, options()).unwrap();
        assert_eq!(tokens(&finish(&mut resumed)), expected, "before stage {index}");
    }
    let mut longer = resume(chain(ReasoningMode::Reflect, 2), &whole, 4, options()).unwrap();
    assert_eq!(tokens(&finish(&mut longer))[..8], expected[..8]);
    let mut short = whole.clone();
    short.turns.truncate(1);
    assert!(invalid(resume(reflect, &short, 2, options())).contains("does not reach segment 3"));
    assert!(invalid(resume(reflect, &whole, 5, options())).contains("resumes at a segment"));
    short.request = None;
    assert!(invalid(resume(reflect, &short, 1, options())).contains("lacks the words"));
}

#[test]
fn a_session_goes_on_in_the_last_conversation_alone() {
    skip_without_fixtures!();
    let record = finish(&mut begin(chain(ReasoningMode::Enrich, 1), options()).unwrap());
    let mut session = MODEL.session();
    session.restore_turns(&record, 2).unwrap();
    let of_both = session.position();
    let mut alone = record.clone();
    alone.turns.remove(0);
    session.restore_turns(&alone, 1).unwrap();
    assert_eq!(of_both, session.position(), "the turn before it is not in its context");
}

#[test]
fn an_answer_is_kept_with_the_plan() {
    skip_without_fixtures!();
    let dialogue = chain(ReasoningMode::Dialogue, 1);
    let mut runner = begin(dialogue, options()).unwrap();
    assert!(matches!(runner.run(|_| Ok(())).unwrap(), ChainStep::Question));
    let asked = read_again(runner.record());
    let sound = ualm::audio::Waveform::mono(vec![0.1; 1600], 16_000).unwrap();
    assert!(invalid(runner.answer(Message::audio(sound))).contains("transcribe the recording first"));
    runner.answer(Message::text("on tin")).unwrap();
    let whole = read_again(&finish(&mut runner));
    assert_eq!(whole.turns.len(), 3);
    assert_eq!(whole.turns[1].messages[0].text.as_deref(), Some("on tin"));
    let question = whole.turns[0].segments[0].text.trim();
    assert!(said(&whole, 1).contains(&format!("You asked: {question}\nThe answer was: on tin\n")));

    assert!(invalid(resume(dialogue, &asked, 2, options())).contains("resume at the answer"));
    let enriched = finish(&mut resume(chain(ReasoningMode::Enrich, 1), &whole, 0, options()).unwrap());
    assert!(!said(&enriched, 0).contains("on tin") && enriched.turns[0].messages.len() == 1, "nobody asks");

    // the answer may be given in a later session
    let mut resumed = resume(dialogue, &asked, 1, options()).unwrap();
    resumed.answer(Message::text("on tin")).unwrap();
    assert_eq!(tokens(&finish(&mut resumed)), tokens(&whole));
    // another wording finds the answer's words
    let wording = Wording::from_json(r#"{"plan": "{words} {answer}", "final": "{answer}!"}"#).unwrap();
    let mut resumed = resume(dialogue, &whole, 2, options().wording(wording)).unwrap();
    let other = finish(&mut resumed);
    assert_eq!((said(&other, 1), said(&other, 2)), ("rain on tin", "on tin!"));
}

#[test]
fn a_plan_is_given_replaced_and_described() {
    skip_without_fixtures!();
    let enrich = chain(ReasoningMode::Enrich, 1);
    let mut given = begin(enrich, options().plan(PLAN.to_owned())).unwrap();
    let whole = finish(&mut given);
    assert_eq!((given.plan(), said(&whole, 1)), (Some(PLAN), "It rains."));
    assert_eq!(whole.turns[0].segments[0].end, SegmentEnd::Eos);

    let mut replaced = begin(enrich, options()).unwrap();
    replaced.advance(|_| Ok(())).unwrap();
    assert_ne!(replaced.plan(), Some(PLAN));
    replaced.set_plan(PLAN).unwrap();
    assert_eq!(tokens(&finish(&mut replaced)), tokens(&whole));

    // the prompt of the next stage has run already
    let mut late = begin(enrich, options()).unwrap();
    late.advance(|_| Ok(())).unwrap();
    let cancel = Cancel::new();
    late.set_cancel(&cancel);
    late.advance(|event| {
        if matches!(event, TakeEvent::StageStarted(_)) {
            cancel.cancel();
        }
        Ok(())
    })
    .unwrap_err();
    late.set_cancel(&Cancel::new());
    late.set_plan(PLAN).unwrap();
    let cost = late.cost().unwrap();
    assert_eq!((cost.stage, cost.steps), (Stage::Plan, MODEL.text_tokens(PLAN).unwrap().len() + 1));
    assert_eq!(tokens(&finish(&mut late)), tokens(&whole));

    let mut costs = begin(enrich, options().plan(PLAN.to_owned())).unwrap();
    costs.advance(|_| Ok(())).unwrap();
    let cost = costs.cost().unwrap();
    assert_eq!((cost.steps, cost.expected_steps), (20, 13), "5 frames, 7 to run out, and the end");
}

#[test]
fn the_wording_is_data() {
    skip_without_fixtures!();
    let wording = Wording::from_json(r#"{"plan": "Say {words}.", "draft": "{plan}"}"#).unwrap();
    let enrich = chain(ReasoningMode::Enrich, 1);
    let record = read_again(&finish(&mut begin(enrich, options().wording(wording)).unwrap()));
    assert_eq!(said(&record, 0), "Say rain.");
    // the record keeps it
    let mut again = resume(chain(ReasoningMode::Reflect, 1), &record, 0, options()).unwrap();
    assert_eq!(said(&finish(&mut again), 0), "Say rain.");

    let nothing = Wording::from_json(r#"{"plan": "{heard}"}"#).unwrap();
    assert!(invalid(begin(enrich, options().wording(nothing))).contains("the wording of plan gives no text"));

    let folder = TempDir::new().unwrap();
    let package = package_by_prompt(&folder.path().join("package"));
    let stages = |stages: serde_json::Value| {
        ualm_testing::change_manifest(&package, |manifest| {
            manifest["reasoning"] = serde_json::json!({"stages": stages})
        });
        Model::load(&package)
    };
    let error = stages(serde_json::json!({"plan": "{wrods}"})).err().unwrap();
    assert!(error.full_message().contains("the wording of plan: {wrods}; expected one of {words}"), "{error}");
    let error = stages(serde_json::json!({"answer": "{words}"})).err().unwrap();
    assert!(error.full_message().contains("expected one of question, plan"), "{error}");
    let model = stages(serde_json::json!({"plan": "Of the package: {words}"})).unwrap();
    let takes = TakeRunner::new(&model, 1).unwrap();
    let runner = ChainRunner::begin(takes, model.reasoning().chain(), "rain", options()).unwrap();
    assert_eq!(said(runner.record(), 0), "Of the package: rain");
}

#[test]
fn the_best_take_ends_the_chain() {
    skip_without_fixtures!();
    let enrich = chain(ReasoningMode::Enrich, 1);
    let mut runner = begin(enrich, options().takes(3).best(true).plan(PLAN.to_owned())).unwrap();
    assert_eq!(runner.takes().at_once(), 3);
    let record = finish(&mut runner);
    assert_eq!(runner.ranking().len(), 3);
    let seed = 5 + runner.ranking()[0].take as u64;
    let mut alone = begin(enrich, options().seed(seed).plan(PLAN.to_owned())).unwrap();
    assert_eq!(tokens(&finish(&mut alone)), tokens(&record));
}

#[test]
fn an_interrupted_stage_is_kept_and_made_again() {
    skip_without_fixtures!();
    let reflect = chain(ReasoningMode::Reflect, 1);
    let expected = tokens(&finish(&mut begin(reflect, options()).unwrap()));
    let mut runner = begin(reflect, options()).unwrap();
    let cancel = Cancel::new();
    runner.set_cancel(&cancel);
    let step = runner.run(|event| {
        if matches!(event, TakeEvent::AudioProgress(..)) {
            cancel.cancel();
        }
        Ok(())
    });
    let ChainStep::Segment(made) = step.unwrap() else { panic!("no segment") };
    assert!(matches!(made.stop, Some(ChainStop::Cancelled)));
    assert_eq!(runner.record().turns.len(), 2);
    let record = read_again(runner.record());
    assert_eq!(tokens(&finish(&mut resume(reflect, &record, 1, options()).unwrap())), expected);
}

#[test]
fn limits_stop_a_chain() {
    skip_without_fixtures!();
    let mut limits = ualm::Limits::default();
    limits.steps = 8;
    let model = MODEL.with_limits(limits);
    let takes = TakeRunner::new(&model, 1).unwrap();
    let begun = ChainRunner::begin(takes, chain(ReasoningMode::Enrich, 1), "rain", options());
    let error = begun.unwrap().advance(|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

/// Every stage of Audex, few steps of each.
fn short(config: &mut GenerationConfig) {
    for modality in [Modality::Text, Modality::Audio] {
        let segment = config.segment_mut(modality);
        segment.max_steps = 33;
        segment.min_steps = 12;
    }
}

#[test]
fn audex_reasons_by_prompt() {
    skip_without_fixtures!();
    let model = model("tiny-audex-fp32");
    let chain = Chain::new(ReasoningMode::Reflect);
    let options = || ChainOptions::default().seed(3).settings(short);
    let takes = || TakeRunner::new(&model, 2).unwrap();
    let mut runner = ChainRunner::begin(takes(), chain, "rain", options().takes(2).best(true)).unwrap();
    let whole = read_again(&finish(&mut runner));
    assert_eq!((whole.turns.len(), runner.ranking().len()), (5, 2));
    assert!(whole.turns[4].prompt.modality() == Modality::Audio && !whole.turns[2].prompt.features().is_empty());
    for index in 0..4 {
        let resumed = ChainRunner::resume(takes(), chain, &whole, index, options());
        let again = finish(&mut resumed.unwrap());
        assert_eq!(tokens(&again)[..8], tokens(&whole)[..8], "stage {index}");
    }
}
