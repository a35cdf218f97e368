//! The arithmetic of a comparison, and the bounds on differences.

use crate::error::{Error, ErrorKind, Result};
use crate::package::Arithmetic;

/// The outcome of one part of a run.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// The name of the run, for messages.
    pub run: String,
    pub values: Values,
}

/// Numbers or codes that a graph computed.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Numbers(Vec<f32>),
    Codes(Vec<u32>),
}

/// The largest difference of some outputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// The largest difference relative to the largest value, or the part of the codes that differ; infinite if a number
    /// is not finite.
    pub size: f64,
    /// The codes that differ, and all codes, if the outputs are codes.
    pub codes: Option<[usize; 2]>,
    /// The name of the run.
    pub run: String,
}

/// The largest differences that pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// For numbers, relative to the largest value of the same output.
    pub numbers: f64,
    /// For codes, the part of them that may differ.
    pub codes: f64,
}

impl Bounds {
    /// Returns the bounds for a graph of this arithmetic. Observed differences of correct implementations: 2e-5 in float32, 6e-3 in
    /// float16, and 0.07 in quantized graphs, where each provider rounds activations in its own way. Observed differences of wrong
    /// implementations: 0.007 and more, and a third of the codes.
    pub fn of(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Float => Self { numbers: 1e-4, codes: 0.02 },
            Arithmetic::Half => Self { numbers: 0.05, codes: 0.1 },
            Arithmetic::Quantized => Self { numbers: 0.1, codes: 0.1 },
        }
    }

    /// Returns the bounds for a form of a graph with weights rounded by rows, against the graph itself with weights rounded by
    /// blocks. Observed differences: 0.02 to 0.05, and 0.15 with random weights.
    pub fn of_form() -> Self {
        Self { numbers: 0.25, codes: 0.1 }
    }

    /// Returns the looser bounds of these and `other`.
    pub fn or(self, other: Self) -> Self {
        Self { numbers: self.numbers.max(other.numbers), codes: self.codes.max(other.codes) }
    }

    /// Returns the bound that `difference` must not exceed.
    pub fn on(&self, difference: &Difference) -> f64 {
        if difference.codes.is_some() { self.codes } else { self.numbers }
    }
}

/// Returns the largest difference of the outputs `found` from those `expected`.
///
/// # Errors
/// [`ErrorKind::Graph`] if the outputs are not of the same number, kind or size.
pub(super) fn worst(found: &[Output], expected: &[Output]) -> Result<Difference> {
    let mut worst: Option<Difference> = None;
    if found.len() != expected.len() {
        return Err(other_size("runs", found.len(), expected.len()));
    }
    for (found, expected) in found.iter().zip(expected) {
        let run = || expected.run.clone();
        let difference = match (&found.values, &expected.values) {
            (Values::Numbers(found), Values::Numbers(expected)) => {
                check_sizes("numbers", found, expected).map_err(|e| e.context(run()))?;
                Difference { size: relative_difference(found, expected), codes: None, run: run() }
            }
            (Values::Codes(found), Values::Codes(expected)) => {
                check_sizes("codes", found, expected).map_err(|e| e.context(run()))?;
                let different = found.iter().zip(expected).filter(|(a, b)| a != b).count();
                let all = expected.len();
                Difference { size: different as f64 / all.max(1) as f64, codes: Some([different, all]), run: run() }
            }
            _ => return Err(Error::new(ErrorKind::Graph, "codes for numbers, or numbers for codes").context(run())),
        };
        if worst.as_ref().is_none_or(|worst| difference.size > worst.size) {
            worst = Some(difference);
        }
    }
    worst.ok_or_else(|| Error::new(ErrorKind::Graph, "nothing was run"))
}

/// Returns the largest difference of `found` from `expected`, relative to the largest value of `expected`; infinite if a
/// number is not finite.
fn relative_difference(found: &[f32], expected: &[f32]) -> f64 {
    let mut largest = 0.0f64;
    let mut difference = 0.0f64;
    for (found, expected) in found.iter().zip(expected) {
        if !found.is_finite() || !expected.is_finite() {
            return f64::INFINITY;
        }
        largest = largest.max(f64::from(expected.abs()));
        difference = difference.max((f64::from(*found) - f64::from(*expected)).abs());
    }
    // zeros have no scale: the relative difference of any other number is infinite
    if difference == 0.0 { 0.0 } else { difference / largest }
}

