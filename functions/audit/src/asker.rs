//! One call after the other, at SES's pace; and what to make of a call that is not answered.
//!
//! ```text
//! throttled, failed, no answer   asked again, with a pause that doubles; then told as failed, and asked again by the next wake
//! denied, refused                an answer, too: it is told, and kept
//! ```
//!
//! A service that keeps failing is left alone for the rest of the invocation, as is a permission that is missing each time: five
//! hundred identities must not be asked for one by one only to hear the same.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::audit::AskError;
use mailroom_aws::clock::Timer;
use mailroom_core::audit::facts::Asked;
use mailroom_core::timestamp::Timestamp;

/// How often a call is made before it counts as failed: with pauses of 1, 2, 4, 8 and 16 seconds.
const ATTEMPTS: u32 = 6;
/// Not the pace, which may be set to much less: it is too fast for SES, then.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// After so many failures in a row there is no use in more.
const ENOUGH: u32 = 3;
/// To keep what was read, and to answer in.
const TO_KEEP: Duration = Duration::from_secs(10);

/// There is no time left for another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoTime;

/// What was heard.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// This, which a second call would not change.
    Settled(Asked<T>),
    /// Nothing, and another time it may be something.
    Nothing(Asked<T>),
}

/// Asks.
pub(crate) struct Asker<'a, C> {
    clock: &'a C,
    every: Duration,
    ends_at: Option<Timestamp>,
    last: Cell<Timestamp>,
    /// Failures in a row, by service, and denials in a row, by permission.
    in_vain: RefCell<BTreeMap<&'static str, (u32, AskError)>>,
}

impl<'a, C: Timer> Asker<'a, C> {
    /// A call every so often, and none that could not be kept before `ends_at`. Whoever asked before has asked until now.
    pub(crate) fn new(clock: &'a C, every: Duration, ends_at: Option<Timestamp>) -> Self {
        Self { clock, every, ends_at, last: Cell::new(clock.now()), in_vain: RefCell::default() }
    }

    /// Makes a call that takes the permission `action`.
    pub(crate) async fn ask<T>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, AskError>,
    ) -> Result<Heard<T>, NoTime> {
        if let Some(error) = self.known(action) {
            return Ok(heard(action, error));
        }
        let mut pause = FIRST_PAUSE;
        let mut error = AskError::Throttled;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.sleep(pause).await?;
                pause *= 2;
            }
            self.turn().await?;
            match call().await {
                Ok(answer) => {
                    let mut in_vain = self.in_vain.borrow_mut();
                    in_vain.remove(service(action));
                    in_vain.remove(action);
                    return Ok(Heard::Settled(Asked::Answered(answer)));
                }
                Err(passing @ (AskError::Throttled | AskError::Unavailable(_))) => error = passing,
                Err(other) => {
                    error = other;
                    break;
                }
            }
        }
        let of = match &error {
            AskError::Denied => action,
            _ => service(action),
        };
        if !matches!(error, AskError::Refused(_)) {
            let mut in_vain = self.in_vain.borrow_mut();
            let times = in_vain.get(of).map_or(0, |(times, _)| *times);
            in_vain.insert(of, (times + 1, error.clone()));
        }
        Ok(heard(action, error))
    }

    /// What there would be to hear, if that is known.
    fn known(&self, action: &'static str) -> Option<AskError> {
        let in_vain = self.in_vain.borrow();
        [action, service(action)].into_iter().find_map(|of| match in_vain.get(of)? {
            // Of the service's calls none would fare better.
            (_, error @ AskError::NotEnabled(_)) => Some(error.clone()),
            (times, error) => (*times >= ENOUGH).then(|| error.clone()),
        })
    }

    async fn turn(&self) -> Result<(), NoTime> {
        let since = self.clock.now().since(self.last.get());
        self.sleep(self.every.saturating_sub(since)).await?;
        self.last.set(self.clock.now());
        Ok(())
    }

    async fn sleep(&self, by: Duration) -> Result<(), NoTime> {
        if self.ends_at.is_some_and(|ends_at| self.clock.now().plus(by).plus(TO_KEEP) >= ends_at) {
            return Err(NoTime);
        }
        if !by.is_zero() {
            self.clock.sleep(by).await;
        }
        Ok(())
    }
}

/// `ses` of `ses:GetAccount`
fn service(action: &'static str) -> &'static str {
    action.split(':').next().unwrap_or(action)
}

fn heard<T>(action: &str, error: AskError) -> Heard<T> {
    let failed = |error: &AskError| Asked::Failed { action: action.to_owned(), why: error.to_string() };
    match error {
        AskError::Denied => Heard::Settled(Asked::Denied(action.to_owned())),
        AskError::NotEnabled(code) => Heard::Settled(Asked::NotEnabled(code)),
        AskError::Refused(_) => Heard::Settled(failed(&error)),
        _ => Heard::Nothing(failed(&error)),
    }
}
