//! A clock that a test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mailroom_aws::clock::{Clock, Timer};
use mailroom_core::timestamp::Timestamp;

/// A clock that stands still until it is turned; whoever sleeps turns it.
#[derive(Debug, Clone)]
pub struct MemoryClock(Arc<AtomicI64>);

impl MemoryClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.millis())))
    }

    /// Turns the clock to a time, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::Relaxed);
    }

    /// Turns the clock forward by a duration.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

impl Timer for MemoryClock {
    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}
