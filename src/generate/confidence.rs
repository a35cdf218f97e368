//! The confidence of a text: what probability the model gave its tokens.

/// The probabilities of a text's tokens; their geometric mean is its confidence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confidence {
    log_probability: f64,
    tokens: u32,
}

impl Confidence {
    /// Adds a token by the logarithm of its probability.
    pub fn add(&mut self, log_probability: f64) {
        self.log_probability += log_probability;
        self.tokens += 1;
    }

    /// Returns the mean; `None` without tokens.
    pub fn mean(self) -> Option<f64> {
        (self.tokens > 0).then(|| (self.log_probability / f64::from(self.tokens)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_geometric() {
        let mut confidence = Confidence::default();
        assert_eq!(confidence.mean(), None);
        for probability in [0.2f64, 0.8, 1.0] {
            confidence.add(probability.ln());
        }
        assert!((confidence.mean().unwrap() - 0.16f64.cbrt()).abs() < 1e-12);
    }
}
