//! Drawing one id from a row of logits.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::Rng;
use crate::error::{Error, ErrorKind, Result};
use crate::token::{Run, TokenId};

/// Sampling parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "public for benches alone")]
pub struct Sampling {
    /// Softmax temperature; 0 takes the largest logit.
    pub temperature: f32,
    /// Number of largest logits to keep; 0 keeps all.
    pub top_k: usize,
    /// Nucleus sampling: the most probable ids are kept until the sum of their probabilities reaches this value; 1 keeps all.
    pub top_p: f32,
}

impl Sampling {
    /// Checks that every parameter is in its range.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fail(format!("temperature is {}; expected a number from 0 up", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail(format!("top_p is {}; expected a number above 0 and at most 1", self.top_p));
        }
        Ok(())
    }
}

/// The maximum number of candidates that are all sorted although only the most probable are kept.
const MAX_SORTED: usize = 4096;

/// The ids that may be drawn, in ascending order, and their logits.
pub struct Candidates<'a> {
    logits: &'a [f32],
    runs: &'a [Run],
}

impl<'a> Candidates<'a> {
    /// Creates the candidates of `runs`, in ascending order of id; the runs' columns index `logits`.
    pub fn new(logits: &'a [f32], runs: &'a [Run]) -> Self {
        Self { logits, runs }
    }

    /// Returns the logarithm of the probability of `id` in the softmax over all candidates; −∞ for any other id.
    pub fn log_probability(&self, id: TokenId) -> f64 {
        let max = self.iter().map(|(_, logit)| logit).fold(f32::NEG_INFINITY, f32::max);
        let relative = |logit: f32| f64::from(logit) - f64::from(max);
        let sum: f64 = self.iter().map(|(_, logit)| relative(logit).exp()).sum();
        let logit = self.iter().find(|(candidate, _)| *candidate == id).map_or(f32::NEG_INFINITY, |(_, logit)| logit);
        relative(logit) - sum.ln()
    }

    fn iter(&self) -> impl Iterator<Item = (TokenId, f32)> {
        let logits_of = |run: &Run| self.logits.get(run.columns.clone()).unwrap_or_default();
        self.runs.iter().flat_map(move |run| (run.first..).zip(logits_of(run).iter().copied()))
    }
}

/// A sampler, which keeps its working memory from draw to draw.
#[derive(Default)]
pub struct Sampler {
    kept: Vec<(f32, TokenId)>,
    weights: Vec<f64>,
}

impl Sampler {
    /// Draws one of `candidates`. Ties go to the smaller id; a temperature of 0 draws no random number.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] if a logit is NaN or +∞, or all are −∞.
    pub fn sample(&mut self, candidates: &Candidates, sampling: &Sampling, rng: &mut Rng) -> Result<TokenId> {
        if let Some((id, logit)) = candidates.iter().find(|(_, l)| l.is_nan() || *l == f32::INFINITY) {
            return Err(Error::new(ErrorKind::Numeric, format!("the logit of id {id} is {logit}; expected a number")));
        }
        let best = candidates.iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        match best {
            None | Some((_, f32::NEG_INFINITY)) => {
                Err(Error::new(ErrorKind::Numeric, "no id can be chosen: every logit is masked"))
            }
            Some((id, _)) if sampling.temperature == 0.0 => Ok(id),
            Some((_, max)) => Ok(self.draw(candidates, sampling, max, rng)),
        }
    }

    /// Draws from the softmax over the best candidates, by inverting its cumulative sum at one random number.
    fn draw(&mut self, candidates: &Candidates, sampling: &Sampling, max: f32, rng: &mut Rng) -> TokenId {
        let temperature = f64::from(sampling.temperature);
        let weight = |logit: f32| ((f64::from(logit) - f64::from(max)) / temperature).exp();
        let top_p = f64::from(sampling.top_p);
        if sampling.top_k == 0 && top_p < 1.0 && candidates.iter().nth(MAX_SORTED).is_some() {
            self.keep_probable_of_many(candidates, top_p, weight);
        } else {
            self.keep_best(candidates, sampling.top_k);
            self.weigh(self.kept.len(), weight);
            self.keep_probable(top_p * self.weights.iter().sum::<f64>(), top_p);
        }
        let mut left = rng.uniform() * self.weights.iter().sum::<f64>();
        for (weight, (_, id)) in self.weights.iter().zip(&self.kept) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        #[expect(clippy::indexing_slicing, reason = "the likeliest candidate is always kept")]
        let (_, last) = self.kept[self.weights.len() - 1];
        last
    }

    /// Keeps the `count` largest logits (all for 0), sorted by descending logit, then ascending id.
    fn keep_best(&mut self, candidates: &Candidates, count: usize) {
        self.kept.clear();
        self.kept.extend(candidates.iter().map(|(id, logit)| (logit, id)));
        if count > 0 && count < self.kept.len() {
            self.kept.select_nth_unstable_by(count - 1, by_rank);
            self.kept.truncate(count);
        }
        self.kept.sort_unstable_by(by_rank);
    }

