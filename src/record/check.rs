//! The check that a record can be run on a package.

use std::collections::BTreeMap;

use super::{PackageId, Record, Turn};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Segment, SegmentEnd};
use crate::modality::Modality;
use crate::package::{Manifest, Package};
use crate::prompt::Prompt;
use crate::token::{End, Layout, Tokens, Vocabulary};

impl Record {
    /// Checks that `package`, or an earlier manifest of it, made this record, and that the record's tokens are valid.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if not.
    pub fn check(&self, package: &Package) -> Result<()> {
        let found = PackageId::of(package);
        let manifest = package.manifest();
        if self.package.sha256 != found.sha256 && !manifest.formerly.contains(&self.package.sha256) {
            let made = &self.package;
            let loaded = &found;
            let what = format!(
                "made by the package {:?} ({}), but {:?} ({}) is loaded: load the package that made it",
                made.name,
                brief(&made.sha256),
                loaded.name,
                brief(&loaded.sha256)
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let checker = Checker::new(manifest)?;
        for (number, turn) in self.turns.iter().enumerate() {
            let is_last = number + 1 == self.turns.len();
            let checked = checker.turn(turn, is_last);
            checked
                .map_err(|what| Error::new(ErrorKind::Invalid, format!("a damaged record: turn {number}: {what}")))?;
        }
        Ok(())
    }
}

/// Returns the first digits of a checksum.
fn brief(sum: &str) -> String {
    sum.chars().take(12).collect()
}

/// The sizes and layouts of a package.
struct Checker<'a> {
    vocabulary: &'a Vocabulary,
    hidden: usize,
    layouts: BTreeMap<Modality, Layout>,
}

impl<'a> Checker<'a> {
    fn new(manifest: &'a Manifest) -> Result<Self> {
        let mut layouts = BTreeMap::new();
        for (modality, config) in &manifest.modalities {
            layouts.insert(*modality, manifest.layout(config)?);
        }
        Ok(Self { vocabulary: &manifest.tokens, hidden: manifest.language_model.hidden_size, layouts })
    }

    fn turn(&self, turn: &Turn, is_last: bool) -> Result<(), String> {
        self.prompt(&turn.prompt)?;
        if turn.segments.is_empty() && !is_last {
            return Err("it has no segments, and another turn follows".into());
        }
        let named = |(number, segment)| self.segment(segment).map_err(|e| format!("segment {number}: {e}"));
        turn.segments.iter().enumerate().try_for_each(named)
    }

    fn prompt(&self, prompt: &Prompt) -> Result<(), String> {
        if prompt.is_empty() {
            return Err("its prompt is empty; expected some positions".into());
        }
        self.tokens(&prompt.tokens)?;
        if let Some(unconditional) = &prompt.unconditional {
            self.tokens(unconditional)?;
            if unconditional.len() != prompt.len() {
                let found = counted(unconditional.len(), "position");
                return Err(format!("an unconditional prompt of {found}; expected {}", prompt.len()));
            }
        }
        for slot in &prompt.features {
            let (rows, columns) = slot.features.dim();
            if columns != self.hidden || slot.start.checked_add(rows).is_none_or(|end| end > prompt.len()) {
                let what = format!("features {rows} × {columns} at position {} of {}", slot.start, prompt.len());
                return Err(format!("{what}; expected rows of {} within the prompt", self.hidden));
            }
        }
        Ok(())
    }

    fn tokens(&self, tokens: &Tokens) -> Result<(), String> {
        self.vocabulary.check(tokens).map_err(|e| e.message().to_owned())
    }

    fn segment(&self, segment: &Segment) -> Result<(), String> {
        let tokens = &segment.tokens;
        self.tokens(tokens)?;
        let layout = self.layouts.get(&segment.modality);
        let layout = layout.ok_or_else(|| format!("it is {}, which the package cannot make", segment.modality))?;
        segment.config.validate(segment.modality).map_err(|e| e.to_string())?;
        if segment.kept > tokens.len() {
            return Err(format!("{} of its {} positions are said to be given", segment.kept, tokens.len()));
        }
        let expected = match segment.end {
            SegmentEnd::Eos => Some(End::Turn),
            SegmentEnd::Eot => Some(End::Segment),
            SegmentEnd::Limit | SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed => None,
        };
        if expected.is_some() && tokens.last().and_then(|last| layout.end(last)) != expected {
            return Err("its last position does not end it".into());
        }
        let open = tokens.iter().take(segment.content_len()).enumerate();
        let check = |(step, position): (usize, _)| layout.check(step, position);
        open.into_iter().try_for_each(check).map_err(|what| format!("{}: {what}", segment.modality))
    }
}
