//! Keeps SES's pace: one call after the other, repeated if that can help, and none that would not be done in time.

use std::cell::Cell;
use std::time::Duration;

use mailroom_core::timestamp::Timestamp;

use crate::clock::Timer;

/// How often a call is made, with pauses of 2, 4, 8, 16 and 16 seconds, before it is given up.
pub const ATTEMPTS: u32 = 6;
/// The pause after the first failure. It is not the interval between calls, since that may be set to much less and is
/// then too short for SES.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause. Others call SES too, but not that often.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// There is no time left for another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time is left")]
pub struct OutOfTime;

/// Keeps the calls of one invocation apart.
#[derive(Debug)]
pub struct Pace<'a, C> {
    clock: &'a C,
    every: Duration,
    until: Option<Timestamp>,
    next_at: Cell<Timestamp>,
}

impl<'a, C: Timer> Pace<'a, C> {
    /// A pace of one call every so often, of which the first is made at once and none begins after `until` (`None`: no
    /// limit).
    pub fn new(clock: &'a C, every: Duration, until: Option<Timestamp>) -> Self {
        Self { clock, every, until, next_at: Cell::new(Timestamp::MIN) }
    }

    /// Waits for something other than a call.
    ///
    /// # Errors
    /// [`OutOfTime`] at once, if there is no time to wait so long.
    pub async fn wait(&self, by: Duration) -> Result<(), OutOfTime> {
        if self.until.is_some_and(|until| self.clock.now().plus(by) > until) {
            return Err(OutOfTime);
        }
        self.clock.sleep(by).await;
        Ok(())
    }

    /// Waits until the next call may be made.
    ///
    /// # Errors
    /// [`OutOfTime`] at once, if the next call would come too late.
    pub async fn turn(&self) -> Result<(), OutOfTime> {
        self.wait(self.next_at.get().since(self.clock.now())).await
    }

    /// Notes that a call has ended just now, after `in_vain` calls in a row that SES did not take. The pause counts from
    /// the call's end: SES counts from when the call comes in, and nobody knows when that was.
    pub fn called(&self, in_vain: u32) {
        let pause = match in_vain.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST_PAUSE),
        };
        self.next_at.set(self.clock.now().plus(pause.max(self.every)));
    }

    /// Makes a call when its turn comes, and repeats it while that can help. The call must be safe to repeat.
    ///
    /// # Errors
    /// [`OutOfTime`]; the inner result is the call's own.
    pub async fn call<T, E>(
        &self,
        helps: impl Fn(&E) -> bool,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<Result<T, E>, OutOfTime> {
        let mut in_vain = 0;
        loop {
            self.turn().await?;
            let answer = call().await;
            let again = answer.as_ref().is_err_and(&helps);
            in_vain += u32::from(again);
            self.called(in_vain);
            if !again || in_vain == ATTEMPTS {
                return Ok(answer);
            }
        }
    }
}
