//! Keeps SES's pace: one call after the other, repeated if that can help, and none that would not be done in time.

use std::cell::Cell;
use std::time::Duration;

use mailroom_core::timestamp::Timestamp;

use crate::clock::Timer;

/// How often a call is made, with pauses of 2, 4, 8, 16 and 16 seconds, before it is given up.
pub const MAX_ATTEMPTS: u32 = 6;
/// The pause after the first failure. It is not the interval between calls, since that may be set to much less and is
/// then too short for SES.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause. Others call SES too, but not that often.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// There is no time left for another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time is left")]
pub struct OutOfTimeError;

/// Keeps the calls of one invocation apart.
#[derive(Debug)]
pub struct RateLimiter<'a, C> {
    clock: &'a C,
    interval: Duration,
    no_calls_after: Option<Timestamp>,
    next_call_at: Cell<Timestamp>,
}

impl<'a, C: Timer> RateLimiter<'a, C> {
    /// A pace of one call every so often, of which the first is made at once and none begins after `no_calls_after` (`None`: no
    /// limit).
    pub fn new(clock: &'a C, interval: Duration, no_calls_after: Option<Timestamp>) -> Self {
        Self { clock, interval, no_calls_after, next_call_at: Cell::new(Timestamp::MIN) }
    }

    /// Waits for something other than a call.
    ///
    /// # Errors
    /// [`OutOfTimeError`] at once, if there is no time to wait so long.
    pub async fn wait_for(&self, duration: Duration) -> Result<(), OutOfTimeError> {
        if self.no_calls_after.is_some_and(|until| self.clock.now().plus(duration) > until) {
            return Err(OutOfTimeError);
        }
        self.clock.sleep(duration).await;
        Ok(())
    }

    /// Waits until the next call may be made.
    ///
    /// # Errors
    /// [`OutOfTimeError`] at once, if the next call would come too late.
    pub async fn wait_until_call_allowed(&self) -> Result<(), OutOfTimeError> {
        self.wait_for(self.next_call_at.get().since(self.clock.now())).await
    }

    /// Notes that a call has ended just now, after `consecutive_failures` calls in a row that SES did not take. The pause counts from
    /// the call's end: SES counts from when the call comes in, and nobody knows when that was.
    pub fn record_call_end(&self, consecutive_failures: u32) {
        let pause = match consecutive_failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST_PAUSE),
        };
        self.next_call_at.set(self.clock.now().plus(pause.max(self.interval)));
    }

    /// Makes a call when its turn comes, and repeats it while that can help. The call must be safe to repeat.
    ///
    /// # Errors
    /// [`OutOfTimeError`]; the inner result is the call's own.
    pub async fn call_with_retries<T, E>(
        &self,
        may_succeed_later: impl Fn(&E) -> bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<Result<T, E>, OutOfTimeError> {
        let mut in_vain = 0;
        loop {
            self.wait_until_call_allowed().await?;
            let answer = call().await;
            let again = answer.as_ref().is_err_and(&may_succeed_later);
            in_vain += u32::from(again);
            self.record_call_end(in_vain);
            if !again || in_vain == MAX_ATTEMPTS {
                return Ok(answer);
            }
        }
    }
}
