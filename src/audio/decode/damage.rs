//! The defects found in a recording, and the warnings about them.

/// The seconds that may be missing without a warning: containers round times, and recorders miscount by a header's length.
const ROUNDING: f64 = 0.005;

/// The maximum number of bytes by which a size may be wrong without a warning.
pub(super) const MISCOUNTED: u64 = 8;

/// The damage found in a recording.
#[derive(Default)]
pub(super) struct Damage {
    skipped: usize,
    /// Number of faults since the last decoded packet.
    pub in_a_row: usize,
    /// The first fault.
    pub first: Option<String>,
    /// Seconds missing between the times of packets.
    pub missing: f64,
    /// The reason why reading stopped before the end, if it did.
    end: Option<String>,
    /// Warnings of the container's reader.
    notes: Vec<String>,
}

impl Damage {
    /// Notes a part that cannot be decoded.
    pub fn skip(&mut self, reason: impl ToString) {
        self.skipped += 1;
        self.in_a_row += 1;
        self.first.get_or_insert_with(|| reason.to_string());
    }

    /// Notes that the bytes end in the middle of the sound.
    pub fn cut(&mut self) {
        self.ends_with("the file ends in the middle of the sound");
    }

    /// Notes that reading stopped before the end.
    pub fn ends_with(&mut self, reason: impl ToString) {
        let reason = reason.to_string();
        self.first.get_or_insert_with(|| reason.clone());
        self.end.get_or_insert(reason);
    }

    /// Adds a warning: a sentence whose subject is the recording.
    pub fn note(&mut self, warning: impl Into<String>) {
        self.notes.push(warning.into());
    }

    /// Notes that the recorder ended before it wrote the sizes.
    pub fn header_unfinished(&mut self) {
        self.note("has a header that was never finished: its samples are used up to the end of the file");
    }

    /// Returns the warnings about a recording of `promised` seconds by its header, of which `heard` seconds were decoded; from
    /// `enough` seconds on nothing is missing.
    pub fn warnings(self, heard: f64, promised: Option<f64>, enough: Option<f64>) -> Vec<String> {
        let mut warnings = self.notes;
        if let (1.., Some(reason)) = (self.skipped, &self.first) {
            let parts =
                if self.skipped == 1 { "1 damaged part was" } else { &format!("{} damaged parts were", self.skipped) };
            warnings.push(format!("{parts} left out ({reason})"));
        }
        if self.missing > 0.0 {
            warnings.push(format!("{:.2} s are missing in the middle", self.missing));
        }
        match (promised, self.end) {
            (Some(promised), _) if promised - heard > ROUNDING => {
                warnings.push(format!(
                    "is cut short: {heard:.2} s of the {promised:.2} s that its header promises are used"
                ));
            }
            (None, Some(reason)) if enough.is_none_or(|enough| heard < enough) => {
                warnings.push(format!("only the first {heard:.2} s are used: {reason}"))
            }
            _ => {}
        }
        warnings
    }
}
