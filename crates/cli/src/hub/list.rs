//! `models`: lists the packages on this machine.

use std::path::Path;

use serde::Serialize;
use ualm::package::Manifest;
use ualm::{Modality, Result};

use super::cache::{Cached, MANIFEST, Repository, models};
use super::pull::{bytes, short};
use crate::args::Common;
use crate::default_package::default_package;
use crate::output::{print, print_json, printable};

/// A listed package.
#[derive(Serialize)]
struct Entry {
    /// `OWNER/NAME`; `None` for the default package.
    name: Option<String>,
    /// The commit id on the hub.
    revision: Option<String>,
    /// The branches and tags at this commit, as of the last lookup.
    branches: Vec<String>,
    model: String,
    family: String,
    precision: String,
    bytes: u64,
    /// The commands that the package supports.
    can: Vec<&'static str>,
    licence: String,
    folder: String,
}

/// `ualm models`.
pub fn list(common: &Common, cache: &Path) -> Result<()> {
    let mut entries = Vec::new();
    if let Ok(folder) = default_package() {
        let manifest = std::fs::read(folder.join(MANIFEST)).ok().and_then(|text| Manifest::parse(&text).ok());
        entries.extend(manifest.map(|manifest| Entry::new(&manifest, &folder)));
    }
    for name in models(cache) {
        let repository = Repository::new(cache, name.repository());
        for Cached { commit, folder, manifest } in repository.packages() {
            let branches = repository.names_of(&commit);
            let name = Some(name.repository().to_owned());
            entries.push(Entry { name, revision: Some(commit), branches, ..Entry::new(&manifest, &folder) });
        }
    }
    if common.json {
        return print_json(&entries);
    }
    print(&table(&entries))
}

impl Entry {
    fn new(manifest: &Manifest, folder: &Path) -> Self {
        Self {
            name: None,
            revision: None,
            branches: Vec::new(),
            model: manifest.name.clone(),
            family: manifest.family.clone(),
            precision: manifest.precision.clone(),
            bytes: manifest.files.values().map(|file| file.size).sum(),
            can: supported_commands(manifest),
            licence: manifest.license.clone(),
            folder: folder.display().to_string(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let name = self.name.clone().unwrap_or_else(|| format!("{} (ships with ualm)", self.model));
        let revision = match (&self.revision, self.branches.join(", ")) {
            (None, _) => "-".to_owned(),
            (Some(commit), names) if names.is_empty() => short(commit).to_owned(),
            (Some(commit), names) => format!("{} ({names})", short(commit)),
        };
        let family = if self.family.is_empty() { "-" } else { &self.family };
        let cells = [name, revision, bytes(self.bytes), family.to_owned(), self.precision.clone(), self.can.join(" ")];
        cells.map(|cell| printable(&cell).replace(['\n', '\t'], " "))
    }
}

/// Returns the commands that a package supports.
fn supported_commands(manifest: &Manifest) -> Vec<&'static str> {
    let makes = |modality| manifest.modalities.contains_key(&modality);
    let writes = makes(Modality::Text);
    let hears = manifest.audio_encoder.is_some() && writes;
    let commands = [
        ("generate", makes(Modality::Audio)),
        ("ask", hears),
        ("speak", makes(Modality::Speech)),
        ("transcribe", hears),
        ("converse", hears && makes(Modality::Speech)),
        ("reason", makes(Modality::Audio) && writes && manifest.reasoning.is_some()),
        ("chat", writes),
        ("codec", manifest.codecs.values().any(|codec| codec.encoder.is_some())),
    ];
    commands.into_iter().filter_map(|(command, can)| can.then_some(command)).collect()
}

/// Formats the entries as a table.
fn table(entries: &[Entry]) -> String {
    let head = ["PACKAGE", "REVISION", "SIZE", "FAMILY", "PRECISION", "COMMANDS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(entries.iter().map(Entry::cells)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<_> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
