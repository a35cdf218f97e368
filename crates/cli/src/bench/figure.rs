//! A measured figure: the median over several runs, after a warm-up run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use ualm::Result;

/// The minimum number of runs: measuring then stops once [`LONG_ENOUGH`] has passed.
const MIN_RUNS: usize = 3;
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// A measurement.
#[derive(Serialize)]
pub struct Figure {
    /// The name of the measured work.
    pub name: String,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// Median over the runs.
    pub median: f64,
    /// Minimum over the runs.
    pub least: f64,
    /// Maximum over the runs.
    pub most: f64,
    /// Number of measured runs.
    pub runs: usize,
    /// Mean time by graph; `own` is the time outside ONNX Runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// Bytes that a step copies to devices with their own memory, and back; `None` without such a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<[u64; 2]>,
    /// The limit of the hardware; `None` where it is unknown.
    #[serde(flatten)]
    pub limit: Option<Limit>,
}

impl Figure {
    /// Creates the figure of at least one sample.
    pub fn new(name: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        let middle = samples.len() / 2;
        let median = if samples.len().is_multiple_of(2) {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        } else {
            at(middle)
        };
        Self {
            name: name.into(),
            unit,
            median,
            least: at(0),
            most: at(samples.len().saturating_sub(1)),
            runs: samples.len(),
            parts: BTreeMap::new(),
            copied_bytes: None,
            limit: None,
        }
    }

    /// Adds the hardware limit, in seconds, to a figure in milliseconds.
    #[must_use]
    pub fn limited(self, seconds: Option<f64>, by: LimitedBy) -> Self {
        let limit = seconds.map(|seconds| seconds * 1e3).filter(|limit| *limit > 0.0);
        let limit = limit.map(|limit| Limit { limit, limit_by: by, ratio: self.median / limit });
        Self { limit, ..self }
    }

    /// Measures `work` in milliseconds: one warm-up run, then `runs` runs, or fewer if they take long.
    pub fn timed(name: impl Into<String>, runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Self> {
        work()?;
        let begun = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < runs && (samples.len() < MIN_RUNS || begun.elapsed() < LONG_ENOUGH) {
            let start = Instant::now();
            work()?;
            samples.push(milliseconds(start.elapsed()));
        }
        Ok(Self::new(name, "ms", samples))
    }

    /// Formats the figure as one line.
    pub fn line(&self) -> String {
        let Self { name, unit, median, least, most, runs, limit, .. } = self;
        let spread = if *runs > 1 { format!("  ({least:.2} to {most:.2}, {runs} runs)") } else { String::new() };
        let limit = limit.map_or_else(String::new, |Limit { limit, limit_by, ratio }| {
            format!("  limit {limit:.2} by {limit_by}: {ratio:.1} ×")
        });
        let parts: Vec<_> = self.parts.iter().map(|(part, value)| format!("{part} {value:.2}")).collect();
        let parts = if parts.is_empty() { String::new() } else { format!("  of which {}", parts.join(", ")) };
        let copied =
            self.copied_bytes.map_or_else(String::new, |[to, back]| format!("  {to} bytes to the device, {back} back"));
        format!("{name:<44} {median:>9.2} {unit}{limit}{spread}{parts}{copied}\n")
    }
}

/// The minimum time in which the hardware can do the work of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// The minimum time, in the figure's unit.
    pub limit: f64,
    /// The bottleneck that sets the limit.
    pub limit_by: LimitedBy,
    /// The median divided by the limit.
    pub ratio: f64,
}

/// A bottleneck of the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// Memory bandwidth for weights and cache.
    Memory,
    /// Arithmetic of matrix products, convolutions and attention.
    Operations,
}

impl fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Operations => "operations",
        })
    }
}

/// Returns `time` in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        let odd = Figure::new("odd", "ms", vec![9.0, 1.0, 2.0]);
        assert_eq!((odd.least, odd.median, odd.most, odd.runs), (1.0, 2.0, 9.0, 3));
        assert_eq!(Figure::new("even", "ms", vec![4.0, 1.0, 2.0, 9.0]).median, 3.0);
    }

    #[test]
    fn a_known_limit_is_shown_with_the_figure() {
        let figure = || Figure::new("text step", "ms", vec![12.0]);
        let limited = figure().limited(Some(0.008), LimitedBy::Memory);
        assert!(limited.line().contains("12.00 ms  limit 8.00 by memory: 1.5 ×"), "{}", limited.line());
        let json = serde_json::to_value(&limited).unwrap();
        assert_eq!((&json["limit"], &json["limit_by"], &json["ratio"]), (&8.0.into(), &"memory".into(), &1.5.into()));
        for none in [None, Some(0.0)] {
            let figure = figure().limited(none, LimitedBy::Operations);
            assert!(!figure.line().contains("limit"), "{}", figure.line());
            assert!(serde_json::to_value(&figure).unwrap().get("limit").is_none());
        }
    }

    #[test]
    fn the_warm_up_run_is_not_counted() {
        let mut done = 0;
        let count = || {
            done += 1;
            Ok(())
        };
        assert_eq!(Figure::timed("count", 5, count).unwrap().runs, 5);
        assert_eq!(done, 6);
    }
}
