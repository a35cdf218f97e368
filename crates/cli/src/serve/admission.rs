//! Admission of requests: memory for bodies, the request queue, and slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// The unit of the body semaphore, in bytes.
const BLOCK: u64 = 1024;
/// The longest `Retry-After`, in seconds.
const LONGEST_WAIT: u32 = 60;

/// The free capacity of every limited resource.
pub struct Admission {
    slots: Arc<Semaphore>,
    /// The slots, and the positions in the queue.
    admitted: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    max_slots: usize,
    max_admitted: usize,
    /// The moving mean of reply times, in milliseconds.
    mean_reply: AtomicU64,
}

/// The memory of one body, released on drop.
pub struct BodyPermit {
    _permit: OwnedSemaphorePermit,
}

/// A slot, released on drop.
pub struct Slot {
    _admitted: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(slots: u16, queue: u16, bodies: u64) -> Self {
        let max_slots = usize::from(slots);
        let max_admitted = max_slots + usize::from(queue);
        Self {
            slots: Arc::new(Semaphore::new(max_slots)),
            admitted: Arc::new(Semaphore::new(max_admitted)),
            bodies: Arc::new(Semaphore::new(blocks(bodies) as usize)),
            max_slots,
            max_admitted,
            mean_reply: AtomicU64::new(1000),
        }
    }

    /// Reserves memory for a body of `bytes`.
    ///
    /// # Errors
    /// 429 if the bodies of the requests in progress take all the memory.
    pub fn body(&self, bytes: u64) -> Result<BodyPermit, ApiError> {
        let permit = Arc::clone(&self.bodies).try_acquire_many_owned(blocks(bytes));
        permit.map(|permit| BodyPermit { _permit: permit }).map_err(|_| ApiError::bodies_full(self.retry_after()))
    }

    /// Waits for a slot, first come, first served.
    ///
    /// # Errors
    /// 429 if the queue is full.
    pub async fn slot(&self) -> Result<Slot, ApiError> {
        let full = |_| ApiError::queue_full(self.retry_after());
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(full)?;
        // the semaphore is never closed
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ApiError::queue_full(LONGEST_WAIT))?;
        Ok(Slot { _admitted: admitted, _slot: slot })
    }

    /// Takes up to `max` slots for the further takes of a request. One free slot is left for the next request.
    pub fn extra_slots(&self, max: usize) -> Vec<Slot> {
        let next = || {
            if self.slots.available_permits() <= 1 {
                return None;
            }
            let admitted = Arc::clone(&self.admitted).try_acquire_owned().ok()?;
            Some(Slot { _admitted: admitted, _slot: Arc::clone(&self.slots).try_acquire_owned().ok()? })
        };
        std::iter::from_fn(next).take(max).collect()
    }

    /// Returns the number of slots in use.
    pub fn slots_in_use(&self) -> usize {
        self.max_slots - self.slots.available_permits()
    }

    /// Returns the number of requests in the queue.
    pub fn waiting(&self) -> usize {
        (self.max_admitted - self.admitted.available_permits()).saturating_sub(self.slots_in_use())
    }

    /// Updates the mean of reply times.
    pub fn record_reply(&self, time: Duration) {
        let took = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let updated = |mean: u64| Some(mean - mean / 8 + took / 8);
        let _ = self.mean_reply.fetch_update(Ordering::Relaxed, Ordering::Relaxed, updated);
    }

    /// Estimates the time until the queue has room, in seconds.
    fn retry_after(&self) -> u32 {
        let each = self.mean_reply.load(Ordering::Relaxed) / 1000 + 1;
        let rounds = (self.waiting() / self.max_slots.max(1)) as u64 + 1;
        u32::try_from(each * rounds).unwrap_or(u32::MAX).clamp(1, LONGEST_WAIT)
    }
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX).clamp(1, 1 << 28)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn slots_are_given_in_order_and_the_queue_is_limited() {
        let admission = Arc::new(Admission::new(1, 1, 4096));
        let first = admission.slot().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.slot().await.map(drop).is_ok() }
        });
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((admission.slots_in_use(), admission.waiting()), (1, 1));
        assert_eq!(admission.slot().await.err().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!((admission.slots_in_use(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn takes_get_free_slots_and_leave_one() {
        let admission = Admission::new(4, 1, 4096);
        let _first = admission.slot().await.unwrap();
        assert_eq!(admission.extra_slots(1).len(), 1);
        let extra = admission.extra_slots(7);
        assert_eq!((extra.len(), admission.slots_in_use(), admission.waiting()), (2, 3, 0));
        let _next = admission.slot().await.unwrap();
        assert!(admission.extra_slots(7).is_empty(), "all are taken");
        drop(extra);
        assert_eq!(admission.slots_in_use(), 2);
    }

    #[test]
    fn bodies_share_their_memory() {
        let admission = Admission::new(1, 0, 4096);
        let half = admission.body(2000).unwrap();
        let other = admission.body(2048).unwrap();
        assert!(admission.body(1).is_err());
        drop((half, other));
        assert!(admission.body(4096).is_ok() && admission.body(5000).is_err());
    }

    #[test]
    fn retry_after_follows_the_mean_reply_time() {
        let admission = Admission::new(2, 8, 4096);
        assert_eq!(admission.retry_after(), 2);
        for _ in 0..100 {
            admission.record_reply(Duration::from_secs(20));
        }
        assert!((18..=21).contains(&admission.retry_after()), "{}", admission.retry_after());
        for _ in 0..100 {
            admission.record_reply(Duration::from_secs(10_000));
        }
        assert_eq!(admission.retry_after(), LONGEST_WAIT);
    }
}
