//! Ranges of token ids.

use serde::{Deserialize, Serialize};

use super::TokenId;

/// A half-open range of token ids, written `[start, end]` in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "[TokenId; 2]", into = "[TokenId; 2]")]
#[expect(clippy::exhaustive_structs, reason = "an interval is its two bounds")]
pub struct Interval {
    /// The first id.
    pub start: TokenId,
    /// One past the last id.
    pub end: TokenId,
}

impl Interval {
    /// Returns the interval of one id.
    pub(crate) fn of(id: TokenId) -> Self {
        Self { start: id, end: id.saturating_add(1) }
    }

    /// Returns the number of ids; 0 for an interval that ends before it starts.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Returns whether the interval holds no id.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Returns whether the interval holds `id`.
    pub fn contains(&self, id: TokenId) -> bool {
        (self.start..self.end).contains(&id)
    }

    /// Returns whether the intervals have an id in common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }
}

impl From<[TokenId; 2]> for Interval {
    fn from([start, end]: [TokenId; 2]) -> Self {
        Self { start, end }
    }
}

impl From<Interval> for [TokenId; 2] {
    fn from(interval: Interval) -> Self {
        [interval.start, interval.end]
    }
}

/// Sorts `intervals` and joins those that overlap, so that each id is in one of them.
pub(crate) fn union(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.retain(|interval| !interval.is_empty());
    intervals.sort_unstable_by_key(|interval| interval.start);
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match joined.last_mut() {
            Some(last) if last.overlaps(&interval) => last.end = last.end.max(interval.end),
            _ => joined.push(interval),
        }
    }
    joined
}

/// Returns the index of `id` among all ids of `intervals`, in order.
pub(crate) fn column_of(id: TokenId, intervals: &[Interval]) -> Option<usize> {
    let mut before = 0;
    for interval in intervals {
        if interval.contains(id) {
            return Some(before + (id - interval.start) as usize);
        }
        before += interval.len();
    }
    None
}

/// Returns the ids of `intervals` without `removed`.
pub(crate) fn without(intervals: Vec<Interval>, removed: &[TokenId]) -> Vec<Interval> {
    removed.iter().fold(intervals, |intervals, id| {
        let split = |interval: Interval| {
            if !interval.contains(*id) {
                return vec![interval];
            }
            vec![Interval { end: *id, ..interval }, Interval { start: *id + 1, ..interval }]
        };
        intervals.into_iter().flat_map(split).filter(|interval| !interval.is_empty()).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unions_and_differences_hold_the_right_ids(
            intervals in prop::collection::vec((0u32..40, 0u32..12), 0..6),
            removed in prop::collection::vec(0u32..50, 0..4),
        ) {
            let intervals: Vec<_> = intervals.into_iter().map(|(start, len)| Interval { start, end: start + len }).collect();
            let joined = union(intervals.clone());
            prop_assert!(joined.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let left = without(joined.clone(), &removed);
            for id in 0..60 {
                let within = intervals.iter().any(|interval| interval.contains(id));
                prop_assert_eq!(joined.iter().filter(|interval| interval.contains(id)).count(), usize::from(within));
                let expected = usize::from(within && !removed.contains(&id));
                prop_assert_eq!(left.iter().filter(|interval| interval.contains(id)).count(), expected);
            }
        }
    }
}
