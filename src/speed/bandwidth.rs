//! The bandwidth of memory.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// The size of the buffer in bytes, several times the size of usual caches.
const BYTES: usize = 256 << 20;
const PASSES: usize = 8;

/// Returns the bytes per second that `threads` threads read together: the best of [`PASSES`] passes over the buffer.
///
/// # Errors
/// [`ErrorKind::Limit`] if there is no memory for the buffer.
pub(super) fn measure(threads: usize) -> Result<f64> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(BYTES / size_of::<u64>()).map_err(|e| {
        let what =
            format!("measuring the memory takes {} MiB, which are not free: measure without limits", BYTES >> 20);
        Error::new(ErrorKind::Limit, what).with_source(e)
    })?;
    numbers.resize(BYTES / size_of::<u64>(), 1_u64);
    let best = (0..PASSES).map(|_| pass(&numbers, threads)).fold(f64::INFINITY, f64::min);
    Ok(BYTES as f64 / best)
}

/// Reads all `numbers`, a part in each thread, and returns the duration in seconds.
fn pass(numbers: &[u64], threads: usize) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for part in numbers.chunks(numbers.len().div_ceil(threads.max(1))) {
            scope.spawn(move || black_box(part.iter().fold(0_u64, |sum, number| sum.wrapping_add(*number))));
        }
    });
    start.elapsed().as_secs_f64()
}
