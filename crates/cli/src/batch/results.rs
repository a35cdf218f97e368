//! The results file: grows line by line, survives `kill -9`, and is sorted in the order of the requests at the end.
//!
//! The sounds of a result are synced to the disk before its line, and each line before the next. The last line of a
//! killed run may be incomplete; the next run drops it and answers the requests that have no line.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ualm::internal::{counted, remove_parts, write_whole_with};
use ualm::{Error, ErrorKind, Result};

use super::names::stem_of;
use super::outcome::{Outcome, Written};
use super::request::{Key, Line};
use crate::args::{Common, Shard};
use crate::output::{note, to_json, warn};

/// The settings that all results of a file share. Their file, beside the results, is locked while results are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The package's checksum.
    pub package: String,
    pub frames: bool,
    pub float: bool,
}

/// The results of a run.
pub struct Results {
    path: PathBuf,
    /// The line of each request's result.
    lines: Vec<Option<ResultLine>>,
    len: u64,
    /// The lock on the settings file.
    _lock: File,
}

/// A line of the file, by its byte range.
#[derive(Clone)]
struct ResultLine {
    range: Range<u64>,
    failed: bool,
}

/// Returns the names of a results file and of its settings file.
pub fn names(shard: Option<Shard>) -> (String, String) {
    let stem = shard.map_or_else(|| "results".into(), |shard| format!("results.{shard}"));
    (format!("{stem}.jsonl"), format!("{stem}.run.json"))
}

/// Returns the path of the settings file of a results file.
pub fn settings_beside(results: &Path) -> PathBuf {
    results.with_extension("run.json")
}

impl Results {
    /// Opens the results in `folder` for a run on `requests`. Existing results are kept if they were made with the same
    /// settings and `keep` includes them.
    pub fn open(
        folder: &Path,
        shard: Option<Shard>,
        settings: &Settings,
        requests: &[Line],
        keep: Keep,
        common: &Common,
    ) -> Result<Self> {
        let (name, settings_name) = names(shard);
        let path = folder.join(&name);
        let settings_path = folder.join(settings_name);
        fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
        let mut lock = lock(&settings_path)?;
        let sounds: HashSet<_> = requests.iter().map(|line| line.stem.as_str()).collect();
        remove_parts(folder, |part| part == name || sounds.contains(stem_of(part)))?;
        let same = read_settings(&mut lock).is_some_and(|found| found == *settings) && keep != Keep::None;
        if !same {
            set_aside(&path, common)?;
            write_settings(&mut lock, settings).map_err(|e| unwritable(&settings_path, e))?;
        }
        OpenOptions::new().append(true).create(true).open(&path).map_err(|e| unwritable(&path, e))?;
        let mut results = Self { path, lines: vec![None; requests.len()], len: 0, _lock: lock };
        results.keep(requests, keep, common)?;
        Ok(results)
    }

    /// Returns whether the request at `index` has a result.
    pub fn is_done(&self, index: usize) -> bool {
        self.lines[index].is_some()
    }

    /// Returns the number of requests with a result.
    pub fn done(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    /// Returns the number of failed results.
    pub fn failed(&self) -> usize {
        self.lines.iter().flatten().filter(|line| line.failed).count()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the results to keep, and removes all other lines from the file.
    fn keep(&mut self, requests: &[Line], keep: Keep, common: &Common) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let finder = Finder::new(requests);
        let mut torn = 0;
        let mut foreign = 0;
        for (range, written) in scan(&self.path)? {
            let Some(written) = written else {
                torn += 1;
                continue;
            };
            match finder.find(&written) {
                Some(index) => {
                    let counts = !(written.failed() && keep == Keep::Answered);
                    let has_sounds = written.sounds().all(|name| folder.join(name).is_file());
                    self.lines[index] =
                        (counts && has_sounds).then_some(ResultLine { range, failed: written.failed() });
                }
                None => foreign += 1,
            }
        }
        if torn > 0 {
            let lines = counted(torn, "line");
            let path = self.path.display();
            warn(&format!("warning: {path}: {lines}, incomplete or damaged; their requests run again"));
        }
        if foreign > 0 {
            let kept = previous(&self.path);
            fs::copy(&self.path, &kept).map_err(|e| unwritable(&kept, e))?;
            let results = counted(foreign, "result");
            note(common, &format!("{results} without a request in the file; a copy is in {}", kept.display()));
        }
        self.len = fs::metadata(&self.path).map_err(|e| unwritable(&self.path, e))?.len();
        let counted: u64 = self.lines.iter().flatten().map(|line| line.range.end - line.range.start).sum();
        if counted == self.len { Ok(()) } else { self.put_in_order() }
    }

    /// Adds the result of request `index`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the result cannot be written; the file is then unchanged.
    pub fn add(&mut self, index: usize, outcome: &Outcome) -> Result<()> {
        let line = format!("{}\n", to_json(outcome)?);
        let mut file = OpenOptions::new().append(true).open(&self.path).map_err(|e| unwritable(&self.path, e))?;
        if let Err(e) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
            let _ = file.set_len(self.len); // the next run drops an incomplete line anyway
            return Err(unwritable(&self.path, e));
        }
        let end = self.len + line.len() as u64;
        self.lines[index] =
            Some(ResultLine { range: self.len..end, failed: matches!(outcome, Outcome::Failed { .. }) });
        self.len = end;
        Ok(())
    }

