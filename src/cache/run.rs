//! The length of a run, which bounds the memory of its attention.

/// The most bytes of the attention scores of one layer in a run.
const MOST_SCORES: usize = 256 << 20;

/// Returns the number of positions, at least 1 and at most `most`, to append in one run to a sequence of `before`
/// positions.
///
/// ONNX Runtime holds the scores of a layer at once: a float for each of its `heads` query heads, each appended position
/// and each position of the sequence. Runs are shortened where the scores would exceed 256 MiB.
pub(crate) fn run_length(heads: usize, before: usize, most: usize) -> usize {
    let scores = MOST_SCORES / size_of::<f32>() / heads.max(1);
    let fits = |length: usize| length.saturating_mul(before.saturating_add(length)) <= scores;
    if fits(most) {
        return most;
    }
    // the sequence is at most `before + most` long
    (scores / before.saturating_add(most).max(1)).clamp(1, most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shortened_where_the_sequence_is_long() {
        for (heads, before, most, expected) in [
            (16, 0, 512, 512),
            (16, 8192 - 512, 512, 512),
            (16, 8192, 512, 481),
            (16, 22_000, 512, 186),
            (32, 8192 - 256, 256, 256),
            (1 << 12, 1 << 24, 512, 1),
            (usize::MAX, usize::MAX, 512, 1),
        ] {
            let length = run_length(heads, before, most);
            assert_eq!(length, expected, "{heads} heads after {before}");
            assert!(length == 1 || heads * length * (before + length) * 4 <= MOST_SCORES);
        }
    }
}
