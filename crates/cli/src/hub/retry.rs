//! Retries after network errors and when the hub is busy.

use std::time::Duration;

use ualm::{Cancel, Error, Result};

/// The maximum number of failed attempts in a row.
const MAX_ATTEMPTS: u32 = 5;
/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest `Retry-After` that is honoured.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The interval at which a wait checks for cancellation.
const STEP: Duration = Duration::from_millis(100);

/// A failed attempt.
#[derive(Debug)]
pub enum Failure {
    /// Another attempt would fail as well.
    Permanent(Error),
    /// Another attempt may succeed, after the hub's `Retry-After` if it sent one.
    Temporary(Error, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Permanent(error)
    }
}

/// A counter of failed attempts.
#[derive(Default)]
pub struct Attempts {
    failed: u32,
}

impl Attempts {
    /// Resets the count after an attempt made progress.
    pub fn progress(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next attempt, after passing a message to `report`.
    ///
    /// # Errors
    /// The error of the failure if there is no further attempt; [`ualm::ErrorKind::Cancelled`].
    pub fn wait(&mut self, failure: Failure, cancel: &Cancel, report: &dyn Fn(&str)) -> Result<()> {
        let (error, asked) = match failure {
            Failure::Permanent(error) => return Err(error),
            Failure::Temporary(error, asked) => (error, asked),
        };
        self.failed += 1;
        if self.failed >= MAX_ATTEMPTS {
            return Err(error.context(format!("{MAX_ATTEMPTS} attempts failed")));
        }
        if let Some(asked) = asked.filter(|asked| *asked > LONGEST_WAIT) {
            let seconds = asked.as_secs();
            return Err(error.context(format!("the hub refuses requests for the next {seconds} s: try again later")));
        }
        let own = with_jitter(FIRST_WAIT * 2_u32.pow(self.failed - 1));
        let wait = asked.map_or(own, |asked| asked.max(own));
        report(&format!("{}; trying again in {:.1} s", error.full_message(), wait.as_secs_f64()));
        sleep(wait, cancel)
    }

    /// Calls `attempt` until it succeeds.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn until<T>(
        mut self,
        cancel: &Cancel,
        report: &dyn Fn(&str),
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(failure, cancel, report)?,
            }
        }
    }
}

/// Adds up to a quarter at random, so that clients do not retry in lockstep.
fn with_jitter(wait: Duration) -> Duration {
    let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    wait.mul_f64(1.0 + share / 4.0)
}

fn sleep(wait: Duration, cancel: &Cancel) -> Result<()> {
    let mut left = wait;
    while !left.is_zero() {
        cancel.check()?;
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
    cancel.check()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use ualm::ErrorKind;

    use super::*;

    fn temporary(wait: Option<u64>) -> Failure {
        Failure::Temporary(Error::new(ErrorKind::Io, "busy"), wait.map(Duration::from_secs))
    }

    #[test]
    fn a_failed_attempt_is_retried_with_a_message() {
        let tried = Cell::new(0);
        let reported = RefCell::new(Vec::new());
        let attempt = || {
            tried.set(tried.get() + 1);
            if tried.get() < 2 { Err(temporary(None)) } else { Ok(tried.get()) }
        };
        let report = |what: &str| reported.borrow_mut().push(what.to_owned());
        assert_eq!(Attempts::default().until(&Cancel::new(), &report, attempt).unwrap(), 2);
        assert!(matches!(&reported.borrow()[..], [message] if message.starts_with("busy; trying again in 0.")));
    }

    #[test]
    fn attempts_are_limited() {
        let mut attempts = Attempts { failed: MAX_ATTEMPTS - 1 };
        let error = attempts.wait(temporary(None), &Cancel::new(), &|_| panic!("no other one")).unwrap_err();
        assert_eq!(error.to_string(), "5 attempts failed: busy");
        let error = Attempts::default().wait(temporary(Some(3600)), &Cancel::new(), &|_| {}).unwrap_err();
        assert!(error.to_string().contains("3600 s"), "{error}");
        let last = Failure::Permanent(Error::new(ErrorKind::Io, "gone"));
        assert_eq!(Attempts::default().wait(last, &Cancel::new(), &|_| {}).unwrap_err().to_string(), "gone");
        let cancel = Cancel::new();
        cancel.cancel();
        let error = Attempts::default().wait(temporary(Some(60)), &cancel, &|_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}
