//! Calls SES: one call after the other at its pace, again if that can help, and none once time is up. Calls of the table
//! are made again, too, but at no pace.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::rate_limiter::{MAX_ATTEMPTS, OutOfTimeError, RateLimiter};
use mailroom_aws::ses::SesError;
use mailroom_aws::table::TableError;
use mailroom_core::timestamp::Timestamp;

/// The most that a call takes: the SDK gives an attempt up after three seconds.
const MAX_CALL_TIME: Duration = Duration::from_secs(4);

/// How long an instance may still change something after a newer request was noted: it may have read the note just before,
/// and have a call under way.
const OVERTAKEN_CALL_WAIT: Duration = Duration::from_secs(2 * MAX_CALL_TIME.as_secs());

/// Makes the calls of one invocation.
#[derive(Debug)]
pub(crate) struct SetupCaller<'a, C> {
    clock: &'a C,
    ends_at: Timestamp,
    deadline: Deadline,
    call_budget: usize,
    rate_limiter: RateLimiter<'a, C>,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetupCallError {
    Ses(SesError),
    OutOfTime,
    /// The call was not made, since the note could not be read.
    Table(TableError),
    /// The call was not made, since another instance has answered the request, or is at work on a newer one.
    Contended,
}

impl<'a, C: Timer> SetupCaller<'a, C> {
    /// A caller that makes calls `interval` apart, and has all of them done by `ends_at`, which is `deadline`.
    pub(crate) fn new(clock: &'a C, interval: Duration, ends_at: Timestamp, deadline: Deadline) -> Self {
        let room = compute_budget_with_reserve(ends_at.since(clock.now()), interval);
        Self {
            clock,
            ends_at,
            deadline,
            call_budget: room,
            rate_limiter: RateLimiter::new(clock, interval, Some(ends_at.minus(MAX_CALL_TIME))),
        }
    }

    /// The number of calls that an invocation has time for, whatever was done of it already. Whoever asks for more is told
    /// this number, so it must not depend on what has gone wrong meanwhile.
    pub(crate) fn total_call_budget(&self) -> usize {
        self.call_budget
    }

    /// Waits until an overtaken instance can no longer have a call under way.
    pub(crate) async fn wait_for_superseded_calls(&self) -> Result<(), OutOfTimeError> {
        self.rate_limiter.wait_for(OVERTAKEN_CALL_WAIT).await
    }

    /// Reads or writes the table, again if that can help.
    pub(crate) async fn call_table<T>(
        &self,
        call: impl AsyncFn(Deadline) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let (mut attempt, mut pause) = (1, Duration::from_secs(1));
        loop {
            match call(self.deadline).await {
                Err(error) if self.is_retry_worthwhile(&error, attempt, pause) => {
                    self.clock.sleep(pause).await;
                    pause *= 2;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Whether another try may help. A denial counts, too: a role that was made a moment ago is not known everywhere yet.
    fn is_retry_worthwhile(&self, error: &TableError, attempt: u32, pause: Duration) -> bool {
        let in_time = self.clock.now().plus(pause + MAX_CALL_TIME) <= self.ends_at;
        in_time && attempt < MAX_ATTEMPTS && error.may_succeed_later()
    }

    /// Makes a call of SES, again if the error is transient. So it must be one that may be made twice.
    pub(crate) async fn call_ses<T>(
        &self,
        call: impl AsyncFn() -> Result<T, SetupCallError>,
    ) -> Result<T, SetupCallError> {
        let helps =
            |error: &SetupCallError| matches!(error, SetupCallError::Ses(error) if error.may_succeed_later());
        self.rate_limiter
            .call_with_retries(helps, call)
            .await
            .unwrap_or_else(|OutOfTimeError| Err(SetupCallError::OutOfTime))
    }
}

/// The number of calls that there is time for. A fifth of the time is kept for calls that take long or must be made again.
/// The time counts in steps of ten seconds, since no two invocations are given exactly the same.
fn compute_budget_with_reserve(available_time: Duration, interval: Duration) -> usize {
    let seconds = u128::from(available_time.as_secs() / 10 * 8);
    usize::try_from(seconds * 1000 / interval.as_millis().max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use doubles::MemoryClock;
    use mailroom_aws::clock::Clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> MemoryClock {
        MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap())
    }

    #[tokio::test]
    async fn the_table_is_asked_again() {
        let clock = clock();
        let start = clock.now();
        let calls =
            SetupCaller::new(&clock, SECOND, start.plus(Duration::from_secs(50)), Deadline::after(SECOND));
        let times = Cell::new(0);
        let ask = async |fails: u32, error: &TableError| {
            times.set(0);
            let call = async |_| {
                times.set(times.get() + 1);
                if times.get() > fails { Ok(()) } else { Err(error.clone()) }
            };
            (calls.call_table(call).await, times.get(), clock.now().since(start).as_secs())
        };
        let unavailable = TableError::DeadlineExceeded("x".to_owned());
        let refused = TableError::Refused("AccessDeniedException".to_owned());
        let unreadable = TableError::InvalidItem("setup".to_owned());
        assert_eq!(ask(2, &unavailable).await, (Ok(()), 3, 3));
        assert_eq!(ask(1, &unreadable).await, (Err(unreadable.clone()), 1, 3));
        assert_eq!(ask(u32::MAX, &refused).await, (Err(refused.clone()), MAX_ATTEMPTS, 3 + 31));
        assert_eq!(ask(u32::MAX, &unavailable).await, (Err(unavailable.clone()), 4, 34 + 7), "time is up");
    }

    #[tokio::test]
    async fn nothing_is_begun_that_the_end_would_cut_off() {
        let clock = clock();
        let calls = SetupCaller::new(
            &clock,
            SECOND,
            clock.now().plus(Duration::from_secs(6)),
            Deadline::after(SECOND),
        );
        let call = || calls.call_ses(async || Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Err(SetupCallError::OutOfTime));
    }

    #[tokio::test]
    async fn room_is_what_an_invocation_has() {
        let seconds = Duration::from_secs;
        assert_eq!(compute_budget_with_reserve(seconds(889), SECOND), 704);
        assert_eq!(compute_budget_with_reserve(seconds(880), SECOND), 704);
        assert_eq!(compute_budget_with_reserve(seconds(880), Duration::from_millis(250)), 704 * 4);
        assert_eq!(compute_budget_with_reserve(seconds(5), SECOND), 0);
        let clock = clock();
        let calls = SetupCaller::new(&clock, SECOND, clock.now().plus(seconds(889)), Deadline::after(SECOND));
        clock.advance(seconds(100));
        assert_eq!(calls.total_call_budget(), 704, "however much of it has passed");
    }
}