    /// Computes the weights of the first `count` candidates kept.
    fn weigh(&mut self, count: usize, weight: impl Fn(f32) -> f64) {
        self.weights.clear();
        self.weights.extend(self.kept.iter().take(count).map(|(logit, _)| weight(*logit)));
    }

    /// Drops the weights after the first whose sum reaches `enough`, unless `top_p` keeps all; returns whether the sum is
    /// reached.
    fn keep_probable(&mut self, enough: f64, top_p: f64) -> bool {
        if top_p >= 1.0 {
            return true;
        }
        let mut sum = 0.0;
        let reached = self.weights.iter().position(|w| {
            sum += w;
            sum >= enough
        });
        self.weights.truncate(reached.map_or(self.weights.len(), |last| last + 1));
        reached.is_some()
    }

    /// Keeps the most probable candidates that together reach `top_p`, sorting no more of them than needed.
    fn keep_probable_of_many(&mut self, candidates: &Candidates, top_p: f64, weight: impl Fn(f32) -> f64) {
        self.kept.clear();
        self.kept.extend(candidates.iter().map(|(id, logit)| (logit, id)));
        let enough = top_p * self.kept.iter().map(|(logit, _)| weight(*logit)).sum::<f64>();
        let mut count = MAX_SORTED / 16;
        loop {
            count = count.min(self.kept.len());
            self.kept.select_nth_unstable_by(count - 1, by_rank);
            if let Some(best) = self.kept.get_mut(..count) {
                best.sort_unstable_by(by_rank);
            }
            self.weigh(count, &weight);
            if self.keep_probable(enough, top_p) || count == self.kept.len() {
                return;
            }
            count *= 8;
        }
    }
}

