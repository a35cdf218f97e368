//! Copies of rows between buffers in memory of the host.

use half::f16;
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::shape::Row;

/// A number in the cache.
pub(super) trait Element: PrimitiveTensorElementType + Copy + PartialEq + std::fmt::Debug + 'static {
    fn to_float(self) -> f32;
    fn from_float(value: f32) -> Self;
}

impl Element for f32 {
    fn to_float(self) -> f32 {
        self
    }
    fn from_float(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    fn to_float(self) -> f32 {
        self.to_f32()
    }
    fn from_float(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Copies `len` positions of a row of the buffers `from` to a row of the buffers `to`.
pub(super) fn copy_between<T: Element>(
    from: &[Tensor<T>],
    from_row: Row,
    to: &mut [Tensor<T>],
    to_row: Row,
    len: usize,
) {
    let moved = len * to_row.shape.head_size;
    for (from, to) in from.iter().zip(to) {
        let from = from.extract_tensor().1.chunks_exact(from_row.of_head()).skip(from_row.first_head());
        let to = to.extract_tensor_mut().1.chunks_exact_mut(to_row.of_head()).skip(to_row.first_head());
        for (from, to) in from.zip(to).take(to_row.shape.heads) {
            to[..moved].copy_from_slice(&from[..moved]);
        }
    }
}

/// Copies `len` positions of the row `from` to the row `to` of the same buffers.
pub(super) fn copy_within<T: Element>(buffers: &mut [Tensor<T>], from: Row, to: Row, len: usize) {
    for buffer in buffers {
        let buffer = buffer.extract_tensor_mut().1;
        for head in 0..from.shape.heads {
            let [from_start, to_start] = [from, to].map(|row| (row.first_head() + head) * row.of_head());
            buffer.copy_within(from_start..from_start + len * from.shape.head_size, to_start);
        }
    }
}

/// Swaps `len` positions of the rows `low` and `high`; does nothing if they are one row.
pub(super) fn swap<T: Element>(buffers: &mut [Tensor<T>], low: Row, high: Row, len: usize) {
    if low.index == high.index {
        return;
    }
    let of_head = low.of_head();
    let moved = len * low.shape.head_size;
    for buffer in buffers {
        let (before, from_high) = buffer.extract_tensor_mut().1.split_at_mut(high.first_head() * of_head);
        let from_low = before[low.first_head() * of_head..].chunks_exact_mut(of_head);
        for (one, other) in from_low.zip(from_high.chunks_exact_mut(of_head)).take(low.shape.heads) {
            one[..moved].swap_with_slice(&mut other[..moved]);
        }
    }
}

/// Fills `len` positions of a row of the buffers `to` with the one position in `from`. `place_key` moves a key from position 0
/// to another position.
pub(super) fn repeat<T: Element>(
    from: &[Tensor<T>],
    to: &mut [Tensor<T>],
    row: Row,
    len: usize,
    place_key: &impl Fn(usize, &mut [f32]),
) {
    let size = row.shape.head_size;
    let mut key = vec![0.0; size];
    for (index, (from, to)) in from.iter().zip(to).enumerate() {
        let is_key = index % 2 == 0;
        let heads = to.extract_tensor_mut().1.chunks_exact_mut(row.of_head()).skip(row.first_head());
        for (head, one) in heads.zip(from.extract_tensor().1.chunks_exact(size)) {
            for (position, numbers) in head[..len * size].chunks_exact_mut(size).enumerate() {
                if !is_key {
                    numbers.copy_from_slice(one);
                    continue;
                }
                for (number, at_zero) in key.iter_mut().zip(one) {
                    *number = at_zero.to_float();
                }
                place_key(position, &mut key);
                for (number, placed) in numbers.iter_mut().zip(&key) {
                    *number = T::from_float(*placed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheShape;
    use crate::runtime::Moves;

    const SHAPE: CacheShape = CacheShape { layers: 1, heads: 3, head_size: 2, is_half: false };
    const CAPACITY: usize = 5;

    /// Returns a buffer of consecutive numbers from `first` on.
    fn buffer(rows: usize, capacity: usize, first: usize) -> Tensor<f32> {
        let dimensions = SHAPE.dimensions(rows, capacity);
        let len: usize = dimensions.iter().product();
        Tensor::from_array((dimensions, (first..first + len).map(|n| n as f32).collect::<Vec<_>>())).unwrap()
    }

    /// Returns the numbers of `to` after `moves`, computed as the graph on a device computes them.
    fn moved(to: &Tensor<f32>, from: &Tensor<f32>, moves: &Moves) -> Vec<f32> {
        let from = from.extract_tensor().1;
        let mut to = to.extract_tensor().1.to_vec();
        let size = SHAPE.head_size;
        for (source, target) in moves.pairs() {
            to[target * size..(target + 1) * size].copy_from_slice(&from[source * size..(source + 1) * size]);
        }
        to
    }

    #[test]
    fn a_device_moves_what_the_host_moves() {
        let at = |index| Row { shape: SHAPE, capacity: CAPACITY, index };
        for len in 0..=CAPACITY {
            let mut host = [buffer(4, CAPACITY, 0)];
            let expected = moved(&host[0], &host[0], &at(2).copy_moves(at(1), len));
            copy_within(&mut host, at(2), at(1), len);
            assert_eq!(host[0].extract_tensor().1, expected, "{len} positions copied");

            let mut host = [buffer(4, CAPACITY, 0)];
            let expected = moved(&host[0], &host[0], &at(1).swap_moves(at(3), len));
            swap(&mut host, at(1), at(3), len);
            assert_eq!(host[0].extract_tensor().1, expected, "{len} positions swapped");

            let mut larger = [buffer(4, CAPACITY + 3, 0)];
            let other = [buffer(2, CAPACITY, 1000)];
            let target = Row { capacity: CAPACITY + 3, ..at(3) };
            let expected = moved(&larger[0], &other[0], &at(1).copy_moves(target, len));
            copy_between(&other, at(1), &mut larger, target, len);
            assert_eq!(larger[0].extract_tensor().1, expected, "{len} positions copied from another cache");
        }
    }
}
