//! Reorders takes that end in any order.

use std::collections::BTreeMap;

/// A reorder buffer: items that wait for earlier ones.
pub struct InOrder<T> {
    next: usize,
    waiting: BTreeMap<usize, T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> InOrder<T> {
    /// Adds the item with `index`, from 0, and returns the items that are next in order, with their indices.
    pub fn push(&mut self, index: usize, item: T) -> Vec<(usize, T)> {
        self.waiting.insert(index, item);
        let mut ready = Vec::new();
        while let Some(item) = self.waiting.remove(&self.next) {
            ready.push((self.next, item));
            self.next += 1;
        }
        ready
    }

    /// Returns the items that wait for a missing one.
    pub fn rest(&mut self) -> impl Iterator<Item = (usize, T)> + use<T> {
        std::mem::take(&mut self.waiting).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::InOrder;

    #[test]
    fn items_are_returned_in_order() {
        let mut order = InOrder::default();
        assert_eq!(order.push(1, 'b'), []);
        assert_eq!(order.push(3, 'd'), []);
        assert_eq!(order.push(0, 'a'), [(0, 'a'), (1, 'b')]);
        assert_eq!(order.rest().collect::<Vec<_>>(), [(3, 'd')]);
    }
}
