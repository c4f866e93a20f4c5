//! SES's pace, and what is worth another call.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::pace::{ATTEMPTS, OutOfTime, Pace};
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::timestamp::Timestamp;

/// A call may take three seconds, and what became of it must be written down.
const TO_RECORD: Duration = Duration::from_secs(5);
/// Of a call that is not answered: the next address may fare better.
const UNANSWERED: u32 = 3;

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
    until: Timestamp,
    pace: Pace<'a, C>,
    /// How many there were.
    pub made: usize,
    /// How many of them SES throttled.
    pub throttled: usize,
}

impl<'a, L: SuppressionList, C: Timer> Calls<'a, L, C> {
    /// None made yet.
    pub fn new(list: &'a L, clock: &'a C, interval: Duration, ends_at: Timestamp) -> Self {
        let until = ends_at.minus(TO_RECORD);
        Self { list, clock, until, pace: Pace::new(clock, interval, Some(until)), made: 0, throttled: 0 }
    }

    /// How long there is time for calls.
    pub fn left(&self) -> Duration {
        self.until.since(self.clock.now())
    }

    /// Waits for something that is not a call; `false`, and at once, if there is no time for it.
    pub async fn wait(&self, by: Duration) -> bool {
        self.pace.wait(by).await.is_ok()
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
        let (mut throttled, mut unanswered) = (0, 0);
        loop {
            self.pace.turn().await.map_err(|OutOfTime| CallError::Later("no time is left"))?;
            still().await?;
            self.made += 1;
            let answer = call(self.list).await;
            let (in_vain, again) = match &answer {
                Err(ListError::Throttled) => {
                    self.throttled += 1;
                    throttled += 1;
                    (throttled, true)
                }
                Err(ListError::Unavailable(_)) => {
                    unanswered += 1;
                    (0, twice == Twice::Harmless && unanswered < UNANSWERED)
                }
                _ => (0, false),
            };
            self.pace.called(in_vain);
            if !again {
                return answer.map_err(|error| CallError::from(error).into());
            }
            if throttled == ATTEMPTS {
                return Err(CallError::Later("SES throttles").into());
            }
        }
    }
}
