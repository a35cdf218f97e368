//! A measured figure: the median over some runs, after one that does not count.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use ualm::Result;

/// No more runs than this once they have taken [`LONG_ENOUGH`].
const FEWEST_RUNS: usize = 3;
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
    /// The least of the runs.
    pub least: f64,
    /// The most of the runs.
    pub most: f64,
    /// Runs that count.
    pub runs: usize,
    /// The time of the mean run by graph; `own` is the time outside ONNX Runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// Bytes of one step copied to devices with memory of their own, and back; none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<[u64; 2]>,
    /// What the machine could do at best; `None` where that cannot be told.
    #[serde(flatten)]
    pub limit: Option<Limit>,
}

impl Figure {
    /// The figure of `samples`, of which there is at least one.
    pub fn new(name: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        let middle = samples.len() / 2;
        let median = if samples.len().is_multiple_of(2) {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        } else {
            at(middle)
        };
        let (least, most) = (at(0), at(samples.len().saturating_sub(1)));
        Self {
            name: name.into(),
            unit,
            median,
            least,
            most,
            runs: samples.len(),
            parts: BTreeMap::new(),
            copied_bytes: None,
            limit: None,
        }
    }

    /// Puts the least time beside the figure, which is in milliseconds.
    #[must_use]
    pub fn limited(self, seconds: Option<f64>, by: LimitedBy) -> Self {
        let limit = seconds.map(|seconds| seconds * 1e3).filter(|limit| *limit > 0.0);
        let limit = limit.map(|limit| Limit { limit, limit_by: by, ratio: self.median / limit });
        Self { limit, ..self }
    }

    /// Milliseconds of `work`: once that does not count, then `runs` times, or fewer when it takes long.
    pub fn timed(name: impl Into<String>, runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Self> {
        work()?;
        let (begun, mut samples) = (Instant::now(), Vec::new());
        while samples.len() < runs && (samples.len() < FEWEST_RUNS || begun.elapsed() < LONG_ENOUGH) {
            let start = Instant::now();
            work()?;
            samples.push(milliseconds(start.elapsed()));
        }
        Ok(Self::new(name, "ms", samples))
    }

    /// The figure on one line.
    pub fn line(&self) -> String {
        let Self { name, unit, median, least, most, runs, limit, .. } = self;
        let spread = if *runs > 1 { format!("  ({least:.2} … {most:.2}, {runs} runs)") } else { String::new() };
        let limit = limit.map_or_else(String::new, |Limit { limit, limit_by, ratio }| {
            format!("  limit {limit:.2} by {limit_by}: {ratio:.1} ×")
        });
        let parts: Vec<_> = self.parts.iter().map(|(part, value)| format!("{part} {value:.2}")).collect();
        let parts = if parts.is_empty() { String::new() } else { format!("  of it {}", parts.join(", ")) };
        let copied =
            self.copied_bytes.map_or_else(String::new, |[to, back]| format!("  {to} bytes to the device, {back} back"));
        format!("{name:<44} {median:>9.2} {unit}{limit}{spread}{parts}{copied}\n")
    }
}

/// The least time that the machine takes for a figure's work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// The least time, in the figure's unit.
    pub limit: f64,
    /// The part of the machine that sets it.
    pub limit_by: LimitedBy,
    /// The median divided by the limit.
    pub ratio: f64,
}

/// The part of the machine that sets a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// Reading weights and cache.
    Memory,
    /// The operations of products, convolutions and attention.
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

/// `time` in milliseconds.
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
    fn a_limit_stands_beside_the_figure_if_there_is_one() {
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
    fn the_first_run_does_not_count() {
        let mut done = 0;
        let count = || {
            done += 1;
            Ok(())
        };
        assert_eq!(Figure::timed("count", 5, count).unwrap().runs, 5);
        assert_eq!(done, 6);
    }
}
