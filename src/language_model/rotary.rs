//! The rotary position embedding of keys.

#![expect(clippy::indexing_slicing, reason = "the frequencies are at most as many as the components of half a head")]

/// Rotary position embedding on halves (Qwen2): the angle of component i at position p is `p · theta^(−2i / size)`.
#[derive(Clone)]
pub(super) struct Rotary {
    /// Number of components of half a head; components beyond the frequencies are not rotated.
    half: usize,
    frequencies: Vec<f64>,
}

/// The sine and cosine of every frequency at the first positions.
pub(super) struct Turns<'a> {
    rotary: &'a Rotary,
    /// Shape [positions, frequencies], flattened.
    turns: Vec<(f64, f64)>,
}

impl Rotary {
    /// Creates the embedding of heads with `head_size` components in the cache and `size` in the model.
    pub(super) fn new(theta: f64, head_size: usize, size: usize) -> Self {
        let frequencies = (0..size / 2).map(|i| theta.powf(-2.0 * i as f64 / size as f64)).collect();
        Self { half: head_size / 2, frequencies }
    }

    /// Computes the sines and cosines of the positions `0..len`.
    pub(super) fn turns(&self, len: usize) -> Turns<'_> {
        let angles = |position| self.frequencies.iter().map(move |frequency| position as f64 * frequency);
        Turns { rotary: self, turns: (0..len).flat_map(angles).map(f64::sin_cos).collect() }
    }
}

impl Turns<'_> {
    /// Rotates `key` from position 0 to `position`.
    pub(super) fn rotate(&self, position: usize, key: &mut [f32]) {
        let Rotary { half, frequencies } = self.rotary;
        let turns = &self.turns[position * frequencies.len()..];
        for (i, (sin, cos)) in turns.iter().take(frequencies.len()).enumerate() {
            let a = f64::from(key[i]);
            let b = f64::from(key[half + i]);
            key[i] = (a * cos - b * sin) as f32;
            key[half + i] = (b * cos + a * sin) as f32;
        }
    }
}