fn check_sizes<T>(what: &str, found: &[T], expected: &[T]) -> Result<()> {
    if found.len() == expected.len() { Ok(()) } else { Err(other_size(what, found.len(), expected.len())) }
}

fn other_size(what: &str, found: usize, expected: usize) -> Error {
    Error::new(ErrorKind::Graph, format!("{found} {what}; the CPU gives {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[f32]) -> Vec<Output> {
        vec![Output { run: "a run".into(), values: Values::Numbers(numbers.to_vec()) }]
    }

    fn codes(codes: &[u32]) -> Vec<Output> {
        vec![Output { run: "a run".into(), values: Values::Codes(codes.to_vec()) }]
    }

    #[test]
    fn a_difference_is_relative_to_the_largest_value() {
        for (found, expected, size) in [
            (&[1.0, -3.0, 0.0][..], &[1.0, -4.0, 0.0][..], 0.25),
            (&[1.0, -4.0, 0.5], &[1.0, -4.0, 0.0], 0.125),
            (&[1.0, -4.0], &[1.0, -4.0], 0.0),
            (&[0.0], &[0.0], 0.0),
            (&[0.1], &[0.0], f64::INFINITY),
            (&[f32::NAN, 1.0], &[0.0, 1.0], f64::INFINITY),
            (&[1.0], &[f32::NAN], f64::INFINITY),
            (&[f32::INFINITY], &[f32::INFINITY], f64::INFINITY),
            (&[], &[], 0.0),
        ] {
            let difference = worst(&numbers(found), &numbers(expected)).unwrap();
            assert_eq!((difference.size, difference.codes), (size, None), "{found:?}, {expected:?}");
        }
    }

    #[test]
    fn codes_are_counted() {
        let difference = worst(&codes(&[1, 2, 3, 4]), &codes(&[1, 5, 3, 6])).unwrap();
        assert_eq!((difference.size, difference.codes), (0.5, Some([2, 4])));
        assert_eq!(worst(&codes(&[7]), &codes(&[7])).unwrap().size, 0.0);
    }

    #[test]
    fn the_worst_run_is_named() {
        let runs = |second: f32| {
            let output = |run: &str, number| Output { run: run.into(), values: Values::Numbers(vec![number, 2.0]) };
            vec![output("first", 1.0), output("second", second), output("third", 1.0)]
        };
        let difference = worst(&runs(1.5), &runs(1.0)).unwrap();
        assert_eq!((difference.size, difference.run.as_str()), (0.25, "second"));
        assert_eq!(worst(&runs(1.0), &runs(1.0)).unwrap().run, "first");
    }

    #[test]
    fn outputs_of_another_kind_or_size_are_errors() {
        for (found, expected, words) in [
            (numbers(&[1.0]), numbers(&[1.0, 2.0]), "a run: 1 numbers; the CPU gives 2"),
            (codes(&[1, 2]), codes(&[1]), "a run: 2 codes; the CPU gives 1"),
            (codes(&[1]), numbers(&[1.0]), "codes for numbers"),
            (Vec::new(), numbers(&[1.0]), "0 runs; the CPU gives 1"),
            (Vec::new(), Vec::new(), "nothing was run"),
        ] {
            let error = worst(&found, &expected).unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn bounds_are_looser_where_arithmetic_is() {
        let [float, half, quantized] = [Arithmetic::Float, Arithmetic::Half, Arithmetic::Quantized].map(Bounds::of);
        assert!(float.numbers < half.numbers && half.numbers < quantized.numbers);
        assert!(quantized.numbers < Bounds::of_form().numbers);
        assert_eq!(float.or(quantized), quantized.or(float));
        let difference = |codes| Difference { size: 0.0, codes, run: String::new() };
        assert_eq!(float.on(&difference(None)), 1e-4);
        assert_eq!(float.on(&difference(Some([0, 1]))), 0.02);
    }
}
