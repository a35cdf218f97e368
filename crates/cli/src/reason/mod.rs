//! `reason`: a chain of text and sound, each segment shown and saved as it is generated (`docs/reply.md`).

mod editor;
mod folder;
mod job;
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
use job::{Job, UserTexts};
use runner::Runner;

/// `ualm reason`.
pub fn run(common: &Common, args: &Reason) -> Result<()> {
    args.pictures.check()?;
    common.limits.check_takes(args.takes.takes)?;
    match (&args.from, &args.prompt) {
        (Some(from), _) => resume(common, args, from),
        (None, Some(prompt)) => begin(common, args, prompt),
        (None, None) => Err(invalid("a prompt is required, or --from DIR/reply.json to resume a chain")),
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

/// Begins a new chain.
fn begin(common: &Common, args: &Reason, prompt: &str) -> Result<()> {
    let words = read_words(prompt)?;
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let wording = read_wording(args)?;
    let Some(output) = &args.output else {
        return Err(invalid("-o DIR is required: the folder for the segments"));
    };
    let folder = Folder::begin(output)?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let config = model.reasoning();
    let chain = chain(args, &config, config.chain());
    check_wording(&wording, chain)?;
    if !chain.by_prompt && !config.is_trained_for(chain.mode) {
        let name = &model.manifest().name;
        warn(&format!(
            "warning: {name:?} was not trained for this mode of reasoning; its segments are generated in order anyway"
        ));
    }
    let stages = chain.stages()?;
    if plan.is_some() && stages.first() != Some(&Stage::Plan) {
        return Err(invalid(
            "--plan replaces the first segment, which is not a plan in this mode: a dialogue begins with a question",
        ));
    }
    let seed = seed(&args.sampling, common)?;
    let job = Job { common, args, model: &model, cancel: &cancel };
    Runner::begin(job, folder, chain, &words, seed, UserTexts { plan, wording })?.run()
}

/// Resumes a chain from one of its segments.
fn resume(common: &Common, args: &Reason, from: &Path) -> Result<()> {
    if args.prompt.is_some() {
        return Err(invalid("a resumed chain has its prompt in its record: leave the prompt out"));
    }
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let wording = read_wording(args)?;
    let record = Record::read(from)?;
    let beside = from.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let saved = record.chain.ok_or_else(|| invalid(format!("{}: not the record of a chain", from.display())))?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let chain = chain(args, &model.reasoning(), saved);
    check_wording(&wording, chain)?;
    let stages = chain.stages()?;
    let number = args.segment.ok_or_else(|| {
        invalid("--segment N is required: the first segment to make again, by the number of its file")
    })?;
    let index = stages.index_of(number.into())?;
    stages.check_begins_like(&saved.stages()?, index)?;
    if plan.is_some() && stages[index] != Stage::Plan {
        return Err(invalid("--plan replaces the plan: name the segment of the plan with --segment"));
    }
    record.check(model.package()).map_err(|e| e.context(from.display()))?;
    let folder = match &args.output {
        Some(output) if output != beside => Folder::copied(beside, output, &stages, index)?,
        _ => Folder::at(beside),
    };
    let job = Job { common, args, model: &model, cancel: &cancel };
    Runner::resume(job, folder, chain, &record, index, UserTexts { plan, wording })?.run()
}

/// Returns the chain that the arguments select, by default `default`.
fn chain(args: &Reason, config: &ReasoningConfig, default: Chain) -> Chain {
    let mode = if args.enrich {
        Some(ReasoningMode::Enrich)
    } else if args.dialogue {
        Some(ReasoningMode::Dialogue)
    } else if args.reflect || args.listen || args.rounds.is_some() {
        Some(ReasoningMode::Reflect)
    } else {
        None
    };
    config.changed(default, mode, args.rounds.map(usize::from), args.listen.then_some(true))
}

/// Reads the wording of `--prompts`, if given.
fn read_wording(args: &Reason) -> Result<Wording> {
    let Some(path) = &args.prompts else { return Ok(Wording::default()) };
    Wording::from_json(&read_text(path)?).map_err(|e| e.context(path.display()))
}

/// Refuses a wording for a chain that is not by prompt.
fn check_wording(wording: &Wording, chain: Chain) -> Result<()> {
    if chain.by_prompt || wording.is_empty() {
        return Ok(());
    }
    Err(invalid("--prompts is for models that reason by prompt; this model generates a chain in one reply"))
}

/// Reads the plan of `--plan`.
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
