//! The assignment of rows to indices in the cache: the rows of a step must lie at the front.

/// The identity of a row, which stays the same while the row's index in the cache changes.
pub(super) type Row = usize;

/// The index, the length and the use of every row.
pub(super) struct Rows {
    /// Row index of each row.
    indices: Vec<usize>,
    /// Row at each row index.
    rows: Vec<Row>,
    /// Number of positions in each row; `None` for a free row.
    lens: Vec<Option<usize>>,
}

/// Two row indices whose contents are to be swapped, over the first `len` positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub indices: [usize; 2],
    pub len: usize,
}

impl Rows {
    pub(super) fn new(count: usize) -> Self {
        Self { indices: (0..count).collect(), rows: (0..count).collect(), lens: vec![None; count] }
    }

    /// Returns the number of rows.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of free rows.
    pub(super) fn free(&self) -> usize {
        self.lens.iter().filter(|len| len.is_none()).count()
    }

    /// Takes the `N` free rows nearest to the front; `None` if there are fewer.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[Row; N]> {
        let mut free = self.rows.iter().copied().filter(|row| self.lens[*row].is_none());
        let taken: Vec<Row> = free.by_ref().take(N).collect();
        let taken: [Row; N] = taken.try_into().ok()?;
        for row in taken {
            self.lens[row] = Some(0);
        }
        Some(taken)
    }

    /// Releases a row.
    pub(super) fn release(&mut self, row: Row) {
        self.lens[row] = None;
    }

    /// Returns the row index of `row`.
    pub(super) fn index(&self, row: Row) -> usize {
        self.indices[row]
    }

    /// Records the number of positions in `row`.
    pub(super) fn set_len(&mut self, row: Row, len: usize) {
        self.lens[row] = Some(len);
    }

    /// Assigns the first row indices to the rows `wanted`, in any order, and appends the necessary swaps to `exchanges`.
    pub(super) fn gather(&mut self, wanted: &[Row], exchanges: &mut Vec<Exchange>) {
        let mut behind = wanted.iter().copied();
        for index in 0..wanted.len() {
            let here = self.rows[index];
            if wanted.contains(&here) {
                continue;
            }
            let Some(row) = behind.find(|row| self.indices[*row] >= wanted.len()) else { return };
            let there = self.indices[row];
            let len = self.lens[here].unwrap_or(0).max(self.lens[row].unwrap_or(0));
            exchanges.push(Exchange { indices: [index, there], len });
            self.rows.swap(index, there);
            self.indices[here] = there;
            self.indices[row] = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_taken_from_the_front_and_released() {
        let mut rows = Rows::new(3);
        assert_eq!(rows.take::<2>(), Some([0, 1]));
        assert_eq!(rows.take::<2>(), None, "the one row left stays free");
        assert_eq!((rows.free(), rows.take::<1>()), (1, Some([2])));
        rows.release(1);
        assert_eq!((rows.count(), rows.free(), rows.take::<1>()), (3, 1, Some([1])));
    }

    #[test]
    fn rows_at_the_front_are_not_moved() {
        let mut rows = Rows::new(4);
        rows.take::<3>().unwrap();
        let mut exchanges = Vec::new();
        rows.gather(&[1, 0], &mut exchanges);
        assert_eq!(exchanges, []);
        rows.set_len(0, 5);
        rows.set_len(2, 3);
        rows.gather(&[2, 1], &mut exchanges);
        assert_eq!(exchanges, [Exchange { indices: [0, 2], len: 5 }]);
        assert_eq!([0, 1, 2].map(|row| rows.index(row)), [2, 1, 0]);
    }

    proptest! {
        /// Gathered rows lie at the front, and every row's contents follow its index.
        #[test]
        fn wanted_rows_are_gathered_at_the_front(steps in prop::collection::vec(prop::collection::btree_set(0usize..8, 1..8), 1..20)) {
            let mut rows = Rows::new(8);
            rows.take::<8>().unwrap();
            let mut memory: Vec<Row> = (0..8).collect();
            for wanted in steps {
                let wanted: Vec<Row> = wanted.into_iter().collect();
                let mut exchanges = Vec::new();
                rows.gather(&wanted, &mut exchanges);
                prop_assert!(exchanges.len() <= wanted.len());
                for Exchange { indices: [one, other], .. } in exchanges {
                    memory.swap(one, other);
                }
                prop_assert!(wanted.iter().all(|row| rows.index(*row) < wanted.len()));
                prop_assert!((0..8).all(|row| memory[rows.index(row)] == row));
            }
        }
    }
}
