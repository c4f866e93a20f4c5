//! The deadline of an invocation, or of a command: the one type by which all ports are told when to return.

use std::future::Future;
use std::time::{Duration, SystemTime};

use mailroom_core::timestamp::Timestamp;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How much of an invocation's time is kept back for its answer.
const RESPONSE_MARGIN: Duration = Duration::from_secs(1);

/// A time by which all calls must have been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of an invocation that Lambda ends at `ends_at`.
    pub fn of_invocation(ends_at: SystemTime) -> Self {
        let left = ends_at.duration_since(SystemTime::now()).unwrap_or_default();
        Self::after(left.saturating_sub(RESPONSE_MARGIN))
    }

    /// The deadline that comes after this much time.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The deadline that comes this much earlier.
    #[must_use]
    pub fn earlier_by(self, time: Duration) -> Self {
        Self(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// The deadline that comes when half of the time that is left has passed.
    #[must_use]
    pub fn half_time(self) -> Self {
        self.earlier_by(self.time_left() / 2)
    }

    /// The time that is left; zero once the deadline has passed.
    pub fn time_left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// The deadline as a time by a clock that says that it is `now`.
    pub fn by_clock(self, now: Timestamp) -> Timestamp {
        now.plus(self.time_left())
    }

    /// Runs a future until it has ended; `None` if the deadline comes first.
    pub async fn limit<T>(self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.0, future).await.ok()
    }

    /// Sleeps. Returns `false` at once if the deadline would come first.
    pub(crate) async fn sleep(self, time: Duration) -> bool {
        let end = Instant::now() + time;
        if end >= self.0 {
            return false;
        }
        sleep_until(end).await;
        true
    }
}
