//! A progress line on standard error; hidden with `--quiet` and where standard error is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Common;

/// A progress line.
pub struct Progress(ProgressBar);

impl Progress {
    /// Creates a line for work of unknown length.
    pub fn spinner(common: &Common, what: &str) -> Self {
        let bar = Self::bar(common, ProgressBar::no_length(), "{spinner} {prefix} {msg} ({elapsed})");
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// Creates a line for the generation of a sound, of `planned` seconds if known.
    pub fn sound(common: &Common, planned: Option<f64>) -> Self {
        let Some(seconds) = planned.filter(|seconds| *seconds > 0.0) else { return Self::spinner(common, "making") };
        let bar = Self::bar(common, ProgressBar::new(milliseconds(seconds)), "{prefix} {wide_bar} {msg} ({elapsed})");
        bar.set_prefix("making");
        Self(bar)
    }

    /// Creates a line for `len` items.
    pub fn items(common: &Common, len: u64, what: &str) -> Self {
        let bar = Self::bar(common, ProgressBar::new(len), "{prefix} {wide_bar} {pos}/{len} {msg} ({eta} left)");
        bar.set_prefix(what.to_owned());
        Self(bar)
    }

    /// Creates a line for a download of `len` bytes, with the time left.
    #[cfg(feature = "hub")]
    pub fn of_bytes(common: &Common, len: u64, what: &str) -> Self {
        let template = "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ({eta} left)";
        let bar = Self::bar(common, ProgressBar::new(len), template);
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500)); // updates the time left while nothing arrives
        Self(bar)
    }

    /// Counts downloaded bytes.
    #[cfg(feature = "hub")]
    pub fn bytes(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Adds bytes to the length of the download.
    #[cfg(feature = "hub")]
    pub fn add_length(&self, bytes: u64) {
        self.0.inc_length(bytes);
    }

    /// Creates a hidden line.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn bar(common: &Common, bar: ProgressBar, template: &str) -> ProgressBar {
        if common.quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// Shows the length of the sound so far.
    pub fn show_sound(&self, seconds: f64) {
        self.0.set_message(format!("{seconds:.1} s of sound"));
        self.0.set_position(milliseconds(seconds));
    }

    /// Counts an item as done.
    pub fn item(&self) {
        self.0.inc(1);
    }

    /// Hides the line while `work` prints.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
