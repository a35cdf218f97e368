//! `batch merge`: the results of all shards in one file, if every request has exactly one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use ualm::internal::{counted, write_whole, write_whole_with};
use ualm::{Error, ErrorKind, Result};

use super::request::{Line, read_requests};
use super::results::{Finder, Settings, copy_range, names, scan, settings_beside};
use crate::args::{BatchMerge, Common, Shard};
use crate::output::{note, print_json};

/// The maximum number of faults of each kind to list.
const MAX_NAMED: usize = 20;

/// The report of a merge (`--json`).
#[derive(Default, Serialize)]
struct Report {
    requests: usize,
    failed: usize,
    /// Requests without a result.
    missing: Vec<String>,
    /// Requests with more than one result.
    doubled: Vec<String>,
    /// Missing sounds of results.
    lost: Vec<String>,
    /// Results of unknown or changed requests, by file and line.
    foreign: Vec<String>,
}

/// A result, by its byte range in one of the files.
struct Found {
    file: usize,
    range: Range<u64>,
    failed: bool,
    sounds: Vec<String>,
}

/// `ualm batch merge`.
pub fn run(common: &Common, args: &BatchMerge) -> Result<()> {
    let requests = read_requests(&args.requests, None)?;
    let target = args.out.join(names(None).0);
    let from = if args.from.is_empty() { std::slice::from_ref(&args.out) } else { &args.from };
    let files = result_files(from)?;
    let settings = common_settings(&files)?;
    let (found, report) = gather(&requests, &files)?;
    if common.json {
        print_json(&report)?;
    }
    report.check()?;
    fs::create_dir_all(&args.out).map_err(|e| failed(&args.out, e))?;
    copy_sounds(&found, &files, &args.out)?;
    let sources = files.iter().map(File::open).collect::<Result<Vec<_>, _>>().map_err(|e| failed(&target, e))?;
    // Windows does not replace open files, and the target may be one of the sources: the closure closes them before the
    // rename
    write_whole_with(&target, |to| {
        let mut sources = sources;
        found.values().try_for_each(|found| copy_range(&mut sources[found.file], &found.range, to))
    })?;
    if let Some(settings) = settings {
        write_whole(settings_beside(&target), (crate::output::to_json(&settings)? + "\n").as_bytes())?;
    }
    let what = format!("{}, each with one result, {} failed", counted(report.requests, "request"), report.failed);
    note(common, &format!("{what}: {}", target.display()));
    Ok(())
}

/// Collects the result of each request, by the index of the request, and reports all faults.
fn gather(requests: &[Line], files: &[PathBuf]) -> Result<(BTreeMap<usize, Found>, Report)> {
    let finder = Finder::new(requests);
    let mut report = Report { requests: requests.len(), ..Report::default() };
    let mut found = BTreeMap::new();
    for (file, path) in files.iter().enumerate() {
        for (line, (range, written)) in scan(path)?.into_iter().enumerate() {
            let Some((index, written)) = written.and_then(|written| Some((finder.find(&written)?, written))) else {
                report.foreign.push(format!("{}:{}", path.display(), line + 1));
                continue;
            };
            let sounds: Vec<_> = written.sounds().map(str::to_owned).collect();
            let lost = sounds.iter().map(|name| sound(path, name)).filter(|path| !path.is_file());
            report.lost.extend(lost.map(|path| path.display().to_string()));
            if found.insert(index, Found { file, range, failed: written.failed(), sounds }).is_some() {
                report.doubled.push(requests[index].key.to_string());
            }
        }
    }
    let missing = requests.iter().enumerate().filter(|(index, _)| !found.contains_key(index));
    report.missing = missing.map(|(_, line)| line.key.to_string()).collect();
    report.failed = found.values().filter(|found| found.failed).count();
    Ok((found, report))
}

impl Report {
    fn check(&self) -> Result<()> {
        let wrong: Vec<_> = [
            ("requests without a result", &self.missing),
            ("requests with more than one result", &self.doubled),
            ("sounds that are missing", &self.lost),
            ("results of no request in the file", &self.foreign),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| {
            let more = names.len().saturating_sub(MAX_NAMED);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} {what}: {}{rest}", names.len(), names[..names.len() - more].join(", "))
        })
        .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Io,
                format!("the results are incomplete, and nothing was merged: {}", wrong.join("; ")),
            ))
        }
    }
}

/// Returns the result files in `from`: files as they are, and for each folder the files of its shards, or else
/// `results.jsonl`.
fn result_files(from: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in from {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|e| failed(path, e))?.flatten();
        let mut shards: Vec<_> = entries.map(|entry| entry.path()).filter(|path| is_shard(path)).collect();
        shards.sort();
        files.extend(if shards.is_empty() { vec![path.join(names(None).0)] } else { shards });
    }
    Ok(files)
}

fn is_shard(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let shard = name.strip_prefix("results.").and_then(|rest| rest.strip_suffix(".jsonl"));
    shard.is_some_and(|shard| shard.replacen("-of-", "/", 1).parse::<Shard>().is_ok())
}

/// Returns the settings of the files, which must be equal; files without settings are ignored.
fn common_settings(files: &[PathBuf]) -> Result<Option<Settings>> {
    let mut common: Option<(&Path, Settings)> = None;
    for path in files {
        let beside = settings_beside(path);
        let text = match fs::read_to_string(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // on Windows a locked file cannot be read
                return Err(failed(&beside, error).context("the run that writes it may still be in progress"));
            }
            read => read.unwrap_or_default(),
        };
        let Ok(settings) = serde_json::from_str::<Settings>(&text) else { continue };
        match &common {
            Some((first, found)) if *found != settings => {
                let what = "were made with different packages or flags, and cannot be merged";
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{} and {} {what}", first.display(), path.display()),
                ));
            }
            Some(_) => {}
            None => common = Some((path, settings)),
        }
    }
    Ok(common.map(|(_, settings)| settings))
}

fn sound(results: &Path, name: &str) -> PathBuf {
    results.with_file_name(name)
}

/// Copies the sounds from other folders into `out`.
fn copy_sounds(found: &BTreeMap<usize, Found>, files: &[PathBuf], out: &Path) -> Result<()> {
    let out = out.canonicalize().map_err(|e| failed(out, e))?;
    for found in found.values() {
        let folder =
            files[found.file].parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if folder.canonicalize().is_ok_and(|folder| folder == out) {
            continue;
        }
        for name in &found.sounds {
            let from = sound(&files[found.file], name);
            let bytes = fs::read(&from).map_err(|e| failed(&from, e))?;
            write_whole(out.join(name), &bytes)?;
        }
    }
    Ok(())
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: cannot be read or written", path.display())).with_source(error)
}
