//! The folder of a chain: a file for every segment, and `reply.json`.

use std::path::{Path, PathBuf};

use ualm::internal::write_whole;
use ualm::{Error, ErrorKind, Record, Result, Stage, Stages};

use crate::output::warn;

/// The name of the record's file.
pub const RECORD: &str = "reply.json";

/// The folder of a chain.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates the folder of a new chain; refuses a folder that already has one.
    pub fn begin(path: &Path) -> Result<Self> {
        let folder = Self::create(path)?;
        if folder.path(RECORD).exists() {
            let what = format!(
                "{}: the folder already has a chain: name another folder, or resume the chain with --from and --segment",
                folder.path(RECORD).display()
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(folder)
    }

    /// Returns the folder of a chain that is resumed in place.
    pub fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Creates a folder with copies of the files in `from` of the stages before index `before`.
    pub fn copied(from: &Path, to: &Path, stages: &Stages, before: usize) -> Result<Self> {
        let folder = Self::begin(to)?;
        for (index, _) in stages.iter().enumerate().take(before).filter(|(_, stage)| **stage != Stage::Listen) {
            let name = file_name(stages, index);
            if let Err(e) = std::fs::copy(from.join(&name), folder.path(&name)) {
                warn(&format!("warning: {}: not copied: {e}", from.join(&name).display()));
            }
        }
        Ok(folder)
    }

    fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("{}: the folder cannot be created", path.display())).with_source(e)
        })?;
        Ok(Self(path.to_path_buf()))
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a text atomically.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        write_whole(self.path(name), format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Writes the record atomically.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        record.write(self.path(RECORD))
    }
}

/// Returns the file name of stage `index`.
pub fn file_name(stages: &Stages, index: usize) -> String {
    let stage = stages[index];
    let extension = if stage.modality().is_some_and(|modality| modality.is_sound()) { "wav" } else { "txt" };
    format!("{:02}-{}.{extension}", stages.number(index), stage.name())
}
