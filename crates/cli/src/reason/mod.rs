//! `reason`: a chain of text and sound, shown as it is made, every segment saved as it ends (`docs/reply.md`).

mod editor;
mod folder;
mod runner;
mod show;
mod view;

use std::path::Path;

use ualm::internal::read_text;
use ualm::{Chain, Error, ErrorKind, ReasoningConfig, ReasoningMode, Record, Result, Stage, Wording};

use crate::args::{Common, Reason};
use crate::interrupt::cancel_on_signal;
use crate::output::warn;
use crate::setup::{load_model, read_words, seed};
use folder::Folder;
use runner::{Given, Job, Runner};

/// `ualm reason`.
pub fn run(common: &Common, args: &Reason) -> Result<()> {
    args.pictures.check()?;
    common.limits.check_takes(args.takes.takes)?;
    match (&args.from, &args.prompt) {
        (Some(from), _) => go_on(common, args, from),
        (None, Some(prompt)) => begin(common, args, prompt),
        (None, None) => Err(invalid("what to make is missing: give a prompt, or --from DIR/reply.json to go on")),
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

/// A new chain.
fn begin(common: &Common, args: &Reason, prompt: &str) -> Result<()> {
    let words = read_words(prompt)?;
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let wording = read_wording(args)?;
    let Some(output) = &args.output else {
        return Err(invalid("-o DIR is missing: the folder for the segments"));
    };
    let folder = Folder::begin(output)?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let config = model.reasoning();
    let chain = chain(args, &config, config.chain());
    check_wording(&wording, chain)?;
    if !chain.by_prompt && !config.is_trained_for(chain.mode) {
        let name = &model.manifest().name;
        warn(&format!("warning: {name:?} was not trained to reason like that; its segments are made in order anyway"));
    }
    let stages = chain.stages()?;
    if plan.is_some() && stages.first() != Some(&Stage::Plan) {
        return Err(invalid("--plan gives the plan that the chain begins with; a dialogue begins with a question"));
    }
    let seed = seed(&args.sampling, common)?;
    let job = Job { common, args, model: &model, cancel: &cancel };
    Runner::begin(job, folder, chain, &words, seed, Given { plan, wording })?.run()
}

/// A chain that goes on from one of its segments.
fn go_on(common: &Common, args: &Reason, from: &Path) -> Result<()> {
    if args.prompt.is_some() {
        return Err(invalid("the prompt of a chain that goes on is in its record: leave it out"));
    }
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let wording = read_wording(args)?;
    let record = Record::read(from)?;
    let beside = from.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let saved = record.chain.ok_or_else(|| invalid(format!("{}: the record of no chain", from.display())))?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let chain = chain(args, &model.reasoning(), saved);
    check_wording(&wording, chain)?;
    let stages = chain.stages()?;
    let number = args.segment.ok_or_else(|| invalid("--segment N is missing: where to go on, as its files say"))?;
    let index = stages.index_of(number.into())?;
    stages.check_begins_like(&saved.stages()?, index)?;
    if plan.is_some() && stages[index] != Stage::Plan {
        return Err(invalid("--plan gives the plan that the chain goes on with; name its segment with --segment"));
    }
    record.check(model.package()).map_err(|e| e.context(from.display()))?;
    let folder = match &args.output {
        Some(output) if output != beside => Folder::copied(beside, output, &stages, index)?,
        _ => Folder::at(beside),
    };
    let job = Job { common, args, model: &model, cancel: &cancel };
    Runner::resume(job, folder, chain, &record, index, Given { plan, wording })?.run()
}

/// Returns the chain that the arguments ask for, else `usual`.
fn chain(args: &Reason, config: &ReasoningConfig, usual: Chain) -> Chain {
    let mode = if args.enrich {
        Some(ReasoningMode::Enrich)
    } else if args.dialogue {
        Some(ReasoningMode::Dialogue)
    } else if args.reflect || args.listen || args.rounds.is_some() {
        Some(ReasoningMode::Reflect)
    } else {
        None
    };
    config.changed(usual, mode, args.rounds.map(usize::from), args.listen.then_some(true))
}

/// Reads the wording by hand; none if there is none.
fn read_wording(args: &Reason) -> Result<Wording> {
    let Some(path) = &args.prompts else { return Ok(Wording::default()) };
    Wording::from_json(&read_text(path)?).map_err(|e| e.context(path.display()))
}

/// Refuses a wording where nothing is worded.
fn check_wording(wording: &Wording, chain: Chain) -> Result<()> {
    if chain.by_prompt || wording.is_empty() {
        return Ok(());
    }
    Err(invalid("--prompts is for models that reason by prompt; this one makes its chains in one reply"))
}

/// A plan by hand.
fn read_plan(path: &Path) -> Result<String> {
    let plan = match path.to_str() {
        Some("-") => return read_words("-"),
        _ => read_text(path)?,
    };
    match plan.trim() {
        "" => Err(invalid(format!("{}: the plan is empty", path.display()))),
        plan => Ok(plan.to_owned()),
    }
}
