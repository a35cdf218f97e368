//! `batch`: a file of requests, one JSON object a line, to a file of results and the sounds beside it (`docs/batch.md`).

mod merge;
mod names;
mod outcome;
mod request;
mod results;
mod runner;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use ualm::{Error, ErrorKind, Model, Result};

use crate::args::{Batch, BatchCommand, BatchRun, Common};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::note;
use crate::progress::Progress;
use crate::setup::load_model;
#[cfg(feature = "internal")]
pub use request::lines_of;
use request::{Line, read_requests};
use results::{Keep, Results, Settings};
use runner::Runner;

/// `ualm batch`.
pub fn run(common: &Common, args: &Batch) -> Result<()> {
    match &args.command {
        Some(BatchCommand::Merge(merge)) => merge::run(common, merge),
        None => answer_all(common, &args.run),
    }
}

fn answer_all(common: &Common, args: &BatchRun) -> Result<()> {
    let (Some(path), Some(out)) = (&args.requests, &args.out) else {
        return Err(Error::new(ErrorKind::Invalid, "a file of requests and --out DIR are needed"));
    };
    let requests = read_requests(path, args.shard)?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let keep = match (args.restart, args.retry_failed) {
        (true, _) => Keep::None,
        (_, true) => Keep::Answered,
        _ => Keep::All,
    };
    let mut results = Results::open(out, args.shard, &settings(&model, args), &requests, keep, common)?;
    if results.done() > 0 {
        note(common, &format!("{} of {} requests have their results already", results.done(), requests.len()));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let runner = Runner { model, base, out, args, cancel };
    answer_rest(common, &runner, &requests, &mut results)?;
    results.finish()?;
    let (count, failed, path) = (requests.len(), results.failed(), results.path().display());
    note(common, &format!("{count} requests, {failed} failed: {path}"));
    match failed {
        0 => Ok(()),
        _ => {
            let what =
                format!("{failed} of {count} requests failed; their results say why, --retry-failed tries again");
            Err(Error::new(ErrorKind::Io, what))
        }
    }
}

fn settings(model: &Model, args: &BatchRun) -> Settings {
    Settings { package: model.package().sha256().to_owned(), frames: args.frames, float: args.float }
}

/// Answers what has no result yet, by as many workers as are asked for; each result is written as soon as it is there.
fn answer_rest(common: &Common, runner: &Runner, requests: &[Line], results: &mut Results) -> Result<()> {
    let rest: Vec<_> = (0..requests.len()).filter(|index| !results.is_done(*index)).collect();
    let progress =
        if runner.args.show { Progress::hidden() } else { Progress::items(common, rest.len() as u64, "requests") };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = |sender: mpsc::SyncSender<_>| {
        while let Some(index) = rest.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = runner.answer(&requests[*index]);
            let stops = answer.is_err();
            if sender.send((*index, answer)).is_err() || stops {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..runner.args.workers {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let written = receiver.iter().try_for_each(|(index, answer)| {
            results.add(index, &answer?)?;
            progress.item();
            Ok(())
        });
        drop(receiver); // those who still work find no one to give their answers to
        progress.clear();
        written.map_err(|error: Error| match error.kind() {
            ErrorKind::Cancelled => {
                interrupted(&format!("finished results are in {}; the same command goes on", results.path().display()))
            }
            _ => error.context("stopped; the same command goes on where it was"),
        })
    })
}
