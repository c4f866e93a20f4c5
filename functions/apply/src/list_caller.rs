//! Calls SES at its pace, and decides what is worth another call.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::rate_limiter::{MAX_ATTEMPTS, OutOfTimeError, RateLimiter};
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::timestamp::Timestamp;

/// The time that is kept after the last call: it may take three seconds, and what came of it must be written down.
const RECORDING_MARGIN: Duration = Duration::from_secs(5);
/// After so many attempts without an answer a call is given up, since the next address may fare better.
const MAX_UNANSWERED_ATTEMPTS: u32 = 3;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListCallError {
    /// The call was not made, or SES did not take it: no time is left, or SES throttles again and again. It is left for
    /// later.
    #[error("{0}")]
    Postponed(&'static str),
    /// SES answered with an error, or did not answer.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Whether a call that was not answered may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It may: a second call changes nothing.
    Idempotent,
    /// It may not: the first call may have had its effect, which must not happen twice.
    NotIdempotent,
}

/// Calls SES, never faster than it takes calls, and never after the deadline.
pub struct ListCaller<'a, L, C> {
    list: &'a L,
    clock: &'a C,
    no_calls_after: Timestamp,
    rate_limiter: RateLimiter<'a, C>,
    /// The number of calls that were made.
    pub call_count: usize,
    /// The number of calls that SES throttled.
    pub throttled_count: usize,
}

impl<'a, L: SuppressionList, C: Timer> ListCaller<'a, L, C> {
    /// A caller that has made no call yet. It makes calls `interval` apart, and the last one in time before `invocation_ends_at`.
    pub fn new(list: &'a L, clock: &'a C, interval: Duration, invocation_ends_at: Timestamp) -> Self {
        let until = invocation_ends_at.minus(RECORDING_MARGIN);
        Self {
            list,
            clock,
            no_calls_after: until,
            rate_limiter: RateLimiter::new(clock, interval, Some(until)),
            call_count: 0,
            throttled_count: 0,
        }
    }

    /// The time that is left for calls.
    pub fn call_time_left(&self) -> Duration {
        self.no_calls_after.since(self.clock.now())
    }

    /// Waits for something that is not a call. Returns `false`, at once, if there is no time for that.
    pub async fn wait_for(&self, duration: Duration) -> bool {
        self.rate_limiter.wait_for(duration).await.is_ok()
    }

    /// Makes a call when it is time to. It is made again if SES throttles, and, if that is harmless, if SES does not
    /// answer.
    ///
    /// # Errors
    /// See [`ListCallError`].
    pub async fn call_with_retries<T>(
        &mut self,
        idempotency: Idempotency,
        call: impl AsyncFn(&L) -> Result<T, ListError>,
    ) -> Result<T, ListCallError> {
        self.check_and_call_with_retries(idempotency, async || Ok(()), call).await
    }

    /// Makes a call as [`ListCaller::call_with_retries`] does, unless something has changed by then: `check` is asked before each attempt,
    /// with no wait between that and the call.
    ///
    /// # Errors
    /// The error of `check`, or [`ListCallError`].
    pub async fn check_and_call_with_retries<T, E: From<ListCallError>>(
        &mut self,
        idempotency: Idempotency,
        check: impl AsyncFn() -> Result<(), E>,
        call: impl AsyncFn(&L) -> Result<T, ListError>,
    ) -> Result<T, E> {
        let (mut throttled, mut unanswered) = (0, 0);
        loop {
            self.rate_limiter
                .wait_until_call_allowed()
                .await
                .map_err(|OutOfTimeError| ListCallError::Postponed("no time is left"))?;
            check().await?;
            self.call_count += 1;
            let answer = call(self.list).await;
            let (in_vain, again) = match &answer {
                Err(ListError::Throttled) => {
                    self.throttled_count += 1;
                    throttled += 1;
                    (throttled, true)
                }
                Err(ListError::Unavailable(_)) => {
                    unanswered += 1;
                    (0, idempotency == Idempotency::Idempotent && unanswered < MAX_UNANSWERED_ATTEMPTS)
                }
                _ => (0, false),
            };
            self.rate_limiter.record_call_end(in_vain);
            if !again {
                return answer.map_err(|error| ListCallError::from(error).into());
            }
            if throttled == MAX_ATTEMPTS {
                return Err(ListCallError::Postponed("SES throttles").into());
            }
        }
    }
}
