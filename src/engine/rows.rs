//! The places of the cache's rows: those that take part in a step must lie at the front.

/// A row by its name, which it keeps while its place changes.
pub(super) type Row = usize;

/// Which row lies where, which ones are free, and how much each holds.
pub(super) struct Rows {
    /// The place of each row.
    places: Vec<usize>,
    /// The row at each place.
    rows: Vec<Row>,
    /// Positions that each row holds; none when it is free.
    lens: Vec<Option<usize>>,
}

/// Two places whose rows change with each other, as far as they hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub places: [usize; 2],
    pub len: usize,
}

impl Rows {
    pub(super) fn new(count: usize) -> Self {
        Self { places: (0..count).collect(), rows: (0..count).collect(), lens: vec![None; count] }
    }

    /// All rows.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Rows that nobody has.
    pub(super) fn free(&self) -> usize {
        self.lens.iter().filter(|len| len.is_none()).count()
    }

    /// Takes `N` free rows, those nearest to the front; none when there are fewer.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[Row; N]> {
        let mut free = self.rows.iter().copied().filter(|row| self.lens[*row].is_none());
        let taken: Vec<Row> = free.by_ref().take(N).collect();
        let taken: [Row; N] = taken.try_into().ok()?;
        taken.iter().for_each(|row| self.lens[*row] = Some(0));
        Some(taken)
    }

    /// Gives a row back.
    pub(super) fn release(&mut self, row: Row) {
        self.lens[row] = None;
    }

    /// Where `row` lies.
    pub(super) fn place(&self, row: Row) -> usize {
        self.places[row]
    }

    /// Notes how many positions `row` holds.
    pub(super) fn set_len(&mut self, row: Row, len: usize) {
        self.lens[row] = Some(len);
    }

    /// Brings the rows `wanted` to the first places, in any order; appends to `exchanges` what has to change for that.
    pub(super) fn gather(&mut self, wanted: &[Row], exchanges: &mut Vec<Exchange>) {
        let mut behind = wanted.iter().copied();
        for place in 0..wanted.len() {
            let here = self.rows[place];
            if wanted.contains(&here) {
                continue;
            }
            let Some(row) = behind.find(|row| self.places[*row] >= wanted.len()) else { return };
            let there = self.places[row];
            let len = self.lens[here].unwrap_or(0).max(self.lens[row].unwrap_or(0));
            exchanges.push(Exchange { places: [place, there], len });
            self.rows.swap(place, there);
            (self.places[here], self.places[row]) = (there, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_taken_from_the_front_and_given_back() {
        let mut rows = Rows::new(3);
        assert_eq!(rows.take::<2>(), Some([0, 1]));
        assert_eq!(rows.take::<2>(), None, "one is left, and stays");
        assert_eq!((rows.free(), rows.take::<1>()), (1, Some([2])));
        rows.release(1);
        assert_eq!((rows.count(), rows.free(), rows.take::<1>()), (3, 1, Some([1])));
    }

    #[test]
    fn rows_that_lie_in_front_stay() {
        let mut rows = Rows::new(4);
        rows.take::<3>().unwrap();
        let mut exchanges = Vec::new();
        rows.gather(&[1, 0], &mut exchanges);
        assert_eq!(exchanges, []);
        rows.set_len(0, 5);
        rows.set_len(2, 3);
        rows.gather(&[2, 1], &mut exchanges);
        assert_eq!(exchanges, [Exchange { places: [0, 2], len: 5 }]);
        assert_eq!([0, 1, 2].map(|row| rows.place(row)), [2, 1, 0]);
    }

    proptest! {
        /// Whatever is gathered lies in front then, and every row's numbers have come along.
        #[test]
        fn the_wanted_rows_come_to_the_front(steps in prop::collection::vec(prop::collection::btree_set(0usize..8, 1..8), 1..20)) {
            let mut rows = Rows::new(8);
            rows.take::<8>().unwrap();
            let mut memory: Vec<Row> = (0..8).collect();
            for wanted in steps {
                let wanted: Vec<Row> = wanted.into_iter().collect();
                let mut exchanges = Vec::new();
                rows.gather(&wanted, &mut exchanges);
                prop_assert!(exchanges.len() <= wanted.len());
                exchanges.iter().for_each(|exchange| memory.swap(exchange.places[0], exchange.places[1]));
                prop_assert!(wanted.iter().all(|row| rows.place(*row) < wanted.len()));
                prop_assert!((0..8).all(|row| memory[rows.place(row)] == row));
            }
        }
    }
}
