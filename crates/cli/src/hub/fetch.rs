//! Downloads a file from the hub into the cache, resuming an earlier attempt.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use ualm::internal::rename;
use ualm::{Cancel, Error, ErrorKind, Result};
use ureq::Body;

use super::cache::{Repository, unwritable};
use super::client::{Client, Commit, RemoteFile};
use super::retry::{Attempts, Failure};
use super::sums::Sums;
use crate::args::Common;
use crate::output::note;
use crate::progress::Progress;

/// The size of the read buffer in bytes.
const BUFFER: usize = 256 << 10;

/// A file to download, with its checksum if the manifest has one.
pub struct Wanted<'a> {
    pub file: &'a RemoteFile,
    pub sha256: Option<&'a str>,
}

/// A downloader of files of one commit.
pub struct Fetch<'a> {
    pub client: &'a Client,
    pub repository: &'a Repository,
    pub commit: &'a Commit,
    pub cancel: &'a Cancel,
    pub common: &'a Common,
    /// The progress line, which counts the missing bytes.
    pub progress: &'a Progress,
}

impl Fetch<'_> {
    /// Downloads a file into the cache, unless the cache has it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the download fails, the checksum is wrong or the cache cannot be written. Downloaded bytes
    /// are kept.
    pub fn fetch(&self, wanted: &Wanted) -> Result<()> {
        let RemoteFile { name, id, size } = wanted.file;
        let waits = || self.report(&format!("another program is downloading {name}; waiting for it"));
        // huggingface_hub uses the same lock
        let _lock = self.repository.lock(id, self.cancel, waits)?;
        if self.repository.has_blob(id, *size) {
            return Ok(());
        }
        let mut part = Part::open(self.repository.incomplete(id), *size)?;
        let is_resumed = part.length > 0;
        match self.complete(wanted, &mut part, is_resumed) {
            Ok(()) => part.finish(self.repository.blob(id)),
            Err(error) => {
                part.remove_if_empty();
                Err(error)
            }
        }
    }

    /// Completes `part` and verifies its checksums; starts over if a resumed file is damaged.
    fn complete(&self, wanted: &Wanted, part: &mut Part, is_resumed: bool) -> Result<()> {
        let RemoteFile { name, id, .. } = wanted.file;
        self.fill(wanted.file, part)?;
        let Err((expected, found)) = part.sums.clone().check(id, wanted.sha256) else { return Ok(()) };
        self.restart(part)?;
        if is_resumed {
            self.report(&format!("{name}: the earlier partial download is damaged; downloading the file again"));
            return self.complete(wanted, part, false);
        }
        let what = format!(
            "{name}: the downloaded file has the checksum {found}; expected {expected}. It was discarded. Try again; if \
             the error persists, the connection alters files, or the package on the hub is damaged"
        );
        Err(Error::new(ErrorKind::Io, what))
    }

    fn report(&self, what: &str) {
        self.progress.aside(|| note(self.common, what));
    }

    fn restart(&self, part: &mut Part) -> Result<()> {
        self.progress.add_length(part.length);
        part.restart()
    }

    /// Downloads the rest of `part`.
    fn fill(&self, file: &RemoteFile, part: &mut Part) -> Result<()> {
        let mut attempts = Attempts::default();
        while part.length < file.size {
            let before = part.length;
            let attempt = self.append(file, part);
            if part.length > before {
                attempts.progress();
            }
            if let Err(failure) = attempt {
                let report = |what: &str| self.report(&format!("{}: {what}", file.name));
                attempts.wait(failure, self.cancel, &report).map_err(|e| match e.kind() {
                    ErrorKind::Cancelled => e,
                    _ => e.context(&file.name),
                })?;
            }
        }
        Ok(())
    }

    /// Makes one request and appends the response.
    fn append(&self, file: &RemoteFile, part: &mut Part) -> Result<(), Failure> {
        let answer = self.client.open(self.commit, file, part.length)?;
        if part.length > 0 && !answer.is_partial {
            self.restart(part)?;
        }
        let max = file.size - part.length;
        self.copy(answer.body, max, part)?;
        if part.length < file.size {
            let what = format!("the connection was lost after {} of {} bytes", part.length, file.size);
            return Err(Failure::Temporary(Error::new(ErrorKind::Io, what), None));
        }
        Ok(())
    }

    fn copy(&self, body: Body, max: u64, part: &mut Part) -> Result<(), Failure> {
        let mut reader = body.into_with_config().limit(u64::MAX).reader().take(max);
        let mut buffer = vec![0; BUFFER];
        loop {
            self.cancel.check()?;
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let lost = Error::new(ErrorKind::Io, "the connection was lost").with_source(e);
                    return Err(Failure::Temporary(lost, None::<Duration>));
                }
            };
            part.append(buffer.get(..read).unwrap_or_default())?;
            self.progress.bytes(read as u64);
        }
    }
}

/// A partially downloaded file, with its checksums.
struct Part {
    path: PathBuf,
    file: File,
    size: u64,
    length: u64,
    sums: Sums,
}

impl Part {
    /// Opens the partial download of an earlier attempt and computes its checksums; starts over if there is none or it
    /// is too long.
    fn open(path: PathBuf, size: u64) -> Result<Self> {
        let failed = |e: io::Error| unwritable(e).context(path.display());
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        let mut sums = Sums::new(size);
        let mut buffer = vec![0; BUFFER];
        let mut length = 0;
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            length += read as u64;
            sums.add(buffer.get(..read).unwrap_or_default());
        }
        let mut part = Self { path, file, size, length, sums };
        if part.length > size {
            part.restart()?;
        }
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        if let Err(error) = written {
            // bytes that were written partly are removed, so that file and checksums agree
            let _ = self.file.set_len(self.length);
            return Err(unwritable(error).context(self.path.display()));
        }
        self.sums.add(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        use io::Seek;
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|e| unwritable(e).context(self.path.display()))?;
        self.length = 0;
        self.sums = Sums::new(self.size);
        Ok(())
    }

    /// Syncs the file to the disk and gives it its final name.
    fn finish(self, path: PathBuf) -> Result<()> {
        let failed = |e: io::Error| unwritable(e).context(path.display());
        self.file.sync_all().map_err(failed)?;
        drop(self.file);
        rename(&self.path, &path).map_err(failed)
    }

    /// Removes the file if it is empty.
    fn remove_if_empty(self) {
        if self.length == 0 {
            drop(self.file);
            // failures are ignored: an empty file does no harm
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";

    #[test]
    fn a_part_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.incomplete");
        Part::open(path.clone(), 5).unwrap().append(b"hel").unwrap();
        let mut part = Part::open(path.clone(), 5).unwrap();
        assert_eq!(part.length, 3);
        part.append(b"lo").unwrap();
        assert_eq!(part.sums.clone().check(HELLO, None), Ok(()));
        part.restart().unwrap();
        part.append(b"hello").unwrap();
        assert_eq!(part.sums.clone().check(HELLO, None), Ok(()));
        let done = folder.path().join("x");
        part.finish(done.clone()).unwrap();
        assert_eq!(fs::read(done).unwrap(), b"hello");
        assert!(!path.exists());
    }

    #[test]
    fn a_part_that_is_too_long_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.incomplete");
        fs::write(&path, "much too long").unwrap();
        assert_eq!(Part::open(path.clone(), 5).unwrap().length, 0);
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
    }
}
