//! One call after the other, at SES's pace; and what to make of a call that is not answered.
//!
//! ```text
//! throttled, failed, no answer   asked again, with a pause that doubles; then told as that, and asked again by the next wake
//! denied, refused                an answer, too: it is told, and kept
//! ```
//!
//! A service that keeps failing is left alone for the rest of the invocation, as is a permission that is missing each time: five
//! hundred identities must not be asked for one by one only to hear the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::audit::AskError;
use mailroom_aws::clock::Timer;
use mailroom_aws::pace::{OutOfTime, Pace};
use mailroom_core::audit::facts::Asked;
use mailroom_core::timestamp::Timestamp;

/// After so many failures in a row there is no use in more.
const ENOUGH: u32 = 3;
/// To keep what was read, and to answer in.
const TO_KEEP: Duration = Duration::from_secs(10);

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
    pace: Pace<'a, C>,
    /// Failures in a row, by service, and denials in a row, by permission.
    in_vain: RefCell<BTreeMap<&'static str, (u32, AskError)>>,
}

impl<'a, C: Timer> Asker<'a, C> {
    /// A call every so often, and none that could not be kept before `ends_at`. Whoever asked before has asked until now.
    pub(crate) fn new(clock: &'a C, every: Duration, ends_at: Option<Timestamp>) -> Self {
        let pace = Pace::new(clock, every, ends_at.map(|ends_at| ends_at.minus(TO_KEEP)));
        pace.called(0);
        Self { pace, in_vain: RefCell::default() }
    }

    /// Makes a call that takes the permission `action`.
    pub(crate) async fn ask<T>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, AskError>,
    ) -> Result<Heard<T>, OutOfTime> {
        if let Some(error) = self.known(action) {
            return Ok(heard(action, error));
        }
        let passes = |error: &AskError| matches!(error, AskError::Throttled | AskError::Unavailable(_));
        let error = match self.pace.call(passes, call).await? {
            Ok(answer) => {
                let mut in_vain = self.in_vain.borrow_mut();
                in_vain.remove(service(action));
                in_vain.remove(action);
                return Ok(Heard::Settled(Asked::Answered(answer)));
            }
            Err(error) => error,
        };
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
        AskError::Throttled => Heard::Nothing(Asked::Throttled(action.to_owned())),
        AskError::Refused(_) => Heard::Settled(failed(&error)),
        _ => Heard::Nothing(failed(&error)),
    }
}
