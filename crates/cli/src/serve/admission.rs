//! Admission of requests: memory for bodies, places in the queue, and seats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// Bodies are counted in these.
const BLOCK: u64 = 1024;
/// The longest that a client is told to stay away, in seconds.
const LONGEST_WAIT: u32 = 60;

/// The free capacity of every limited resource.
pub struct Admission {
    seats: Arc<Semaphore>,
    /// Seats, and places to wait for one.
    places: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    most_seats: usize,
    most_places: usize,
    /// The duration of a reply in milliseconds, as a moving mean.
    usual: AtomicU64,
}

/// Memory for one body.
pub struct BodyPermit {
    _permit: OwnedSemaphorePermit,
}

/// A place in the queue, then a seat; free again when it is dropped.
pub struct Seat {
    _place: OwnedSemaphorePermit,
    _seat: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(seats: u16, queue: u16, bodies: u64) -> Self {
        let (most_seats, most_places) = (usize::from(seats), usize::from(seats) + usize::from(queue));
        Self {
            seats: Arc::new(Semaphore::new(most_seats)),
            places: Arc::new(Semaphore::new(most_places)),
            bodies: Arc::new(Semaphore::new(blocks(bodies) as usize)),
            most_seats,
            most_places,
            usual: AtomicU64::new(1000),
        }
    }

    /// Room for a body of `bytes`.
    ///
    /// # Errors
    /// 429: too many are being read.
    pub fn body(&self, bytes: u64) -> Result<BodyPermit, ApiError> {
        let permit = Arc::clone(&self.bodies).try_acquire_many_owned(blocks(bytes));
        permit.map(|permit| BodyPermit { _permit: permit }).map_err(|_| ApiError::queue_full(self.retry_after()))
    }

    /// Waits for a seat, first come, first served.
    ///
    /// # Errors
    /// 429: too many are waiting.
    pub async fn seat(&self) -> Result<Seat, ApiError> {
        let full = |_| ApiError::queue_full(self.retry_after());
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        // the semaphore is never closed
        let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(|_| ApiError::queue_full(LONGEST_WAIT))?;
        Ok(Seat { _place: place, _seat: seat })
    }

    /// Seats for takes that are made beside the first one, at most `most`: of those that are free, all but one, which is
    /// for the next request.
    pub fn company(&self, most: usize) -> Vec<Seat> {
        let free = || self.seats.available_permits() > 1;
        let seat = || {
            let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
            Some(Seat { _place: place, _seat: Arc::clone(&self.seats).try_acquire_owned().ok()? })
        };
        std::iter::from_fn(|| free().then(seat).flatten()).take(most).collect()
    }

    /// Requests that have a seat, and takes that have one of their own.
    pub fn seated(&self) -> usize {
        self.most_seats - self.seats.available_permits()
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        (self.most_places - self.places.available_permits()).saturating_sub(self.seated())
    }

    /// A reply was made in that time.
    pub fn took(&self, time: Duration) {
        let took = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mean = |usual: u64| Some(usual - usual / 8 + took / 8);
        let _ = self.usual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mean);
    }

    /// Seconds after which a place should be free.
    fn retry_after(&self) -> u32 {
        let each = self.usual.load(Ordering::Relaxed) / 1000 + 1;
        let rounds = (self.waiting() / self.most_seats.max(1)) as u64 + 1;
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
    async fn seats_are_given_in_order_and_no_more_wait_than_may() {
        let admission = Arc::new(Admission::new(1, 1, 4096));
        let first = admission.seat().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.seat().await.map(drop).is_ok() }
        });
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((admission.seated(), admission.waiting()), (1, 1));
        assert_eq!(admission.seat().await.err().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!((admission.seated(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn takes_get_the_seats_that_are_free_and_leave_one() {
        let admission = Admission::new(4, 1, 4096);
        let _first = admission.seat().await.unwrap();
        assert_eq!(admission.company(1).len(), 1);
        let company = admission.company(7);
        assert_eq!((company.len(), admission.seated(), admission.waiting()), (2, 3, 0));
        let _next = admission.seat().await.unwrap();
        assert!(admission.company(7).is_empty(), "all are taken");
        drop(company);
        assert_eq!(admission.seated(), 2);
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
    fn one_is_told_to_wait_as_long_as_replies_usually_take() {
        let admission = Admission::new(2, 8, 4096);
        assert_eq!(admission.retry_after(), 2);
        (0..100).for_each(|_| admission.took(Duration::from_secs(20)));
        assert!((18..=21).contains(&admission.retry_after()), "{}", admission.retry_after());
        (0..100).for_each(|_| admission.took(Duration::from_secs(10_000)));
        assert_eq!(admission.retry_after(), LONGEST_WAIT);
    }
}
