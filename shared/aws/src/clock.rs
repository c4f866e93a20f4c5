//! A port that tells what time it is, so that tests can turn the clock.

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
    async fn sleep(&self, duration: Duration);
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
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
