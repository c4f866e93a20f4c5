//! Calls SES at its pace, and decides what is worth another call.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::pace::{ATTEMPTS, OutOfTime, Pace};
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::timestamp::Timestamp;

/// The time that is kept after the last call: it may take three seconds, and what came of it must be written down.
const TO_RECORD: Duration = Duration::from_secs(5);
/// After so many attempts without an answer a call is given up, since the next address may fare better.
const UNANSWERED: u32 = 3;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The call was not made, or SES did not take it: no time is left, or SES throttles again and again. It is left for
    /// later.
    #[error("{0}")]
    Later(&'static str),
    /// SES answered with an error, or did not answer.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Whether a call that was not answered may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// It may: a second call changes nothing.
    Idempotent,
    /// It may not: the first call may have had its effect, which must not happen twice.
    NotIdempotent,
}

/// Calls SES, never faster than it takes calls, and never after the deadline.
pub struct Calls<'a, L, C> {
    list: &'a L,
    clock: &'a C,
    until: Timestamp,
    pace: Pace<'a, C>,
    /// The number of calls that were made.
    pub made: usize,
    /// The number of calls that SES throttled.
    pub throttled: usize,
}

impl<'a, L: SuppressionList, C: Timer> Calls<'a, L, C> {
    /// A caller that has made no call yet. It makes calls `interval` apart, and the last one in time before `ends_at`.
    pub fn new(list: &'a L, clock: &'a C, interval: Duration, ends_at: Timestamp) -> Self {
        let until = ends_at.minus(TO_RECORD);
        Self { list, clock, until, pace: Pace::new(clock, interval, Some(until)), made: 0, throttled: 0 }
    }

    /// The time that is left for calls.
    pub fn left(&self) -> Duration {
        self.until.since(self.clock.now())
    }

    /// Waits for something that is not a call. Returns `false`, at once, if there is no time for that.
    pub async fn wait(&self, by: Duration) -> bool {
        self.pace.wait(by).await.is_ok()
    }

    /// Makes a call when it is time to. It is made again if SES throttles, and, if that is harmless, if SES does not
    /// answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T>(
        &mut self,
        kind: CallKind,
        call: impl AsyncFn(&L) -> Result<T, ListError>,
    ) -> Result<T, CallError> {
        self.call_if(kind, async || Ok(()), call).await
    }

    /// Makes a call as [`Calls::call`] does, unless something has changed by then: `still` is asked before each attempt,
    /// with no wait between that and the call.
    ///
    /// # Errors
    /// The error of `still`, or [`CallError`].
    pub async fn call_if<T, E: From<CallError>>(
        &mut self,
        kind: CallKind,
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
                    (0, kind == CallKind::Idempotent && unanswered < UNANSWERED)
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
