//! Attempts that are made again: after breaks of the network, and when the hub is busy.

use std::time::Duration;

use ualm::{Cancel, Error, Result};

/// Attempts in a row that may fail.
const MOST: u32 = 5;
/// The wait after the first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that the hub may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The steps in which a wait looks whether it is cancelled.
const STEP: Duration = Duration::from_millis(100);

/// A failed attempt.
#[derive(Debug)]
pub enum Failure {
    /// Another attempt would fail as well.
    Final(Error),
    /// Another attempt may succeed, after the time for which the hub asks, if it does.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The attempts at one thing.
#[derive(Default)]
pub struct Attempts {
    failed: u32,
}

impl Attempts {
    /// Notes that something came of an attempt: those that failed before do not count any more.
    pub fn progress(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next attempt, after telling so by `tell`.
    ///
    /// # Errors
    /// The failure's own, if there is to be no other attempt; [`ualm::ErrorKind::Cancelled`].
    pub fn wait(&mut self, failure: Failure, cancel: &Cancel, tell: &dyn Fn(&str)) -> Result<()> {
        let (error, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(error, asked) => (error, asked),
        };
        self.failed += 1;
        if self.failed >= MOST {
            return Err(error.context(format!("{MOST} attempts failed")));
        }
        if let Some(asked) = asked.filter(|asked| *asked > LONGEST_WAIT) {
            let seconds = asked.as_secs();
            return Err(error.context(format!("the hub asks to be left alone for {seconds} s: try again then")));
        }
        let own = with_jitter(FIRST_WAIT * 2_u32.pow(self.failed - 1));
        let wait = asked.map_or(own, |asked| asked.max(own));
        tell(&format!("{}; trying again in {:.1} s", error.full_message(), wait.as_secs_f64()));
        sleep(wait, cancel)
    }

    /// Calls `attempt` until it succeeds.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn until<T>(
        mut self,
        cancel: &Cancel,
        tell: &dyn Fn(&str),
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(failure, cancel, tell)?,
            }
        }
    }
}

/// Returns up to a quarter more, so that clients that were turned away together do not come back together.
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

    fn passing(wait: Option<u64>) -> Failure {
        Failure::Passing(Error::new(ErrorKind::Io, "busy"), wait.map(Duration::from_secs))
    }

    #[test]
    fn an_attempt_is_made_again_and_told() {
        let (tried, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let attempt = || {
            tried.set(tried.get() + 1);
            if tried.get() < 2 { Err(passing(None)) } else { Ok(tried.get()) }
        };
        let tell = |what: &str| told.borrow_mut().push(what.to_owned());
        assert_eq!(Attempts::default().until(&Cancel::new(), &tell, attempt).unwrap(), 2);
        assert!(matches!(&told.borrow()[..], [told] if told.starts_with("busy; trying again in 0.")));
    }

    #[test]
    fn attempts_end() {
        let mut attempts = Attempts { failed: MOST - 1 };
        let error = attempts.wait(passing(None), &Cancel::new(), &|_| panic!("no other one")).unwrap_err();
        assert_eq!(error.to_string(), "5 attempts failed: busy");
        let error = Attempts::default().wait(passing(Some(3600)), &Cancel::new(), &|_| {}).unwrap_err();
        assert!(error.to_string().contains("3600 s"), "{error}");
        let last = Failure::Final(Error::new(ErrorKind::Io, "gone"));
        assert_eq!(Attempts::default().wait(last, &Cancel::new(), &|_| {}).unwrap_err().to_string(), "gone");
        let cancel = Cancel::new();
        cancel.cancel();
        let error = Attempts::default().wait(passing(Some(60)), &cancel, &|_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}
