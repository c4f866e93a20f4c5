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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, MemoryClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> MemoryClock {
        MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap())
    }

    /// The times of the calls, in milliseconds, and what came of them.
    async fn calls(
        clock: &MemoryClock,
        pace: &Pace<'_, MemoryClock>,
        fails: usize,
        helps: bool,
    ) -> (Vec<u128>, Result<Result<(), ()>, OutOfTime>) {
        let (start, times) = (clock.now(), Cell::new(Vec::new()));
        let result = pace
            .call(
                |()| helps,
                async || {
                    let mut made = times.take();
                    made.push(clock.now().since(start).as_millis());
                    let fails = made.len() <= fails;
                    times.set(made);
                    // A call takes some time.
                    clock.advance(Duration::from_millis(100));
                    if fails { Err(()) } else { Ok(()) }
                },
            )
            .await;
        (times.take(), result)
    }

    #[tokio::test]
    async fn one_at_a_time_and_again_if_that_can_help() {
        for (every, then) in [(SECOND, [1000, 3100, 7200, 15300]), (SECOND / 50, [20, 2120, 6220, 14320])] {
            let clock = clock();
            let pace = Pace::new(&clock, every, None);
            assert_eq!(calls(&clock, &pace, 0, true).await, (vec![0], Ok(Ok(()))));
            assert_eq!(calls(&clock, &pace, 1, false).await, (vec![then[0]], Ok(Err(()))));
            assert_eq!(calls(&clock, &pace, 3, true).await, (then.to_vec(), Ok(Ok(()))));
            let (times, result) = calls(&clock, &pace, usize::MAX, true).await;
            assert_eq!((times.len(), result), (ATTEMPTS as usize, Ok(Err(()))));
            assert_eq!(times[5] - times[4], 16_100);
            // The next call has to wait, too.
            assert_eq!(calls(&clock, &pace, 0, true).await.0, [16_000]);
        }
        let clock = clock();
        let slow = Pace::new(&clock, SECOND * 60, None);
        assert_eq!(calls(&clock, &slow, 1, true).await.0, [0, 60_100]);
    }

    #[tokio::test]
    async fn none_begins_too_late() {
        let clock = clock();
        let pace = Pace::new(&clock, SECOND, Some(clock.now().plus(SECOND * 4)));
        assert_eq!(calls(&clock, &pace, 0, true).await, (vec![0], Ok(Ok(()))));
        // The calls are made 1.1 and 3.2 seconds after the start; after the third there would be a pause till 7.3.
        assert_eq!(calls(&clock, &pace, 9, true).await, (vec![1000, 3100], Err(OutOfTime)));
        let ended_at = clock.now();
        assert_eq!(pace.turn().await, Err(OutOfTime));
        assert_eq!((pace.wait(SECOND).await, clock.now()), (Err(OutOfTime), ended_at), "at once");
        assert_eq!(pace.wait(SECOND / 10).await, Ok(()));
        clock.advance(SECOND * 60);
        assert_eq!(pace.turn().await, Err(OutOfTime));
    }
}
