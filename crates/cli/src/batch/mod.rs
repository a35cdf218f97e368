//! `batch`: runs a file of requests, one JSON object per line, and writes a file of results with the sounds beside it
//! (`docs/batch.md`).

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

use ualm::internal::counted;
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
        return Err(Error::new(ErrorKind::Invalid, "a file of requests and --out DIR are required"));
    };
    let requests = read_requests(path, args.shard)?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?.with_cancel(&cancel);
    let keep = if args.restart {
        Keep::None
    } else if args.retry_failed {
        Keep::Answered
    } else {
        Keep::All
    };
    let mut results = Results::open(out, args.shard, &settings(&model, args), &requests, keep, common)?;
    if results.done() > 0 {
        note(common, &format!("{} of {} requests already have results", results.done(), requests.len()));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let runner = Runner { model, base, out, args, cancel };
    answer_rest(common, &runner, &requests, &mut results)?;
    results.finish()?;
    let count = requests.len();
    let failed = results.failed();
    let path = results.path().display();
    note(common, &format!("{}, {failed} failed: {path}", counted(count, "request")));
    if failed == 0 {
        return Ok(());
    }
    let what =
        format!("{failed} of {count} requests failed; their results have the errors; --retry-failed runs them again");
    Err(Error::new(ErrorKind::Io, what))
}

fn settings(model: &Model, args: &BatchRun) -> Settings {
    Settings { package: model.package().sha256().to_owned(), frames: args.frames, float: args.samples.float }
}

/// Answers the requests without results on `--workers` threads, and writes each result as soon as it is made.
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
        drop(receiver); // makes the workers stop at their next result
        progress.clear();
        written.map_err(|error: Error| match error.kind() {
            ErrorKind::Cancelled => interrupted(&format!(
                "finished results are in {}; run the same command again to resume",
                results.path().display()
            )),
            _ => error.context("stopped; run the same command again to resume"),
        })
    })
}