fn by_rank(a: &(f32, TokenId), b: &(f32, TokenId)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampling::Rng;

    const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0 };

    fn sample(logits: &[f32], sampling: Sampling, rng: &mut Rng) -> Result<TokenId> {
        let runs = [Run { first: 10, columns: 0..logits.len() }];
        Sampler::default().sample(&Candidates::new(logits, &runs), &sampling, rng)
    }

    #[test]
    fn greedy_takes_the_largest_and_of_equals_the_first() {
        assert_eq!(sample(&[1.0, 3.0, 3.0, -1.0], GREEDY, &mut Rng::at(0, 0)).unwrap(), 11);
    }

    #[test]
    fn runs_keep_their_own_ids() {
        let runs = [Run { first: 2, columns: 1..3 }, Run { first: 100, columns: 4..6 }];
        let logits = [50.0, 0.0, 1.0, 60.0, 0.5, 9.0, 70.0];
        let drawn = Sampler::default().sample(&Candidates::new(&logits, &runs), &GREEDY, &mut Rng::at(0, 0));
        assert_eq!(drawn.unwrap(), 101);
    }

    #[test]
    fn probabilities_are_those_of_the_candidates_alone() {
        let runs = [Run { first: 2, columns: 1..3 }, Run { first: 100, columns: 4..6 }];
        let logits = [50.0, 0.1f32.ln() + 80.0, 0.4f32.ln() + 80.0, 60.0, 0.5f32.ln() + 80.0, f32::NEG_INFINITY, 70.0];
        let candidates = Candidates::new(&logits, &runs);
        for (id, probability) in [(2, 0.1), (3, 0.4), (100, 0.5), (101, 0.0), (1, 0.0), (7, 0.0)] {
            let found = candidates.log_probability(id).exp();
            assert!((found - probability).abs() < 1e-6, "id {id}: {found}, not {probability}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_right_are_refused() {
        for logits in [&[f32::NAN, 1.0][..], &[f32::INFINITY], &[f32::NEG_INFINITY; 3], &[]] {
            let error = sample(logits, GREEDY, &mut Rng::at(0, 0)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Numeric);
        }
    }

    #[test]
    fn draws_have_the_softmax_frequencies() {
        let logits = [0.0f32, 1.0, 2.0, -1.0, 0.5];
        let sampling = Sampling { temperature: 0.7, top_k: 4, top_p: 1.0 };
        let mut rng = Rng::at(7, 0);
        let draws = 40_000;
        let mut counts = [0usize; 5];
        for _ in 0..draws {
            counts[sample(&logits, sampling, &mut rng).unwrap() as usize - 10] += 1;
        }
        let mut weights = logits.map(|l| f64::from(l / 0.7).exp());
        weights[3] = 0.0; // outside the four best
        let sum: f64 = weights.iter().sum();
        assert_eq!(counts[3], 0);
        let chi_square: f64 = (0..5)
            .filter(|i| *i != 3)
            .map(|i| {
                let expected = draws as f64 * weights[i] / sum;
                (counts[i] as f64 - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_square < 16.27, "chi-square {chi_square} with 3 degrees of freedom: p below 0.001");
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_it() {
        let logits = [0.6f32.ln(), 0.3f32.ln(), 0.1f32.ln()];
        let mut rng = Rng::at(3, 0);
        let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 0.7 };
        let drawn: Vec<_> = (0..500).map(|_| sample(&logits, sampling, &mut rng).unwrap()).collect();
        assert!(drawn.contains(&10) && drawn.contains(&11) && !drawn.contains(&12));
    }

    #[test]
    fn the_most_probable_of_many_are_those_of_a_whole_sort() {
        let mut rng = Rng::at(9, 0);
        for spread in [0.0, 0.5, 4.0] {
            let logits: Vec<f32> = (0..3 * MAX_SORTED).map(|_| (rng.uniform() * 3.0 * spread) as f32).collect();
            let runs = [Run { first: 0, columns: 0..logits.len() }];
            let candidates = Candidates::new(&logits, &runs);
            for top_p in [0.01, 0.5, 0.95, 0.9999] {
                let weight = |logit: f32| f64::from(logit).exp();
                let (mut whole, mut part) = (Sampler::default(), Sampler::default());
                whole.keep_best(&candidates, 0);
                whole.weigh(logits.len(), weight);
                whole.keep_probable(top_p * whole.weights.iter().sum::<f64>(), top_p);
                part.keep_probable_of_many(&candidates, top_p, weight);
                let count = whole.weights.len();
                assert!(part.weights.len().abs_diff(count) <= 1, "the sums may round apart");
                let least = count.min(part.weights.len());
                assert_eq!(part.kept[..least], whole.kept[..least], "spread {spread}, top-p {top_p}");
            }
        }
    }

    #[test]
    fn one_seed_one_sequence() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
        let sampling = Sampling { temperature: 1.0, top_k: 20, top_p: 0.95 };
        let run = |seed| {
            let mut rng = Rng::at(seed, 0);
            (0..100).map(|_| sample(&logits, sampling, &mut rng).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    /// Returns the probability of each logit, computed in another way: by rank, one after another.
    fn probabilities(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        let mut ranked: Vec<usize> = (0..logits.len()).filter(|i| logits[*i] > f32::NEG_INFINITY).collect();
        ranked.sort_by(|a, b| logits[*b].partial_cmp(&logits[*a]).unwrap().then(a.cmp(b)));
        ranked.truncate(if sampling.top_k == 0 { usize::MAX } else { sampling.top_k });
        let max = f64::from(logits[ranked[0]]);
        let weight = |i: usize| ((f64::from(logits[i]) - max) / f64::from(sampling.temperature)).exp();
        let all: f64 = ranked.iter().map(|i| weight(*i)).sum();
        let mut sum = 0.0;
        let mut result = vec![0.0; logits.len()];
        for i in ranked {
            if sum < f64::from(sampling.top_p) || sampling.top_p >= 1.0 {
                result[i] = weight(i) / all;
            }
            sum += weight(i) / all;
        }
        let kept: f64 = result.iter().sum();
        result.iter().map(|p| p / kept).collect()
    }

    /// Returns the value that chi-square of `degrees` stays below but for one case in a million (Wilson and Hilferty).
    fn critical(degrees: usize) -> f64 {
        let part = 2.0 / (9.0 * degrees as f64);
        degrees as f64 * (1.0 - part + 4.75 * part.sqrt()).powi(3)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Ids that are masked, or beyond top-k or top-p, are never drawn; the others have their expected frequencies.
        #[test]
        fn any_row_is_drawn_from_with_its_own_frequencies(
            logits in prop::collection::vec(prop_oneof![1 => Just(f32::NEG_INFINITY), 6 => -4.0f32..4.0], 2..40),
            temperature in 0.3f32..2.0,
            top_k in 0usize..30,
            top_p in prop_oneof![Just(1.0f32), 0.2f32..0.99],
            cut in any::<prop::sample::Index>(),
            seed in any::<u64>(),
        ) {
            prop_assume!(logits.iter().any(|logit| logit.is_finite()));
            let sampling = Sampling { temperature, top_k, top_p };
            let expected = probabilities(&logits, &sampling);
            // two runs of ids, with a gap between them
            let first = cut.index(logits.len());
            let gap = 1000 + first as TokenId;
            let runs = [Run { first: 7, columns: 0..first }, Run { first: gap, columns: first..logits.len() }];
            let mut sampler = Sampler::default();
            let mut rng = Rng::at(seed, 0);
            let draws = 4000;
            let mut counts = vec![0usize; logits.len()];
            for _ in 0..draws {
                let id = sampler.sample(&Candidates::new(&logits, &runs), &sampling, &mut rng).unwrap();
                let column = if id >= gap { id - gap + first as TokenId } else { id - 7 };
                counts[column as usize] += 1;
            }
            let mut chi_square = 0.0;
            let mut bins = 0;
            let mut rare = (0usize, 0.0);
            for (count, share) in counts.into_iter().zip(expected) {
                let expected = share * f64::from(draws);
                prop_assert!(share > 0.0 || count == 0, "what is masked was drawn");
                if expected < 5.0 {
                    rare = (rare.0 + count, rare.1 + expected);
                } else {
                    chi_square += (count as f64 - expected).powi(2) / expected;
                    bins += 1;
                }
            }
            if rare.1 >= 5.0 {
                chi_square += (rare.0 as f64 - rare.1).powi(2) / rare.1;
                bins += 1;
            }
            prop_assert!(bins < 2 || chi_square < critical(bins - 1), "chi-square {} of {} bins", chi_square, bins);
        }
    }
}
