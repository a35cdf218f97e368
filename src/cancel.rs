//! Stopping from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// A switch that any thread may throw; work looks at it between two steps. Clones share the switch.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    thrown: AtomicBool,
    above: Option<Cancel>,
}

impl Cancel {
    /// A switch that has not been thrown.
    pub fn new() -> Self {
        Self::default()
    }

    /// A switch below this one: throwing this one throws it too, throwing it leaves this one alone.
    pub fn below(&self) -> Self {
        Self(Arc::new(Switch { thrown: AtomicBool::new(false), above: Some(self.clone()) }))
    }

    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.0.thrown.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.thrown.load(Ordering::Relaxed) || self.0.above.as_ref().is_some_and(Self::is_cancelled)
    }

    /// An error of kind [`ErrorKind::Cancelled`] once the switch was thrown.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::new(ErrorKind::Cancelled, "stopped on request")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_below_follows_and_does_not_lead() {
        let above = Cancel::new();
        let (one, two) = (above.below(), above.below());
        one.cancel();
        assert!(one.is_cancelled() && !two.is_cancelled() && !above.is_cancelled());
        above.cancel();
        assert!(two.is_cancelled());
    }
}