    /// Sorts the lines in the order of the requests, if needed.
    pub fn finish(&mut self) -> Result<()> {
        if self.lines.iter().flatten().is_sorted_by_key(|line| line.range.start) { Ok(()) } else { self.put_in_order() }
    }

    fn put_in_order(&mut self) -> Result<()> {
        let mut from = File::open(&self.path).map_err(|e| unwritable(&self.path, e))?;
        let lines = self.lines.iter().flatten();
        // Windows does not replace open files: the closure closes `from` before the rename
        write_whole_with(&self.path, move |to| {
            lines.map(|line| &line.range).try_for_each(|range| copy_range(&mut from, range, to))
        })?;
        let mut end = 0;
        for ResultLine { range, .. } in self.lines.iter_mut().flatten() {
            let start = end;
            end += range.end - range.start;
            *range = start..end;
        }
        self.len = end;
        Ok(())
    }
}

/// The results of earlier runs to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    All,
    /// All but failures.
    Answered,
    None,
}

/// An index of requests, to find the request of a result.
pub struct Finder<'a> {
    requests: &'a [Line],
    by_key: HashMap<&'a Key, usize>,
}

impl<'a> Finder<'a> {
    pub fn new(requests: &'a [Line]) -> Self {
        Self { requests, by_key: requests.iter().enumerate().map(|(index, line)| (&line.key, index)).collect() }
    }

    /// Returns the index of the request, or `None` if it is missing or has changed.
    pub fn find(&self, written: &Written) -> Option<usize> {
        let by_line = written.line.and_then(|number| self.by_key.get(&Key::Line(number)));
        let by_id = || written.id.as_ref().and_then(|id| self.by_key.get(&Key::Id(id.clone())));
        let same = |index: &usize| self.requests[*index].sum == written.request;
        by_line.copied().filter(same).or_else(|| by_id().copied().filter(same))
    }
}

/// Reads all lines of a results file with their byte ranges; `None` stands for an incomplete or damaged line.
pub fn scan(path: &Path) -> Result<Vec<(Range<u64>, Option<Written>)>> {
    let failed = |e| Error::new(ErrorKind::Io, format!("{}: cannot be read", path.display())).with_source(e);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut start = 0;
    loop {
        line.clear();
        let len = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
        if len == 0 {
            return Ok(lines);
        }
        let whole = line.ends_with(b"\n");
        let written = whole.then(|| serde_json::from_slice(&line).ok()).flatten();
        lines.push((start..start + len, written));
        start += len;
    }
}

pub fn copy_range(from: &mut File, range: &Range<u64>, to: &mut File) -> io::Result<()> {
    from.seek(SeekFrom::Start(range.start))?;
    let len = range.end - range.start;
    match io::copy(&mut from.take(len), to)? {
        copied if copied == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: cannot be written", path.display())).with_source(error)
}

/// Opens and locks the settings file.
fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|e| unwritable(path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let what = format!(
                "{}: another `ualm batch` is writing these results: wait until it ends, or stop it",
                path.display()
            );
            Err(Error::new(ErrorKind::Io, what))
        }
        // the file system has no locks
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(unwritable(path, error)),
    }
}

fn read_settings(file: &mut File) -> Option<Settings> {
    let mut text = String::new();
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_settings(file: &mut File, settings: &Settings) -> io::Result<()> {
    let text = serde_json::to_string(settings)? + "\n";
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.jsonl")
}

/// Renames a results file that is not used any more.
fn set_aside(path: &Path, common: &Common) -> Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) {
        let kept = previous(path);
        fs::rename(path, &kept).map_err(|e| unwritable(&kept, e))?;
        note(common, &format!("the existing results are now in {}", kept.display()));
    }
    Ok(())
}
