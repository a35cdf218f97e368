//! A progress line on standard error; nothing when that is no terminal, or when it is to be quiet.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Common;

/// A line that tells what is going on.
pub struct Progress(ProgressBar);

impl Progress {
    /// Work of unknown length, such as a sound in the making.
    pub fn spinner(common: &Common, what: &str) -> Self {
        let bar = Self::bar(common, ProgressBar::no_length(), "{spinner} {prefix} {msg} ({elapsed})");
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// A sound in the making, of `planned` seconds if that is known.
    pub fn sound(common: &Common, planned: Option<f64>) -> Self {
        let Some(seconds) = planned.filter(|seconds| *seconds > 0.0) else { return Self::spinner(common, "making") };
        let bar = Self::bar(common, ProgressBar::new(milliseconds(seconds)), "{prefix} {wide_bar} {msg} ({elapsed})");
        bar.set_prefix("making");
        Self(bar)
    }

    /// Work of `len` items.
    pub fn items(common: &Common, len: u64, what: &str) -> Self {
        let bar = Self::bar(common, ProgressBar::new(len), "{prefix} {wide_bar} {pos}/{len} {msg} ({eta} left)");
        bar.set_prefix(what.to_owned());
        Self(bar)
    }

    /// Bytes that are fetched, `len` in all, with the time that is left.
    #[cfg(feature = "hub")]
    pub fn of_bytes(common: &Common, len: u64, what: &str) -> Self {
        let template = "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ({eta} left)";
        let bar = Self::bar(common, ProgressBar::new(len), template);
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500)); // when nothing comes, the time left grows
        Self(bar)
    }

    /// Counts bytes that have come.
    #[cfg(feature = "hub")]
    pub fn bytes(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Adds bytes to those that are to come.
    #[cfg(feature = "hub")]
    pub fn add_length(&self, bytes: u64) {
        self.0.inc_length(bytes);
    }

    /// No line, where the terminal is for something else.
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

    /// Shows how much sound has been made.
    pub fn show_sound(&self, seconds: f64) {
        self.0.set_message(format!("{seconds:.1} s of sound"));
        self.0.set_position(milliseconds(seconds));
    }

    /// One more item is done.
    pub fn item(&self) {
        self.0.inc(1);
    }

    /// Does `work` that writes something while the line is away.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }

    /// Takes the line away for what is written by others.
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
