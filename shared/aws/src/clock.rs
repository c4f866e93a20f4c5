//! A port that tells what time it is, so that tests can turn the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailroom_core::timestamp::Timestamp;

/// Tells the time.
pub trait Clock {
    /// The current time, to the millisecond.
    fn now(&self) -> Timestamp;
}

/// A clock that can also wait, for callers that keep a pace.
pub trait Timer: Clock {
    /// Returns after a duration.
    async fn sleep(&self, by: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::MIN.plus(since)
    }
}

impl Timer for SystemClock {
    async fn sleep(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

/// A clock that stands still until it is turned; whoever sleeps turns it. Clones are one clock.
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
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
    }
}

impl Timer for MemoryClock {
    async fn sleep(&self, by: Duration) {
        self.advance(by);
    }
}
