//! SES's pace, and what is worth another call.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::timestamp::Timestamp;

/// A call may take three seconds, and what became of it must be written down.
const TO_RECORD: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(16);
/// Pauses of 2, 4, 8 and 16 times the interval: others call SES too, but not that often.
const THROTTLED_IN_A_ROW: u32 = 5;
const ATTEMPTS: u32 = 3;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not made, or not taken: there is no time left, or SES throttles on and on. Later.
    #[error("{0}")]
    Later(&'static str),
    /// SES's answer, or none.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Whether a call that was not answered may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// The second changes nothing.
    Harmless,
    /// It may have been done, and must not be done twice.
    Never,
}

/// Calls SES: not faster than it takes, not after the deadline.
pub struct Calls<'a, L, C> {
    list: &'a L,
    clock: &'a C,
    interval: Duration,
    ends_at: Timestamp,
    next_at: Timestamp,
    /// How many there were.
    pub made: usize,
    /// How many of them SES throttled.
    pub throttled: usize,
}

impl<'a, L: SuppressionList, C: Timer> Calls<'a, L, C> {
    /// None made yet.
    pub fn new(list: &'a L, clock: &'a C, interval: Duration, ends_at: Timestamp) -> Self {
        Self { list, clock, interval, ends_at, next_at: Timestamp::MIN, made: 0, throttled: 0 }
    }

    /// How long there is time for calls.
    pub fn left(&self) -> Duration {
        self.ends_at.since(self.clock.now()).saturating_sub(TO_RECORD)
    }

    /// Waits for something that is not a call; `false`, and at once, if there is no time for it.
    pub async fn wait(&self, by: Duration) -> bool {
        let there_is = by < self.left();
        if there_is {
            self.clock.sleep(by).await;
        }
        there_is
    }

    /// Calls when it is time to, again if throttled, and again without an answer if that is harmless.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn call<T>(
        &mut self,
        twice: Twice,
        call: impl AsyncFn(&L) -> Result<T, ListError>,
    ) -> Result<T, CallError> {
        self.call_if(twice, async || Ok(()), call).await
    }

    /// The same, unless something has changed by the time: `still` is asked before each call, and nothing waits after it.
    ///
    /// # Errors
    /// What `still` says against it, or [`CallError`].
    pub async fn call_if<T, E: From<CallError>>(
        &mut self,
        twice: Twice,
        still: impl AsyncFn() -> Result<(), E>,
        call: impl AsyncFn(&L) -> Result<T, ListError>,
    ) -> Result<T, E> {
        let (mut throttled, mut attempts) = (0, 0);
        loop {
            if !self.wait(self.next_at.since(self.clock.now())).await {
                return Err(CallError::Later("no time is left").into());
            }
            still().await?;
            self.made += 1;
            let answer = call(self.list).await;
            // From its end: SES counts when it comes in, and nobody knows when that was.
            let mut pause = self.interval;
            let again = match &answer {
                Err(ListError::Throttled) => {
                    self.throttled += 1;
                    throttled += 1;
                    pause =
                        self.interval.saturating_mul(1 << throttled).min(LONGEST_BACKOFF.max(self.interval));
                    true
                }
                Err(ListError::Unavailable(_)) => {
                    attempts += 1;
                    twice == Twice::Harmless && attempts < ATTEMPTS
                }
                _ => false,
            };
            self.next_at = self.clock.now().plus(pause);
            if !again {
                return answer.map_err(|error| CallError::from(error).into());
            }
            if throttled == THROTTLED_IN_A_ROW {
                return Err(CallError::Later("SES throttles").into());
            }
        }
    }
}
