//! The folder of a chain: a file for every segment, and `reply.json`.

use std::path::{Path, PathBuf};

use ualm::internal::write_whole;
use ualm::{Error, ErrorKind, Record, Result, Stage, Stages};

use crate::output::warn;

/// The record's file.
pub const RECORD: &str = "reply.json";

/// The folder of a chain.
pub struct Folder(PathBuf);

impl Folder {
    /// A folder for a new chain; one that holds a chain already is left alone.
    pub fn begin(path: &Path) -> Result<Self> {
        let folder = Self::made(path)?;
        if folder.path(RECORD).exists() {
            let what = format!(
                "{}: a chain is saved here: name another folder, or go on with it by --from and --segment",
                folder.path(RECORD).display()
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(folder)
    }

    /// The folder of a chain that goes on in its place.
    pub fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// A new folder with the files of another one, those of the stages before index `before`.
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

    fn made(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("{}: no folder can be made here", path.display())).with_source(e)
        })?;
        Ok(Self(path.to_path_buf()))
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a text, whole or not at all.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        write_whole(self.path(name), format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Writes the record, whole or not at all.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        record.write(self.path(RECORD))
    }
}

/// The file of stage `index`.
pub fn file_name(stages: &Stages, index: usize) -> String {
    let stage = stages[index];
    let extension = if stage.modality().is_some_and(|modality| modality.is_sound()) { "wav" } else { "txt" };
    format!("{:02}-{}.{extension}", stages.number(index), stage.name())
}
